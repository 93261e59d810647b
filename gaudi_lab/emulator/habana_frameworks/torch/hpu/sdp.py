"""Whether fused attention recomputes its probabilities in the backward pass instead of keeping them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_recompute = True


def recompute_sdp_enabled() -> bool:
    """Return True if fused attention recomputes where its caller does not say."""
    return _recompute


def enable_recompute_sdp(enabled: bool) -> None:
    """Let fused attention recompute, or keep its probabilities, where its caller does not say."""
    global _recompute
    _recompute = bool(enabled)


@contextmanager
def sdp_kernel(enable_recompute: bool = True) -> Iterator[None]:
    """Let fused attention recompute, or not, inside a `with`."""
    before = recompute_sdp_enabled()
    enable_recompute_sdp(enable_recompute)
    try:
        yield
    finally:
        enable_recompute_sdp(before)
