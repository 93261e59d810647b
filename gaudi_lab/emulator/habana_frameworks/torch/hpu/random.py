"""Random numbers of the device."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from gaudi_lab.emulator.torch_patches.generator import default_generator

from ._utils import _get_device_index

default_generators = (default_generator,)


def _check(device: Any, what: str) -> None:
    if _get_device_index(device, optional=True) != 0:
        raise RuntimeError(f"hpu {what} supports only device 0")


def get_rng_state(device: Any = "hpu") -> torch.Tensor:
    """Return the state of the device's generator, a byte tensor on the host.

    Raises
    ------
    RuntimeError
        `device` is another than 0: a process holds one.
    """
    _check(device, "get_rng_state")
    return default_generator.get_state()


def set_rng_state(new_state: torch.Tensor, device: Any = "hpu") -> None:
    """Set the state of the device's generator.

    Raises
    ------
    RuntimeError
        `device` is another than 0: a process holds one.
    """
    _check(device, "set_rng_state")
    default_generator.set_state(new_state)


def get_rng_state_all() -> list[torch.Tensor]:
    """Return the states of all devices' generators."""
    return [get_rng_state()]


def set_rng_state_all(new_states: Iterable[torch.Tensor]) -> None:
    """Set the states of all devices' generators: of one.

    Raises
    ------
    RuntimeError
        There is not one state.
    """
    new_states = list(new_states)
    if len(new_states) != 1:
        raise RuntimeError("hpu set_rng_state_all supports only states len of 1")
    for state in new_states:
        set_rng_state(state)


def manual_seed(seed: int) -> torch.Generator:
    """Seed the device's generator, and return it; the same seed draws what the CPU draws from it."""
    return default_generator.manual_seed(int(seed))


manual_seed_all = manual_seed


def seed() -> int:
    """Seed the device's generator from the system's randomness, and return the seed."""
    return default_generator.seed()


seed_all = seed


def initial_seed() -> int:
    """Return the seed of the device's generator."""
    return default_generator.initial_seed()
