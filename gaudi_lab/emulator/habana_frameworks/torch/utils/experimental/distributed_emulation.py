"""One rank of a training on many cards, alone on one: Intel's "distributed emulation", which skips collectives."""

from __future__ import annotations

from gaudi_lab.emulator.process.flags import read_boolean


def is_distributed_emulation_enabled() -> bool:
    """Return True if ``PT_HPU_EMULATE_DISTRIBUTED`` asks for it."""
    return read_boolean("PT_HPU_EMULATE_DISTRIBUTED", default=False)


def distributed_emulation_apply_if_enabled() -> None:
    """Do nothing, unless the environment asks for it.

    Raises
    ------
    NotImplementedError
        It asks for it: without its collectives a program trains on wrong gradients, and there is no hardware here
        whose speed that would be worth.
    """
    if is_distributed_emulation_enabled():
        raise NotImplementedError(
            "PT_HPU_EMULATE_DISTRIBUTED=1 measures one rank without its collectives and is not emulated: unset it, and "
            "start several processes with torchrun; the backend hccl computes on the host"
        )
