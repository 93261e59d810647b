"""The device's own random numbers: one generator, apart from the host's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

HostGenerator = torch._C.Generator
"""PyTorch's own class, whatever stands at `torch.Generator`."""

generator = HostGenerator()
"""The device's default generator. It lives on the host, because the device does.

As the device is set up, one takes its place that waits for what is recorded.
"""


def is_random(func: Any) -> bool:
    """Return True if `func` draws random numbers."""
    return torch.Tag.nondeterministic_seeded in func.tags


class drawing_on_device:  # noqa: N801 - reads as a statement
    """Inside, what is given no generator draws from the device's default one and not from the host's.

    Not every random operator takes a generator, so the two states change places.
    """

    _inside = False

    def __enter__(self) -> None:
        self._outer = drawing_on_device._inside
        if self._outer:
            return
        drawing_on_device._inside = True
        self._saved = torch.default_generator.get_state()
        # By the host's own methods: the device's wait for what is recorded, and that may be what draws here.
        torch.default_generator.set_state(HostGenerator.get_state(generator))

    def __exit__(self, *exc: object) -> None:
        if self._outer:
            return
        drawing_on_device._inside = False
        HostGenerator.set_state(generator, torch.default_generator.get_state())
        torch.default_generator.set_state(self._saved)


def on_device(func: Callable[..., Any]) -> Callable[..., Any]:
    """Return `func` drawing from the device's generator instead of the host's.

    An operator that was given a generator draws from that one, and no other moves.
    """

    def draw(*args: Any, **kwargs: Any) -> Any:
        if any(isinstance(x, HostGenerator) for x in (*args, *kwargs.values())):
            return func(*args, **kwargs)
        with drawing_on_device():
            return func(*args, **kwargs)

    return draw
