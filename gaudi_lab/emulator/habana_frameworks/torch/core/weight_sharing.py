"""Weight sharing in lazy mode: `module.to(...)` keeps what was shared shared, and what was held held.

A module that moves to another kind of device may get new parameters. Then two layers that shared a weight would no
longer, and an optimizer made before the move would train the old ones. The bridge's lazy mode prevents both. It is
on unless ``PT_HPU_WEIGHT_SHARING=0``, and decided when the bridge loads.

Source: the bridge's ``core/weight_sharing.py``, release 1.19. There a parameter becomes a proxy of class
`HabanaParameterWrapper`. Here it stays what it is and changes places with its successor, so the class is one that
any parameter of the device is an instance of.
"""

from __future__ import annotations

import functools
from typing import Any

import torch

from gaudi_lab.emulator.process import flags
from gaudi_lab.emulator.torch_patches import module_moves

_UNSUCCESSFUL = (
    "Weight sharing unsuccessful. You can disable weight sharing by setting: PT_HPU_WEIGHT_SHARING=0"
)

_on = False


class _OfTheDevice(type(torch.nn.Parameter)):  # type: ignore[misc]
    """Asks a parameter whether it is one that weight sharing looks after."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return _on and isinstance(instance, torch.nn.Parameter) and instance.device.type == "hpu"


class HabanaParameterWrapper(torch.nn.Parameter, metaclass=_OfTheDevice):
    """What a parameter on the device is in lazy mode, as `isinstance` sees it."""


def asked_for() -> bool:
    """Return True unless the environment turns weight sharing off."""
    return flags.get("PT_HPU_WEIGHT_SHARING") and flags.read_boolean(
        "EXPERIMENTAL_WEIGHT_SHARING", default=True
    )


def install() -> None:
    """Let `torch.nn.Module.to` keep parameters shared and held. Happens once, as lazy mode loads."""
    global _on
    _on = True
    move = torch.nn.Module.to

    @functools.wraps(move)
    def to(self: torch.nn.Module, *args: Any, **kwargs: Any) -> torch.nn.Module:
        before = _parameters(self)
        result: torch.nn.Module = move(self, *args, **kwargs)
        _reconnect(before, _parameters(self))
        return result

    torch.nn.Module.to = to  # type: ignore[method-assign,assignment]


_Place = tuple[torch.nn.Module, str, "torch.nn.Parameter | None"]


def _parameters(module: torch.nn.Module) -> list[_Place]:
    """Return every place of a parameter in `module`, and what is there. A shared one stands in several."""
    return [
        (owner, name, parameter)
        for owner in module.modules()
        for name, parameter in owner._parameters.items()
    ]


def _reconnect(before: list[_Place], after: list[_Place]) -> None:
    """Put the parameters of `before`, with the values of `after`, back into their places.

    Raises
    ------
    Exception
        The move has made or lost a parameter, so that nobody can say which one followed which.
    """
    if [place[:2] for place in before] != [place[:2] for place in after]:
        raise Exception(_UNSUCCESSFUL)
    kept: dict[int, torch.nn.Parameter] = {}
    for (owner, name, old), (_, _, new) in zip(before, after, strict=True):
        if old is None or new is None:
            continue
        if id(old) not in kept:
            kept[id(old)] = old if old is new or _replace(old, new) else new
        owner._parameters[name] = kept[id(old)]


def _replace(old: torch.nn.Parameter, new: torch.nn.Parameter) -> bool:
    """Let `old` become what `new` is, for everybody who holds it; False if a graph of autograd still needs it."""
    if module_moves.is_held(old):
        return False
    torch.utils.swap_tensors(old, new)
    return True
