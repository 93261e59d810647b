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

    def __enter__(self) -> drawing_on_device:
        self._outer = drawing_on_device._inside
        if not self._outer:
            self._saved = torch.default_generator.get_state()
            # By the host's own methods: the device's wait for what is recorded, and that may be what draws here.
            self._began = HostGenerator.get_state(generator)
            torch.default_generator.set_state(self._began)
            drawing_on_device._inside = True
        return self

    def __exit__(self, *exc: object) -> None:
        if self._outer:
            return
        drawing_on_device._inside = False
        self._ended = torch.default_generator.get_state()
        HostGenerator.set_state(generator, self._ended)
        torch.default_generator.set_state(self._saved)

    @property
    def drawn(self) -> bool:
        """Whether anything was drawn, or may have been, once it is over."""
        # As bytes: who traces or watches operators sees none of it.
        return self._outer or self._began.numpy().tobytes() != self._ended.numpy().tobytes()


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
