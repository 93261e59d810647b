"""Where host tensors compute for the device: outside the modes that the user's code is in the middle of."""

from __future__ import annotations

from typing import Any

import torch


class on_the_host:  # noqa: N801 - reads as a statement
    """Outside inference mode, below autograd, without autocast: the user's modes are about the device.

    With `dtype`, that is PyTorch's default dtype inside.
    """

    __slots__ = ("_dtype", "_guards", "_outer")

    def __init__(self, dtype: torch.dtype | None = None) -> None:
        self._dtype = dtype

    def __enter__(self) -> None:
        self._outer = torch.get_default_dtype()
        if self._dtype is not None and self._dtype is not self._outer:
            torch.set_default_dtype(self._dtype)
        # While an operator is dispatched to Python, PyTorch ignores conjugate bits; host kernels need them.
        plain = torch._C._ForceDispatchKeyGuard(_INCLUDED, _EXCLUDED)
        plain.__enter__()  # at once: the next guards act when they are made
        self._guards = (
            plain,
            torch._C._InferenceMode(False),
            torch._C._AutoDispatchBelowAutograd(),
            torch._C._ExcludeDispatchKeyGuard(_AUTOCAST),
        )
        for guard in self._guards[1:]:
            guard.__enter__()

    def __exit__(self, *exc: object) -> None:
        for guard in reversed(self._guards):
            guard.__exit__(*exc)
        if self._dtype is not None and self._dtype is not self._outer:
            torch.set_default_dtype(self._outer)


def lasting() -> Any:
    """Return the context in which host memory of the device is made: it may be written into whatever mode comes later.

    What is made in inference mode may be changed in inference mode only, and recorded operators run outside of it. The
    tensors over the memory are still inference mode's own where PyTorch makes them so.
    """
    return torch._C._InferenceMode(False)


_AUTOCAST = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastCPU)
# What a thread has switched on and off that is doing nothing special: this is read while the bridge loads.
_INCLUDED = torch._C._dispatch_tls_local_include_set()
_EXCLUDED = torch._C._dispatch_tls_local_exclude_set()
