"""Where host tensors compute for the device: outside the modes that the user's code is in the middle of."""

from __future__ import annotations

from typing import Any

import torch


class on_the_host:  # noqa: N801 - reads as a statement
    """Outside inference mode, below autograd, without autocast: the user's modes are about the device.

    With `dtype`, that is PyTorch's default dtype inside.
    """

    __slots__ = ("_dtype", "_inference", "_keys", "_outer")

    def __init__(self, dtype: torch.dtype | None = None) -> None:
        self._dtype = dtype

    def __enter__(self) -> None:
        self._outer = torch.get_default_dtype()
        if self._dtype is not None and self._dtype is not self._outer:
            torch.set_default_dtype(self._dtype)
        # A guard takes half a microsecond, and so is there only where it has something to do.
        self._inference = torch._C._InferenceMode(False) if torch.is_inference_mode_enabled() else None
        if self._inference is not None:
            self._inference.__enter__()
        self._keys = torch._C._ForceDispatchKeyGuard(_INCLUDED, _EXCLUDED)
        self._keys.__enter__()

    def __exit__(self, *exc: object) -> None:
        self._keys.__exit__(*exc)
        if self._inference is not None:
            self._inference.__exit__(*exc)
        if self._dtype is not None and self._dtype is not self._outer:
            torch.set_default_dtype(self._outer)


def lasting() -> Any:
    """Return the context in which host memory of the device is made: it may be written into whatever mode comes later.

    What is made in inference mode may be changed in inference mode only, and recorded operators run outside of it. The
    tensors over the memory are still inference mode's own where PyTorch makes them so.
    """
    return torch._C._InferenceMode(False)


# What a thread has switched on that is doing nothing special: this is read while the bridge loads. While an operator is
# dispatched to Python, PyTorch ignores conjugate bits, and host kernels need them.
_INCLUDED = torch._C._dispatch_tls_local_include_set()
with torch._C._AutoDispatchBelowAutograd():
    # And what it has switched off, with autograd and autocast.
    _EXCLUDED = torch._C._dispatch_tls_local_exclude_set() | torch._C.DispatchKeySet(
        torch._C.DispatchKey.AutocastCPU
    )
