"""Why a recorded program has to be compiled: in what it differs from the closest one that was compiled before.

Two programs of the same operators are compared step by step: which inputs have another signature, which scalars
another value. Of several the closest is taken, with the fewest differences, and of those the newest. Programs of
other operators are compared by what they share at the beginning and at the end; if that is less than half, a program
counts as the first of its kind. A program of the very same steps differs in which results are still wanted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from gaudi_lab.emulator.lazy.program import Step
from gaudi_lab.origin import Origin

MOST_COMPARED = 64
"""With how many earlier programs, of the same operators or else of any, a new one is compared."""


class Known(Protocol):
    """One step of a known program: what `gaudi_lab.emulator.lazy.record.Node` has of it."""

    key: Any
    parent: Any
    step: Step | None

    @property
    def origin(self) -> Origin | None:
        """Where the step was first seen."""


class Deviation(NamedTuple):
    """One difference.

    Attributes
    ----------
    kind
        "input", "scalar", "operator", "more operators", "fewer operators", "more inputs", "fewer inputs", "kept
        result", "dropped result" or "default dtype".
    operator
        The operator that it is about; empty for an input.
    argument
        Which of its arguments, for a scalar.
    before, now
        For an input, its signature: size, strides, offset, dtype. For a scalar, its value. For an operator, its
        name; for more or fewer of them, how many.
    holder
        What holds the input; None for others.
    origin
        Where the step was first seen; of operators that are gone, the first of them.
    """

    kind: str
    operator: str = ""
    argument: str = ""
    before: Any = None
    now: Any = None
    holder: Any = None
    origin: Origin | None = None


class Departure(NamedTuple):
    """Why a program is compiled.

    Attributes
    ----------
    name
        What the counters call it.
    steps
        How many operators it has.
    recording
        The number of the recording that it comes from.
    kind
        "first" if none like it was compiled before, "forgotten" if it was and the trie has been emptied since,
        "changed" otherwise.
    earlier
        What the counters call the closest earlier program; empty if it is a first.
    changes
        All differences from that.
    origin
        Where its last step comes from.
    inputs
        What holds its inputs, in order.
    """

    name: str
    recording: int
    steps: int
    kind: str
    earlier: str
    changes: tuple[Deviation, ...]
    origin: Origin | None
    inputs: tuple[Any, ...]


class _Program:
    """A program that was compiled."""

    def __init__(self, name: str, node: Known, wanted: tuple[int, ...], number: int = 0) -> None:
        self.number = number
        self.name = name
        self.path = list(_path(node))
        self.wanted = wanted
        self.operators = tuple([known.step.func for known in self.path])  # type: ignore[union-attr]

    @property
    def key(self) -> int:
        return hash((tuple([known.key for known in self.path]), self.wanted))


class Programs:
    """All programs that were compiled, and how a new one departs from them."""

    def __init__(self) -> None:
        self._nodes: list[tuple[str, Known, tuple[int, ...]]] = []
        self._forgotten: set[int] = set()
        self._alike: dict[tuple[Any, ...], list[_Program]] = {}
        self._read = 0

    def note(self, name: str, node: Known, wanted: tuple[int, ...]) -> None:
        """Take down a program that is being compiled."""
        self._nodes.append((name, node, wanted))

    def forget(self) -> None:
        """Let go of all programs: the trie has been emptied."""
        self._catch_up()
        self._forgotten.update([program.key for group in self._alike.values() for program in group])
        self._nodes.clear()
        self._alike.clear()
        self._read = 0

    def clear(self) -> None:
        """Forget all programs, and which were let go of."""
        self.forget()
        self._forgotten.clear()

    def compare(
        self, name: str, node: Known, wanted: tuple[int, ...], inputs: Sequence[Any], recording: int
    ) -> Departure:
        """Return how the program that ends at `node` differs from those noted so far.

        Parameters
        ----------
        name, node, wanted
            What the counters call it, where it ends, and which slots it returns.
        inputs
            What holds its inputs, in order.
        recording
            The number of its recording.
        """
        self._catch_up()
        new = _Program(name, node, wanted)
        steps = sum(operator is not None for operator in new.operators)
        kind, earlier, changes = self._changes(new, inputs)
        return Departure(name, recording, steps, kind, earlier, changes, node.origin, tuple(inputs))

    def _changes(self, new: _Program, inputs: Sequence[Any]) -> tuple[str, str, tuple[Deviation, ...]]:
        if new.key in self._forgotten:
            return "forgotten", "", ()
        alike = self._alike.get(new.operators, [])[-MOST_COMPARED:]
        if alike:
            closest = min(reversed(alike), key=lambda program: _distance(program, new))
            return "changed", closest.name, tuple(_differences(closest, new, inputs))
        latest = sorted([group[-1] for group in self._alike.values()], key=lambda program: -program.number)
        nearest = max(latest[:MOST_COMPARED], key=lambda program: _shared(program, new)[2], default=None)
        if nearest is None or _shared(nearest, new)[2] < 0.5:
            return "first", "", ()
        alike = self._alike[nearest.operators][-MOST_COMPARED:]
        nearest = min(reversed(alike), key=lambda program: _distance_at_the_ends(program, new))
        return "changed", nearest.name, (_other_operators(nearest, new),)

    def _catch_up(self) -> None:
        # Reading a program's path takes time that only whoever asks should pay.
        for name, node, wanted in self._nodes[self._read :]:
            program = _Program(name, node, wanted, number=self._read)
            self._read += 1
            self._alike.setdefault(program.operators, []).append(program)


def _path(node: Known) -> list[Known]:
    path = []
    while node.step is not None:
        path.append(node)
        node = node.parent
    path.reverse()
    return path


def _distance(one: _Program, other: _Program) -> int:
    if one.path[-1] is other.path[-1]:
        return 0
    return sum(a is not b and a.key != b.key for a, b in zip(one.path, other.path, strict=True))


def _distance_at_the_ends(one: _Program, other: _Program) -> int:
    """Return how many steps differ of those whose operators two programs share."""
    beginning, end, _ = _shared(one, other)
    pairs = [*zip(one.path[:beginning], other.path[:beginning], strict=True)]
    if end:
        pairs += zip(one.path[-end:], other.path[-end:], strict=True)
    return sum(a is not b and a.key != b.key for a, b in pairs)


def _differences(earlier: _Program, new: _Program, inputs: Sequence[Any]) -> Iterator[Deviation]:
    if [x.key for x in earlier.path] == [x.key for x in new.path]:
        yield from _results(earlier, new) if earlier.wanted != new.wanted else [Deviation("default dtype")]
        return
    entering = -1
    for before, now in zip(earlier.path, new.path, strict=True):
        entered = now.step.func is None  # type: ignore[union-attr]
        entering += entered
        if before is now or before.key == now.key:
            continue
        if entered:
            yield Deviation("input", "", "", before.key, now.key, inputs[entering], now.origin)
        else:
            yield from _scalars(before, now)


def _scalars(before: Known, now: Known) -> Iterator[Deviation]:
    func = now.step.func  # type: ignore[union-attr]
    _, named, *parts = now.key
    _, named_before, *parts_before = before.key
    names = [argument.name for argument in func._schema.arguments]
    operator = name_of(func)
    pairs = [*zip(names, parts_before, parts, strict=False)]
    pairs += [(name, dict(named_before or ()).get(name), x) for name, x in named or ()]
    for name, old, new in pairs:
        if old == new:
            continue
        if old.__class__ is int or new.__class__ is int:  # the numbers of slots: it reads something else
            yield Deviation("operator", operator, name, "another operand", "", None, now.origin)
        else:
            yield Deviation("scalar", operator, name, _value(old), _value(new), None, now.origin)


def _results(earlier: _Program, new: _Program) -> Iterator[Deviation]:
    makers = {}
    for known in new.path:
        step = known.step
        assert step is not None
        for offset in range(len(step.metas()) or 1):
            makers[step.first + offset] = known
    for kind, slots in (
        ("kept result", set(new.wanted) - set(earlier.wanted)),
        ("dropped result", set(earlier.wanted) - set(new.wanted)),
    ):
        for slot in sorted(slots):
            maker = makers[slot]
            yield Deviation(kind, name_of(maker.step.func), "", None, None, None, maker.origin)  # type: ignore[union-attr]


def _shared(one: _Program, other: _Program) -> tuple[int, int, float]:
    """Return how many operators two programs share at the beginning and at the end, and which part of all that is."""
    shorter = min(len(one.operators), len(other.operators))
    beginning = _run(one.operators, other.operators, shorter)
    end = _run(one.operators[::-1], other.operators[::-1], shorter - beginning)
    longer = max(len(one.operators), len(other.operators))
    return beginning, end, (beginning + end) / longer


def _run(one: Sequence[Any], other: Sequence[Any], most: int) -> int:
    return next((i for i in range(most) if one[i] is not other[i]), most)


def _other_operators(earlier: _Program, new: _Program) -> Deviation:
    beginning, end, _ = _shared(earlier, new)
    before = [x for x in earlier.operators[beginning : len(earlier.operators) - end] if x is not None]
    now = [x for x in new.operators[beginning : len(new.operators) - end] if x is not None]
    there = new.path[min(beginning, len(new.path) - 1)].origin
    gone = earlier.path[min(beginning, len(earlier.path) - 1)].origin
    if not before and not now:
        had, has = (sum(x is None for x in program.operators) for program in (earlier, new))
        return Deviation("more inputs" if has > had else "fewer inputs", "", "", had, has, None, there)
    if before and not now:
        return Deviation("fewer operators", name_of(before[0]), "", len(before), 0, None, gone)
    if now and not before:
        return Deviation("more operators", name_of(now[0]), "", 0, len(now), None, there)
    left, came = (name_of(x[0]) if x else "an input" for x in (before, now))
    return Deviation("operator", came, "", left, came, None, there)


def _value(part: Any) -> Any:
    """Return the scalar behind a part of a step's key, in which its class stands beside it."""
    if part.__class__ is tuple and len(part) == 2 and part[0].__class__ is type:
        return list(part[1]) if part[0] is list else part[1]
    return part


def name_of(func: Any) -> str:
    """Return what people call an operator, such as ``aten.add``."""
    return "" if func is None else func._schema.name.replace("::", ".")


programs = Programs()
