"""Which operators can stand in for parts of a model: Gaudi's own, and those that others add."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches

from gaudi_lab.errors import LabValueError
from gaudi_lab.instruments.fused_operators.place import FusedOperator
from gaudi_lab.instruments.fused_operators.rms_norms import RMS_NORM
from gaudi_lab.instruments.fused_operators.rotary_embeddings import ROTARY
from gaudi_lab.instruments.fused_operators.softmaxes import SOFTMAX
from gaudi_lab.instruments.handle import Handle

Source = Callable[[], Iterable[FusedOperator]]

_GAUDIS_OWN: tuple[FusedOperator, ...] = (RMS_NORM, ROTARY, SOFTMAX)
_sources: list[Source] = [lambda: _GAUDIS_OWN]


def list_operators() -> list[FusedOperator]:
    """Return all operators, Gaudi's own first."""
    return [operator for source in _sources for operator in source()]


def add_source(source: Source) -> Handle:
    """Add operators to the list: `source` is asked each time, so that it may change what it has.

    Returns
    -------
    Handle
        Removing it takes them off the list.
    """
    _sources.append(source)
    return Handle(lambda: _sources.remove(source))


def find_operator(name: str) -> FusedOperator:
    """Return the operator called `name`.

    Raises
    ------
    LabValueError
        If there is none, with those there are.
    """
    known = {operator.name: operator for operator in list_operators()}
    if name in known:
        return known[name]
    raise unknown(name, known)


def unknown(name: str, names: Iterable[str], *, on: bool = True) -> LabValueError:
    """Return the error that says that no operator is called `name`, with the nearest of `names` to switch on or off."""
    names = list(names)
    begun = [one for one in names if name and name.lower() in one]
    near = next(iter(begun or get_close_matches(name.lower(), names, 1)), None)
    return LabValueError(
        f"No operator is called {name!r}; there are {', '.join(names)}.",
        python=f'gaudi_lab.use_operator("{near}", model)' if near else "gaudi_lab.operators(model)",
        magic=f"%gaudi_ops {'on' if on else 'off'} {near}" if near else "%gaudi_ops",
    )
