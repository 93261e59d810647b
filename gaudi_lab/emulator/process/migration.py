"""GPU migration, by which a program written for CUDA runs on a Gaudi: not emulated, and never silently left out."""

from __future__ import annotations

import sys

from gaudi_lab.emulator.process.flags import read_boolean

REFUSAL = (
    'GPU migration, which runs a program written for CUDA on hpu, is not emulated: write device "hpu" where the '
    'program says "cuda"'
)


def is_asked_for() -> bool:
    """Return True if the environment asks for GPU migration.

    diffusers sets the variable by itself in `pipeline.to("hpu")`, for code that a pipeline may call. A pipeline on
    `hpu` needs none of it.
    """
    return read_boolean("PT_HPU_GPU_MIGRATION", default=False) and "diffusers" not in sys.modules


def stop_if_asked_for() -> None:
    """End the program if the environment asks for GPU migration: on the CPU it would run, and say nothing.

    Raises
    ------
    SystemExit
        It is asked for. No other exception leaves `import torch` with its own text.
    """
    if is_asked_for():
        raise SystemExit(f"PT_HPU_GPU_MIGRATION=1: {REFUSAL}, and unset the variable.")
