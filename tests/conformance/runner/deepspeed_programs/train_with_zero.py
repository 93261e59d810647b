"""DeepSpeed trains a small model, or plain PyTorch does the same on the CPU; prints losses and weights as JSON.

python train_with_zero.py STAGE DTYPE, in every process, or python train_with_zero.py cpu PROCESSES
"""

from __future__ import annotations

import json
import sys

import torch
from torch import nn

STEPS, EACH = 12, 8
OPTIONS = {"lr": 1e-2, "weight_decay": 0.1, "eps": 1e-8}
CLIP = 1.0


def model() -> nn.Module:
    """Return the model, always with the same weights."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 4))


def batches(processes: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return inputs and labels of every step, for all processes together."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(STEPS, processes * EACH, 16, generator=generator)
    return [(one, one[:, :4].argmax(-1)) for one in x]


def with_deepspeed(stage: int, dtype: torch.dtype) -> None:
    """Train as a script for Gaudi does, on this process's share of every batch."""
    import deepspeed
    from deepspeed.accelerator import get_accelerator

    accelerator = get_accelerator()
    assert accelerator.device_name() == "hpu"
    assert accelerator.communication_backend_name() == "hccl"
    deepspeed.init_distributed(accelerator.communication_backend_name())
    trained = model()
    config = {
        "train_micro_batch_size_per_gpu": EACH,
        "zero_optimization": {"stage": stage},
        "optimizer": {"type": "AdamW", "params": OPTIONS},
        "gradient_clipping": CLIP,
        "bf16": {"enabled": dtype is torch.bfloat16},
    }
    engine, *_ = deepspeed.initialize(model=trained, model_parameters=trained.parameters(), config=config)
    assert {x.device.type for x in trained.parameters()} == {"hpu"}
    processes, rank = torch.distributed.get_world_size(), torch.distributed.get_rank()
    losses = []
    for x, label in batches(processes):
        mine = slice(rank * EACH, (rank + 1) * EACH)
        out = engine(x[mine].to(engine.device, dtype))
        loss = nn.functional.cross_entropy(out.float(), label[mine].to(engine.device))
        engine.backward(loss)
        engine.step()
        mean = loss.detach().clone()
        torch.distributed.all_reduce(mean)
        losses.append(mean.item() / processes)
    if rank == 0:
        tell(losses, trained)
    torch.distributed.destroy_process_group()


def on_the_cpu(processes: int) -> None:
    """Train with PyTorch alone on whole batches."""
    trained = model()
    optimizer = torch.optim.AdamW(trained.parameters(), **OPTIONS)
    losses = []
    for x, label in batches(processes):
        loss = nn.functional.cross_entropy(trained(x), label)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained.parameters(), CLIP)
        optimizer.step()
        losses.append(loss.item())
    tell(losses, trained)


def tell(losses: list[float], trained: nn.Module) -> None:
    """Print the losses, and the norm of every weight."""
    norms = [x.detach().float().cpu().norm().item() for x in trained.parameters()]
    print("RESULT", json.dumps([losses, norms]), flush=True)


if __name__ == "__main__":
    first, second = sys.argv[1:]
    if first == "cpu":
        on_the_cpu(int(second))
    else:
        with_deepspeed(int(first), getattr(torch, second))
