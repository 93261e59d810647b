"""GPU migration, by which a program written for CUDA runs on a Gaudi: whether the environment asks for it."""

from __future__ import annotations

from gaudi_lab.emulator.process.flags import read_boolean


def is_asked_for() -> bool:
    """Return True if the environment asks for GPU migration, by ``PT_HPU_GPU_MIGRATION``."""
    return read_boolean("PT_HPU_GPU_MIGRATION", default=False)
