"""GPU migration: a program written for CUDA runs on `hpu`, as Intel documents its GPU Migration Toolkit.

`cuda_devices` lets every place that takes a device take "cuda" for `hpu`; `cuda_surface` gives the names of
`torch.cuda` what `torch.hpu` has, and refuses the others by name; `cuda_training` is autocast, gradient scaling,
distributed training, data loading and compiling. It is done once in a process and stays, as Intel's does.

A device that says "cuda" is one until it is used: `torch.device("cuda")` stays what it is, and a tensor made on it
says `hpu:0`. Not there: what Intel maps of Apex and pynvml, and its log of the calls that it has mapped.
"""

from __future__ import annotations

from gaudi_lab.emulator.migrated import cuda_devices, cuda_surface, cuda_training

_done: list[bool] = []


def migrate() -> None:
    """Map CUDA to `hpu` for the rest of the process. The second call does nothing."""
    if _done:
        return
    _done.append(True)
    cuda_devices.register()
    cuda_surface.register()
    cuda_training.register()
