"""An older place of `habana_frameworks.torch.distributed.hccl`, empty since; programs still import it."""
