"""From what compilers and calls tell to a cause in words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from torch import nn

from gaudi_lab import errors
from gaudi_lab.measure.causes import places, recorded, remedies, signature
from gaudi_lab.measure.causes.cause import Cause, Difference, Place
from gaudi_lab.measure.causes.guards.guard_words import FROM_THE_BREAK
from gaudi_lab.measure.causes.guards.tracing import Tracing, recompile_limit
from gaudi_lab.measure.causes.signature import Signature
from gaudi_lab.report import GraphRefusal

MOST_LIKELY = 3
"""With more differences than these between two calls, none of them is named as the likely one."""


@dataclass(frozen=True)
class About:
    """What something was compiled for: the model, its module, the line of source, and the line of the call.

    `inside` is True if it happened within a call of a module.
    """

    model: str = ""
    module: str = ""
    source: Place | None = None
    call: Place | None = None
    inside: bool = False


class _MadeCall(Protocol):
    name: str
    signature: Signature
    differences: tuple[Difference, ...] | None

    @property
    def module(self) -> nn.Module | None: ...
    @property
    def positional(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Made:
    """The calls that one program was recorded in.

    Attributes
    ----------
    calls
        The model's name and the signature of each.
    new
        In what the only call differs from the closest one of the model before it; empty if there are more, or nothing
        is new. None for a model's first call.
    attributes
        The plain attributes of the models' modules, by path, when it was compiled.
    """

    calls: tuple[tuple[str, Signature], ...]
    new: tuple[Difference, ...] | None
    attributes: dict[str, Any]

    @classmethod
    def by(cls, calls: Sequence[_MadeCall]) -> Made:
        """Return what is to be remembered of calls."""
        modules = {id(call.module): call.module for call in calls if call.module is not None}
        return cls(
            tuple([(call.name, call.signature) for call in calls]),
            calls[0].differences if len(calls) == 1 else (),
            {name: x for module in modules.values() for name, x in signature.read_attributes(module).items()},
        )

    def differences(self, earlier: Made | None) -> tuple[Difference, ...]:
        """Return in what these calls and models differ from those of an earlier program; empty if nobody knows."""
        if earlier is None or [name for name, _ in self.calls] != [name for name, _ in earlier.calls]:
            return ()
        pairs = zip(earlier.calls, self.calls, strict=True)
        found = [x for (_, before), (_, now) in pairs for x in signature.compare(before, now)]
        return (*found, *signature.compare_attributes(earlier.attributes, self.attributes))


def program(departure: Any, name_of: recorded.Namer, about: About, made: Made, earlier: Made | None) -> Cause:
    """Return why a recorded program is compiled.

    Parameters
    ----------
    departure
        In what it differs from the closest earlier one, as the bridge tells it.
    name_of
        Returns what the holder of an input is called.
    about
        What it belongs to.
    made, earlier
        The calls behind it and behind the closest earlier program; None if nobody knows them.
    """
    if departure.kind == "forgotten":
        text = "compiled before, and forgotten since: the record of programs was full"
        return _cause("forgotten", text, about, remedy=remedies.FORGOTTEN)
    if departure.kind == "first":
        first = "first call" if made.new is None else "first of its kind"
        text = f"{first}: {_count(departure.steps, 'operator')}"
        return _with_likely(_cause("first", text, about), made.new if about.inside and made.new else ())
    of_calls = made.differences(earlier)
    found = recorded.differences_of(departure.changes, name_of)
    differences = tuple([_in_words_of_the_call(x, of_calls) for x in found])
    if not differences:
        return _cause("unknown", "other operators or values", about, established=False)
    remedy = remedies.for_differences(differences)
    cause = _cause(differences[0].kind, text_of(differences), about, differences, remedy=remedy)
    # What nobody has passed by name follows from something in the call.
    other_operators = all(
        x.kind in ("operator", "results") or x.what == recorded.UNNAMED for x in differences
    )
    if not other_operators:
        return cause
    if not about.inside:  # what was done before the call may have made what it is given
        return _with_likely(cause, of_calls)
    # The closest program may be of other calls than the closest call.
    return _with_likely(cause, of_calls if 0 < len(of_calls) <= MOST_LIKELY else made.new or ())


def _with_likely(cause: Cause, of_calls: tuple[Difference, ...]) -> Cause:
    """Return a cause with what is different in the calls too.

    That the operators differ is known, and that the calls do; not that the one is for the other. The kind and the
    remedy are of what is likely.
    """
    if not 0 < len(of_calls) <= MOST_LIKELY:
        return cause
    return replace(
        cause,
        kind=of_calls[0].kind,
        text=f"{cause.text}; likely {text_of(of_calls)}",
        differences=(*cause.differences, *of_calls),
        established=False,
        remedy=remedies.for_differences(of_calls),
    )


def tracing(traced: Tracing, about: About, call: _MadeCall | None = None) -> Cause:
    """Return why Dynamo traces a function.

    Parameters
    ----------
    traced
        What Dynamo tells.
    about
        What it belongs to.
    call
        The call of a model that is running; None if none is.
    """
    differences = traced.differences
    if call is not None:
        differences = _by_argument(differences, call)
    if traced.limit:
        text = (
            f"recompile limit of {recompile_limit()} reached: {traced.function} runs uncompiled from here on"
        )
        text += f"; last: {text_of(differences)}" if differences else ""
        return _cause("limit", text, about, differences, remedy=remedies.LIMIT)
    if differences:
        remedy = remedies.for_differences(differences, traced=True)
        if traced.broken is not None and any(x.what.startswith(FROM_THE_BREAK) for x in differences):
            remedy = remedies.for_break(traced.broken.reason)
        return _cause(differences[0].kind, text_of(differences), about, differences, remedy=remedy)
    if traced.broken is not None:
        reason, file, line = traced.broken
        about = replace(about, source=places.at(file, line))
        return _cause("graph break", f"graph break: {reason}", about, remedy=remedies.for_break(reason))
    if traced.failed:
        reason = errors.first_line(traced.failed)
        return _cause("failed", f"{traced.function} could not be traced: {reason}", about)
    if traced.again:
        text = f"{traced.function} compiled again, and no guard says why"
        return _cause("unknown", text, about, established=False)
    return _cause("first", "first call" if about.model else f"first call of {traced.function}", about)


def _by_argument(differences: tuple[Difference, ...], call: _MadeCall) -> tuple[Difference, ...]:
    """Return differences in arguments by the names that the model's forward gives them.

    A model that is compiled in place is traced as a function of any arguments: that another one was given shows there
    in their number.
    """
    found: dict[Difference, None] = {}
    for x in differences:
        if x.what in ("length of args", "length of kwargs") and call.differences:
            found |= dict.fromkeys(call.differences)
            continue
        number = re.fullmatch(r"argument (\d+)(.*)", x.what)
        names = call.positional
        if number is not None and int(number.group(1)) < len(names):
            x = replace(x, what=names[int(number.group(1))] + number.group(2))
        found[x] = None
    return tuple(found)


def capture(differences: tuple[Difference, ...] | None, about: About) -> Cause:
    """Return why an HPU graph is captured.

    Parameters
    ----------
    differences
        From the closest call that was captured; None if none was.
    about
        What it belongs to.
    """
    if differences is None:
        return _cause("graph", "first HPU graph", about)
    if not differences:
        return _cause("graph", "captured an HPU graph again", about, established=False)
    remedy = remedies.for_differences(differences)
    return _cause("graph", f"HPU graph for {text_of(differences)}", about, differences, remedy=remedy)


def refusal(reason: GraphRefusal, about: About) -> Cause:
    """Return why a call runs without an HPU graph."""
    return _cause("refused", f"no HPU graph: {reason.text}", about, remedy=reason.remedy)


def other_constants(about: About) -> Cause:
    """Return why a program is compiled once more: it has parameters as constants, and those are others now."""
    return _cause(
        "constants",
        "the parameters, which are constants of the graph, are others now",
        about,
        remedy="GAUDI_LAB_COMPILER=replay in the environment while weights change",
    )


def first_replay(about: About) -> Cause:
    """Return why something is compiled within a replay: copying inputs into a graph is compiled apart from it."""
    return _cause("graph", "first replay", about)


def results_of_a_graph(about: About) -> Cause:
    """Return why what is done with an HPU graph's results is compiled the first time: the graph is new."""
    return _cause("graph", "first use of an HPU graph's results", about)


def call(differences: tuple[Difference, ...], about: About) -> Cause:
    """Return what is new in a call, where nobody tells whether that is why something was compiled."""
    remedy = remedies.for_differences(differences)
    text = f"likely {text_of(differences)}"
    return _cause(differences[0].kind, text, about, differences, remedy=remedy, established=False)


def text_of(differences: Iterable[Difference]) -> str:
    """Return differences in one line, those that are alike together: input_ids, attention_mask 4×7 → 4×8."""
    alike: dict[tuple[str, str], list[str]] = {}
    for x in differences:
        alike.setdefault((x.before, x.now), []).append(x.what)
    return ", ".join(
        [str(Difference(recorded.some_of(names), "", before, now)) for (before, now), names in alike.items()]
    )


def _in_words_of_the_call(found: Difference, of_calls: tuple[Difference, ...]) -> Difference:
    """Return a number that an operator was given as the argument or attribute that went from and to the same values.

    So it is with the size of an argument that was made on the device: the operator that made it was told the size.
    """
    if found.kind != "scalar":
        return found
    values = found.before, found.now
    sizes = tuple([value.strip("[]").replace(", ", "×") for value in values])
    same = [x for x in of_calls if (x.before, x.now) in (values, sizes)]
    return same[0] if len({(x.kind, x.before) for x in same}) == 1 else found


def _cause(
    kind: str,
    text: str,
    about: About,
    differences: tuple[Difference, ...] = (),
    *,
    remedy: str = "",
    established: bool = True,
) -> Cause:
    return Cause(
        kind,
        text,
        differences,
        established,
        model=about.model,
        module=about.module,
        source=about.source,
        call=about.call,
        remedy=remedy,
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
