"""FP8 training, under the bridge's name for it.

The bridge does not hold it either: it passes on Intel's separate package `intel_transformer_engine`, whose kernels
are compiled for the device. That package is not emulated. Source: the bridge's file of this name, release 1.19.
"""

raise ModuleNotFoundError(
    "habana_frameworks.torch.hpex.experimental.transformer_engine passes on Intel's package "
    "intel_transformer_engine, whose FP8 kernels run on a Gaudi only; the emulated bridge has none. Train in bfloat16 "
    'instead: torch.autocast("hpu", dtype=torch.bfloat16)',
    name="intel_transformer_engine",
)
