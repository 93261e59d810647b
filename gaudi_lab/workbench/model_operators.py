"""The fused operators on one model: where each could stand in, what came of putting it on, what it saves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from gaudi_lab.errors import LabError
from gaudi_lab.instruments import attention
from gaudi_lab.instruments.fused_operators import catalogue, saving
from gaudi_lab.instruments.fused_operators.class_layers import StandIns
from gaudi_lab.instruments.fused_operators.place import NOT_CALLED, FusedOperator, Run, StandInPlace
from gaudi_lab.instruments.handle import Handle, all_or_none
from gaudi_lab.instruments.last_inputs import LastInputs
from gaudi_lab.report import OperatorPlace, OperatorSaving, OperatorUse
from gaudi_lab.settings import FUSED_SDPA, SdpaOptions, Settings

Parts = Mapping[str, tuple[nn.Module, LastInputs | None]]
"""The modules of a model by name, each with what it was last called with."""

Lifted = Callable[[], AbstractContextManager[None]]
"""Has something off meanwhile, if it is on."""

Outputs = Mapping[str, list[torch.Tensor]]
"""What parts of a model return, on the host in float64."""

_NOT_RUN = "not established: the model was not to run for that"
_TRAINING = "not established: the model is in training mode"


class ModelOperators:
    """The operators of one model.

    Parameters
    ----------
    stand_ins
        Has the layers on its modules.
    """

    def __init__(self, stand_ins: StandIns) -> None:
        self._stand_ins = stand_ins
        self._outcomes: list[str] = []
        # Of each operator that is on: where, and what takes it off.
        self._places: dict[str, dict[str, list[StandInPlace]]] = {}
        self._handles: dict[str, Handle] = {}

    @staticmethod
    def names() -> list[str]:
        """Return what operators can be asked for by, but for attention."""
        return [operator.name for operator in catalogue.list_operators()]

    def take_outcomes(self) -> list[str]:
        """Return what came of putting operators on since the last time, as sentences without a full stop."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def put_on(self, model: str, name: str, parts: Parts) -> Handle:
        """Put an operator on wherever it was established that results stay the same.

        Raises
        ------
        LabError
            If that is nowhere, with the reasons.
        """
        operator = catalogue.find_operator(name)
        found = self._find(operator, parts)
        if (refusal := _refusal(model, operator, parts, found)) is not None:
            raise refusal
        runs = {
            part: run for part, places in found.items() if _good(places) and (run := _run_of(*parts[part]))
        }
        before = {part: saving.outputs_of(run) for part, run in runs.items()}
        self._places[name] = found
        self._handles[name] = self._put(parts, found)

        def take_off() -> None:
            self._handles.pop(name).remove()
            del self._places[name]

        try:
            after = {part: saving.outputs_of(run) for part, run in runs.items()}
            self._outcomes.append(_describe_outcome(operator, found, before, after))
        except BaseException:
            take_off()
            raise
        return Handle(take_off)

    def refusal(self, model: str, name: str, parts: Parts) -> LabError | None:
        """Return why an operator cannot stand in anywhere; None if it can."""
        operator = catalogue.find_operator(name)
        return _refusal(model, operator, parts, self._find(operator, parts))

    @staticmethod
    def outputs(parts: Parts) -> Outputs:
        """Return what the parts make of what they were last called with; those in training mode are not called."""
        runs = {part: _run_of(*given) for part, given in parts.items() if not given[0].training}
        return {part: saving.outputs_of(run) for part, run in runs.items() if run is not None}

    def use(self, model: str, name: str, parts: Parts, *, on: bool, measure: bool) -> OperatorUse:
        """Describe an operator in this model, and measure what it saves if the model may run."""
        return _unless_it_raises(partial(self._use, model, name, parts, on=on), measure)

    def use_of_attention(
        self, model: str, parts: Parts, settings: Settings, off: Lifted, *, measure: bool
    ) -> OperatorUse:
        """Describe FusedSDPA, which has a switch of its own, as the operators are described; `off` has it off."""
        return _unless_it_raises(partial(self._use_of_attention, model, parts, settings, off), measure)

    def _use(self, model: str, name: str, parts: Parts, *, on: bool, measure: bool) -> OperatorUse:
        operator = catalogue.find_operator(name)
        use = OperatorUse(name, operator.label, operator.meaning, operator.why_missing(), model, on=on)
        if use.missing:
            return use
        put = self._places.get(name)
        if put is not None:
            found = put
        elif measure:
            found = self._find(operator, parts)
        else:
            found = {part: _look_in(operator, module, _NOT_RUN) for part, (module, _) in parts.items()}
        use = replace(use, places=_told(found))
        if not use.places and operator.shows_in_a_run:
            return _with_reason(use, parts, measure)
        put_places = lambda: self._put(parts, found)  # noqa: E731
        having = {part: places for part, places in found.items() if _good(places)}
        off = partial(self._off, name, put_places)
        return self._with_saving(use, parts, having, put_places, off, measure)

    def _use_of_attention(
        self, model: str, parts: Parts, settings: Settings, off: Lifted, *, measure: bool
    ) -> OperatorUse:
        switch, on = FUSED_SDPA, settings.fused_sdpa
        use = OperatorUse(switch.name, switch.label, switch.meaning, model=model, on=on)
        found = {part: attention.places(module) for part, (module, _) in parts.items()}
        use = replace(
            use,
            places=tuple(
                OperatorPlace(_path(part, path), kind)
                for part, places in found.items()
                for path, kind in places
            ),
        )
        having = {part: parts[part][0] for part, places in found.items() if places}
        options = settings.sdpa_options if on else SdpaOptions()

        def put_on() -> Handle:
            return all_or_none(partial(attention.fused_sdpa, x, options, StandIns()) for x in having.values())

        return self._with_saving(use, parts, having, put_on, off, measure)

    def _with_saving(
        self,
        use: OperatorUse,
        parts: Parts,
        having: Mapping[str, Any],
        put_on: Callable[[], Handle],
        off: Lifted,
        measure: bool,
    ) -> OperatorUse:
        """Return `use` with what it saves, or with why that was not measured."""
        if not having:
            return use
        use = _with_reason(use, {part: parts[part] for part in having}, measure)
        if use.not_measured and not use.parts_not_measured:
            return use
        runs = [run for part in having if (run := _run_of(*parts[part])) is not None]
        noted = Counter(self._stand_ins.plain_calls)
        with off():
            without = [saving.measure(run) for run in runs]
            with put_on():
                with_it = [saving.measure(run) for run in runs]
        # These calls were ours.
        self._stand_ins.plain_calls.clear()
        self._stand_ins.plain_calls.update(noted)
        memory = None
        if all(taken.memory is not None for taken in (*without, *with_it)):
            memory = max(x.memory or 0 for x in without), max(x.memory or 0 for x in with_it)
        counted = sum(x.operators for x in without), sum(x.operators for x in with_it)
        return replace(use, saving=OperatorSaving(counted, memory))

    @contextmanager
    def _off(self, name: str, put_on: Callable[[], Handle]) -> Iterator[None]:
        """Have an operator off meanwhile, if it is on."""
        if name not in self._handles:
            yield
            return
        self._handles[name].remove()
        try:
            yield
        finally:
            self._handles[name] = put_on()

    def _find(self, operator: FusedOperator, parts: Parts) -> dict[str, list[StandInPlace]]:
        """Return where an operator could stand in, part by part."""
        if operator.why_missing():
            return {}
        noted = Counter(self._stand_ins.plain_calls)
        found = {part: _find_in(operator, module, inputs) for part, (module, inputs) in parts.items()}
        self._stand_ins.plain_calls.clear()
        self._stand_ins.plain_calls.update(noted)
        return found

    def _put(self, parts: Parts, found: Mapping[str, list[StandInPlace]]) -> Handle:
        return all_or_none(
            partial(self._stand_ins.put, parts[part][0].get_submodule(place.path), place.layer)
            for part, places in found.items()
            for place in places
            if place.layer is not None
        )


def _find_in(operator: FusedOperator, module: nn.Module, inputs: LastInputs | None) -> list[StandInPlace]:
    run = _run_of(module, inputs)
    if run is None or module.training:
        why = _TRAINING if module.training else f"not established: {why_none(inputs)}"
        return _look_in(operator, module, why)
    return operator.find(module, run)


def _look_in(operator: FusedOperator, module: nn.Module, why: str) -> list[StandInPlace]:
    """Return where an operator could stand in by the looks of it, with why that was not established."""
    places = operator.find(module, None)
    return [replace(place, reason=why if place.reason == NOT_CALLED else place.reason) for place in places]


def _unless_it_raises(describe: Callable[..., OperatorUse], measure: bool) -> OperatorUse:
    """Return a description; one without measuring, with the reason, if the model raises when it is called again."""
    try:
        return describe(measure=measure)
    except Exception as error:
        if not measure:
            raise
        said = str(error).partition("\n")[0]
        why = f"because the model, called again, raised {type(error).__name__}: {said}"
        return replace(describe(measure=False), not_measured=why)


def _with_reason(use: OperatorUse, parts: Parts, measure: bool) -> OperatorUse:
    """Return `use` with why it is not measured, and in which parts if it is in others; as it is if in all of them."""
    if not measure:
        return replace(use, not_measured="because that was not asked for")
    if any(module.training for module, _ in parts.values()):
        return replace(use, not_measured="because the model is in training mode")
    without = [part for part, given in parts.items() if _run_of(*given) is None]
    if not without:
        return use
    some = tuple(without) if len(without) < len(parts) else ()
    return replace(use, not_measured=f"because {why_none(parts[without[0]][1])}", parts_not_measured=some)


def why_none(inputs: LastInputs | None) -> str:
    """Return why nothing was kept of a part's calls, as a sentence without a full stop."""
    return inputs.why_none if inputs is not None else "the model has not been called since it was attached"


def _run_of(module: nn.Module, inputs: LastInputs | None) -> Run | None:
    """Return what calls a module with its last inputs, past HPU graphs, compiled code and watchers; None without."""
    given = inputs.arguments if inputs is not None else None
    if given is None:
        return None
    args, kwargs = given

    def run() -> Any:
        with torch.no_grad(), saving.same_random_numbers():
            return type(module).forward(module, *args, **kwargs)

    return run


def _refusal(
    model: str, operator: FusedOperator, parts: Parts, found: Mapping[str, list[StandInPlace]]
) -> LabError | None:
    """Return the error that says why an operator stands in nowhere; None if it does somewhere."""
    if missing := operator.why_missing():
        return LabError(f"{operator.label} cannot stand in: {missing}.")
    if any(map(_good, found.values())):
        return None
    reasons = dict.fromkeys(place.reason for places in found.values() for place in places)
    if any(module.training for module, _ in parts.values()):
        return LabError(
            f"{operator.label} for {model} was not established: it is in training mode, in which calling it to find "
            "out could change it.",
            python=f"{model}.eval()",
        )
    without = [inputs for module, inputs in parts.values() if _run_of(module, inputs) is None]
    # Of several parts, those without a place need not run.
    if without and (
        len(without) == len(parts) or any(why_none(x) in why for x in without for why in reasons)
    ):
        return LabError(
            f"{operator.label} for {model} was not established: {why_none(without[0])}. So there are no inputs to "
            "compare with.",
            python=f'gaudi_lab.use_operator("{operator.name}", model, inputs=batch)',
            magic=f"{model}(**batch)",
        )
    if not reasons:
        unknown = [part for part, given in parts.items() if _run_of(*given) is None]
        but = f" In {', '.join(unknown)} that is not known: no call of it was seen"
        return LabError(
            f"{model} has nothing that {operator.label} could stand in for."
            + (f"{but}." if unknown and operator.shows_in_a_run else "")
        )
    told = "; ".join(reasons)
    return LabError(
        f"{operator.label} stands in nowhere in {model}: {told}.", python="gaudi_lab.operators(model)"
    )


def _good(places: list[StandInPlace]) -> bool:
    return any(place.layer is not None for place in places)


def _told(found: Mapping[str, list[StandInPlace]]) -> tuple[OperatorPlace, ...]:
    return tuple(
        OperatorPlace(_path(part, place.path), place.kind, place.reason)
        for part, places in found.items()
        for place in places
    )


def _path(part: str, path: str) -> str:
    return ".".join(filter(None, (part, path)))


def _describe_outcome(
    operator: FusedOperator,
    found: Mapping[str, list[StandInPlace]],
    before: Outputs,
    after: Outputs,
) -> str:
    """Return how many places there are, and by how much the outputs differ; raises as `describe_difference`."""
    places = [place for places in found.values() for place in places]
    put = sum(place.layer is not None for place in places)
    told = f"{operator.label} in {put} place{'s' * (put != 1)}"
    left = dict.fromkeys(place.reason for place in places if place.layer is None)
    if left:
        told += f" of {len(places)} ({'; '.join(left)})"
    return f"{told}, {describe_difference(operator.label, before, after)}"


def describe_difference(label: str, before: Outputs, after: Outputs) -> str:
    """Return by how much the outputs with an operator differ from those without, part by part.

    Raises
    ------
    LabError
        If a number became none, or the other way round.
    """
    differences = [saving.largest_difference(before[part], after[part]) for part in before]
    if not differences or None in differences:
        return "outputs could not be compared"
    largest = max(x for x in differences if x is not None)
    if largest == float("inf"):
        raise LabError(f"{label} is off again: with it some outputs were not numbers, or without it.")
    if largest == 0:
        return "outputs are the same"
    size = max(float(x.abs().max()) for outputs in before.values() for x in outputs if x.numel())
    return f"outputs differ by at most {largest:.1e} (the largest is {size:.3g})"
