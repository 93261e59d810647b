"""Why a recorded program was compiled: the emulated bridge's own account of it, in the words of the user's program."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import Any

import torch

from gaudi_lab.measure.causes import signature
from gaudi_lab.measure.causes.cause import Difference
from gaudi_lab.measure.causes.signature import TensorFacts

Namer = Callable[[Any], str]

UNNAMED = "an input"
"""What an input is called that nobody has passed by name: it was computed before the call."""

OF_THE_HOST = "result of "
"""How the name of an input begins that an operator has made on the host."""

MOST_NAMED = 3
"""So many parameters of a model are named that changed alike; the others are counted."""


def differences_of(changes: Iterable[Any], name_of: Namer) -> tuple[Difference, ...]:
    """Return what is different in a recorded program, as it is called in the user's.

    One size that changes shows in many places: in inputs that were computed from others, and in every `view` that is
    told it. What grows by the same number or in the same ratio as something before it is taken for a consequence of
    that, and left out.

    Parameters
    ----------
    changes
        The changes of a departure, as the bridge tells them.
    name_of
        Returns what the holder of an input is called; empty if nobody knows.
    """
    changes = list(changes)
    consequences = _Consequences()
    found = [
        x for change in changes if change.kind == "input" for x in _input(change, name_of(change.holder))
    ]
    if any(x.what != UNNAMED for x in found):
        found = [x for x in found if x.what != UNNAMED]
    for change in changes:
        if change.kind == "input" and _facts(change.before) and _facts(change.now):
            consequences.add(change.before[0], change.now[0])
    for change in changes:
        if change.kind == "scalar" and not consequences.explain(change.before, change.now):
            what = f"{change.argument} of {change.operator}"
            found.append(Difference(what, "scalar", _text(change.before), _text(change.now)))
            consequences.add(change.before, change.now)
        elif change.kind == "operator":
            found.append(Difference("operator", "operator", change.before, change.now))
        elif change.kind.endswith("inputs"):
            number = abs(change.now - change.before)
            kind = change.kind if number > 1 else change.kind.removesuffix("s")
            found.append(Difference(f"{number} {kind}", "operator"))
        elif change.kind.endswith("operators"):
            number = change.now or change.before
            kind = change.kind if number > 1 else change.kind.removesuffix("s")
            found.append(Difference(f"{number} {kind} from {change.operator} on", "operator"))
        elif change.kind.endswith("result"):
            kept = "still wanted" if change.kind == "kept result" else "no longer wanted"
            found.append(Difference(f"result of {change.operator}", "results", now=kept))
        elif change.kind == "default dtype":
            now = signature.name_of_dtype(torch.get_default_dtype())
            found.append(Difference("torch's default dtype", "mode", now=now))
    return tuple(_grouped(found))


def name_of_result(operator: str) -> str:
    """Return what the result of an operator on the host is called, such as "result of aten.nonzero"."""
    return OF_THE_HOST + ".".join(operator.split(".")[:2])


class _Consequences:
    """Which numbers have become which others."""

    def __init__(self) -> None:
        self._ratios: set[Fraction] = set()
        self._steps: set[int] = set()

    def add(self, before: Any, now: Any) -> None:
        """Take note of a change; of numbers that are not whole ones, nothing."""
        for old, new in _pairs(before, now):
            self._steps.add(new - old)
            if new:
                self._ratios.add(Fraction(old, new))

    def explain(self, before: Any, now: Any) -> bool:
        """Return whether a change of whole numbers may follow from those noted."""
        pairs = _pairs(before, now)
        # Two dims that are made one change in the ratio of both.
        ratios = {one * other for one in (*self._ratios, Fraction(1)) for other in self._ratios}
        return bool(pairs) and all(
            new - old in self._steps or (new != 0 and Fraction(old, new) in ratios) for old, new in pairs
        )


def _pairs(before: Any, now: Any) -> list[tuple[int, int]]:
    """Return the whole numbers that differ in two values of one form; none if anything else does."""
    old, new = (list(x) if isinstance(x, (list, tuple)) else [x] for x in (before, now))
    different = [(a, b) for a, b in zip(old, new, strict=False) if a != b]
    if len(old) != len(new) or not all(type(x) is int for pair in different for x in pair):
        return []
    return different


def _input(change: Any, name: str) -> Iterator[Difference]:
    before, now = _facts(change.before), _facts(change.now)
    name = name or UNNAMED
    if before is None or now is None:
        yield Difference(name, "optional", _kind(change.before), _kind(change.now))
        return
    found = signature.differ(name, before, now)
    yield from found or [Difference(name, "strides", f"offset {change.before[2]}", f"offset {change.now[2]}")]


def _facts(entered: Any) -> TensorFacts | None:
    """Return what a tensor on the device enters a program with; None for a value of the host, or a generator."""
    if isinstance(entered, tuple) and len(entered) == 4:
        size, stride, _, dtype = entered
        return TensorFacts(tuple(size), stride, dtype, "hpu", requires_grad=False)
    return None


def _kind(entered: Any) -> str:
    if entered == "generator":
        return "a generator"
    if isinstance(entered, tuple) and entered[0] == "host":
        return f"a {signature.name_of_dtype(entered[1])} of the host"
    return "a tensor"


def _text(value: Any) -> str:
    return signature.name_of_dtype(value) if isinstance(value, torch.dtype) else str(value)


def _grouped(differences: list[Difference]) -> Iterator[Difference]:
    """Yield differences, those that many values have alike as one: the weights of a model that is now bfloat16."""
    alike: dict[tuple[str, str, str], list[str]] = {}
    for x in differences:
        alike.setdefault((x.kind, x.before, x.now), []).append(x.what)
    for (kind, before, now), names in alike.items():
        yield Difference(some_of(list(dict.fromkeys(names))), kind, before, now)


def some_of(names: list[str]) -> str:
    """Return names in one line; of many, the first and how many there are besides."""
    return f"{names[0]} and {len(names) - 1} more" if len(names) > MOST_NAMED else ", ".join(names)
