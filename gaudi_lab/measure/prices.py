"""What a new shape and an element of padding cost a model, as far as it was measured: the prices of a forecast."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from gaudi_lab.measure.causes.history import Compile
from gaudi_lab.measure.steady import met_calls, seconds_per_element, steady_times
from gaudi_lab.settings import Mode, Settings
from gaudi_lab.shapes import Shape, Shapes


@dataclass(frozen=True)
class Prices:
    """What was measured. Nothing is filled in for what was not.

    Attributes
    ----------
    compiles_per_shape
        How many things one new shape makes compile: what was counted so far, 1 if nothing was. 0 where nothing is
        compiled, in eager mode, and as few as were counted where sizes are symbols.
    seconds_per_compile
        The mean of those compiles that were for a shape, without the first call's if there are others: None if there
        was none.
    compiles
        How many compiles that is the mean of.
    seconds_per_element
        What one element more in a batch takes, such as a token: None if no steady call was measured.
    sizes
        How many sizes that was read from. If it is one, all of its time counts as its elements', which is too much.
    """

    compiles_per_shape: float = 1.0
    seconds_per_compile: float | None = None
    compiles: int = 0
    seconds_per_element: float | None = None
    sizes: int = 0

    @property
    def seconds_per_shape(self) -> float | None:
        """What compiling for one new shape takes."""
        if self.compiles_per_shape == 0:
            return 0.0
        return (
            None if self.seconds_per_compile is None else self.compiles_per_shape * self.seconds_per_compile
        )


class Observed:
    """What is known of one model under its present switches.

    Parameters
    ----------
    module
        The model.
    switches
        What is on for it.
    settings
        The same as the text under which recorders note its calls.
    """

    def __init__(self, module: Any, switches: Settings, settings: str) -> None:
        self._module = module
        self._switches = switches
        self._settings = settings

    @property
    def compiling(self) -> bool:
        """Whether graphs are compiled at all."""
        return self._switches.mode is not Mode.EAGER

    @property
    def symbolic(self) -> bool:
        """Whether torch.compile takes sizes for symbols, from the start or once they have changed."""
        return self._switches.mode is Mode.COMPILE and bool(self._switches.dynamic)

    @property
    def followed(self) -> bool:
        """Whether somebody remembers the model's calls and compiles."""
        return self._followed is not None

    def calls(self) -> set[Shapes]:
        """Return the sizes that the model was called with under these switches, and need not be compiled for again."""
        return {_shapes(x) for x in met_calls.signatures(self._module, self._switches)}

    def limit(self) -> int | None:
        """Return how many graphs of one function torch.compile keeps; None where it makes none for each size."""
        if self._switches.mode is not Mode.COMPILE or self.symbolic:
            return None
        from gaudi_lab.measure.causes.guards.tracing import recompile_limit

        return recompile_limit()

    def number(self) -> int:
        """Return how many compiles there were so far, in all."""
        return _history().number

    def since(self, number: int) -> list[Compile]:
        """Return what was compiled for the model under these switches after the first `number` compiles.

        That is as far as it is still kept.
        """
        followed = self._followed
        if followed is None:
            return []
        found = _history().since(number)
        return [
            x
            for before, x in enumerate(found, self.number() - len(found))
            if x.cause.model == followed.name
            and self._is_ours(x)
            and met_calls.compiled_under(self._module, self._switches, before)
        ]

    def prices(self, elements: Callable[[Shapes], int]) -> Prices:
        """Return what was measured so far.

        Parameters
        ----------
        elements
            Returns how many elements count in a call, such as tokens; 0 if that is not to be told.
        """
        if not self.compiling:
            return self._with_elements(Prices(0.0), elements)
        compiles = [x for x in self.since(0) if not x.loaded and (_is_first(x) or _is_for_shape(x))]
        if not compiles:
            return self._with_elements(Prices(), elements)
        if self._switches.hpu_graphs:
            # A capture and what is compiled in it belong together.
            shapes = sum(x.layer == "HPU graph" for x in compiles)
        else:
            shapes = len({_main(x) for x in self.calls()})
            if later := [x for x in compiles if not _is_first(x)]:
                # The first call pays for more than its shape, such as loading a compiler.
                compiles, shapes = later, shapes - (len(later) < len(compiles))
        per_shape = max(len(compiles) / max(shapes, 1), 1.0)
        if self.symbolic:
            per_shape = sum(not _is_first(x) for x in compiles) / max(shapes, 1)
        return self._with_elements(
            Prices(
                per_shape,
                sum(x.seconds for x in compiles) / len(compiles),
                len(compiles),
            ),
            elements,
        )

    def _with_elements(self, prices: Prices, elements: Callable[[Shapes], int]) -> Prices:
        found = steady_times.medians(self._module, self._settings)
        sizes = [(n, seconds) for shapes, seconds in found if (n := elements(shapes))]
        return Prices(
            prices.compiles_per_shape,
            prices.seconds_per_compile,
            prices.compiles,
            seconds_per_element(sizes),
            len({n for n, _ in sizes}),
        )

    def _is_ours(self, compiled: Compile) -> bool:
        """Whether something was compiled by what compiles under these switches."""
        captured = compiled.cause.kind == "graph"
        if self._switches.mode is Mode.COMPILE:
            return compiled.layer == "Dynamo"
        return compiled.layer != "Dynamo" and captured == self._switches.hpu_graphs

    @property
    def _followed(self) -> Any:
        from gaudi_lab.measure.causes.watching import watching

        return watching.memory_of(self._module)


def _history() -> Any:
    # Watching needs torch, and whoever asks about a model has it.
    from gaudi_lab.measure.causes.watching import watching

    return watching.history


def _shapes(call: Any) -> Shapes:
    return tuple(
        [Shape(name, x.size) for name, x in call.values if hasattr(x, "size") and hasattr(x, "stride")]
    )


def _main(shapes: Shapes) -> tuple[Shape, ...]:
    """Return shapes in an order that does not depend on how they were given."""
    return tuple(sorted(shapes))


def _is_first(compiled: Compile) -> bool:
    return compiled.cause.kind == "first" or (
        compiled.cause.kind == "graph" and not compiled.cause.differences
    )


def _is_for_shape(compiled: Compile) -> bool:
    return any(x.kind == "shape" for x in compiled.cause.differences)


def is_known(shapes: Shapes, calls: Iterable[Shapes]) -> bool:
    """Return whether one of `calls` had these sizes, in all arguments that both name, and in one at least."""
    now = _dims(shapes)
    for call in calls:
        before = _dims(call)
        common = now.keys() & before.keys()
        if common and all(now[name] == before[name] for name in common):
            return True
    return False


def _dims(shapes: Sequence[Shape]) -> dict[str, tuple[int, ...]]:
    return {shape.name: shape.dims for shape in shapes}
