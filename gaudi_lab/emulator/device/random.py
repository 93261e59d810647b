"""The device's own random numbers: one generator, apart from the host's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

generator = torch.Generator()
"""The state of the device's default generator. It lives on the host, because the device does."""


def is_random(func: Any) -> bool:
    """Return True if `func` draws random numbers."""
    return torch.Tag.nondeterministic_seeded in func.tags


def on_device(func: Callable[..., Any]) -> Callable[..., Any]:
    """Return `func` drawing from the device's generator instead of the host's.

    Not every random operator takes a generator, so the two states change places around the call. An
    operator that was given a generator draws from that one, and neither state moves.
    """

    def draw(*args: Any, **kwargs: Any) -> Any:
        host = torch.default_generator
        saved = host.get_state()
        host.set_state(generator.get_state())
        try:
            return func(*args, **kwargs)
        finally:
            generator.set_state(host.get_state())
            host.set_state(saved)

    return draw
