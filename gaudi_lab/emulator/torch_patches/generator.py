"""`torch.Generator("hpu")`: PyTorch's Python backend cannot make one, so a host generator stands in for it."""

from __future__ import annotations

from typing import Any

import torch

from gaudi_lab.emulator.device import random
from gaudi_lab.emulator.device.acquire import check_index
from gaudi_lab.emulator.device.random import HostGenerator
from gaudi_lab.emulator.lazy.record import tape


class HpuGenerator(HostGenerator):
    """A generator of the device. It draws what a CPU generator of the same seed draws.

    What is recorded draws when it runs, so a change of the state lets everything recorded run first.
    """

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """The device, `hpu:0`."""
        return torch.device("hpu", 0)

    def _settle(self) -> Any:
        """Return the generator of the host that this one is, with everything recorded so far drawn."""
        return tape.settle(super())

    def manual_seed(self, seed: int) -> HpuGenerator:
        """Set the seed and return the generator."""
        self._settle().manual_seed(seed)
        return self

    def seed(self) -> int:
        """Set a seed from the system's randomness, and return it."""
        seed: int = self._settle().seed()
        return seed

    def get_state(self) -> torch.Tensor:
        """Return the state, a byte tensor on the host."""
        state: torch.Tensor = self._settle().get_state()
        return state

    def set_state(self, state: torch.Tensor) -> HpuGenerator:
        """Set the state, and return the generator."""
        self._settle().set_state(state.cpu())
        return self

    def clone_state(self) -> HpuGenerator:
        """Return a new generator in the same state."""
        return HpuGenerator().set_state(self.get_state())

    def __reduce__(self) -> Any:
        return _rebuild, (self.get_state(),)


def _rebuild(state: torch.Tensor) -> HpuGenerator:
    return HpuGenerator().set_state(state)


class _GeneratorType(type(HostGenerator)):  # type: ignore[misc]
    """Makes every generator an instance of what stands at `torch.Generator`."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, HostGenerator)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, HostGenerator)


class Generator(HostGenerator, metaclass=_GeneratorType):
    """What stands at `torch.Generator` while the device exists: it knows ``"hpu"`` too."""

    def __new__(cls, device: Any = "cpu") -> Any:
        """Make a generator for `device`."""
        if check_index(torch.device(device)).type == "hpu":
            return HpuGenerator()
        return HostGenerator(device)


default_generator = HpuGenerator()
"""What the device draws from where no generator is given."""


def set_up() -> None:
    """Let `torch.Generator` know the device, and the device draw from `default_generator`."""
    Generator.__module__, Generator.__qualname__ = "torch", "Generator"
    torch.Generator = Generator  # type: ignore[misc]
    random.generator = default_generator.manual_seed(torch.initial_seed())
