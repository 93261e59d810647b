"""What batches will make a model compile, what that will take, and which lengths to pad to instead.

The cost of a plan is a plain sum: new shapes × seconds for a new shape, and elements of padding × seconds for an
element, times the passes over the batches. Both prices are what was measured for this model (see `prices`); a sum with
a price that was not measured is not made. A new size costs a little more than its compiles, such as the tracing that a
recorded program's seconds leave out: what is saved is told too low rather than too high.
"""

from __future__ import annotations

import inspect
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gaudi_lab.errors import LabError, LabValueError
from gaudi_lab.measure.buckets import Load, Plan, best_plans
from gaudi_lab.measure.causes import remedies
from gaudi_lab.measure.prices import Observed, Prices, is_known
from gaudi_lab.rendered import Plotted, Rendered
from gaudi_lab.settings import Settings
from gaudi_lab.shapes import Shapes

if TYPE_CHECKING:
    from gaudi_lab.measure.bucket_collator import PadToBuckets


@dataclass(frozen=True)
class Size:
    """One combination of sizes, and how many batches have it.

    Attributes
    ----------
    shapes
        By argument.
    batches
        How many.
    known
        Whether the model was called with it before, under these switches.
    """

    shapes: Shapes
    batches: int
    known: bool = False


@dataclass(frozen=True)
class Trade:
    """What one way to pad costs in all. Times are in seconds; None where they were not measured.

    Attributes
    ----------
    buckets
        The lengths to pad to; empty for batches as they are.
    new_shapes, compiles
        Sizes that the model has not met, and what will be compiled for them.
    padding
        Elements computed beyond those of the batches as they are, over all passes.
    padded_share
        Which part of all that is computed that is, between 0 and 1.
    compile_time, padding_time
        What these take.
    """

    buckets: tuple[int, ...]
    new_shapes: int
    compiles: int
    padding: int = 0
    padded_share: float = 0.0
    compile_time: float | None = None
    padding_time: float | None = None

    @property
    def seconds(self) -> float | None:
        """What compiling and padding take together."""
        if self.compile_time is None or self.padding_time is None:
            return None
        return self.compile_time + self.padding_time


@dataclass(frozen=True)
class _MadeFrom:
    """Where a forecast was made from: what `outcome` compares with."""

    module: weakref.ref[Any]
    observed: Callable[[Any], Observed]
    number: int = 0
    known: frozenset[Shapes] = frozenset()
    accepted: frozenset[str] | None = None
    collate: Callable[[Any], Any] | None = None
    pad_token_id: int = 0


@dataclass(frozen=True, repr=False)
class Forecast(Plotted):
    """What batches will bring, from `gaudi_lab.forecast`. Every time is in seconds.

    Attributes
    ----------
    model
        Which model it is about.
    settings
        Its switches, such as "lazy + HPU graphs".
    sizes
        Every combination of sizes, in the order they come.
    as_is
        What the batches bring if nothing is changed.
    trades
        The least that one bucket brings, two, and so on; empty if padding does not apply.
    prices
        What was measured, and these sums are made of.
    lengths
        The tensors whose second dimension changes from batch to batch, and would be padded.
    notes
        What else to know, and lines to run.
    compiling
        Whether graphs are compiled at all under these switches.
    epochs
        How many passes the padding is reckoned for.
    complete
        Whether all batches were read.
    emulated
        Whether the device is emulated on the CPU: its times are then not a Gaudi's.
    """

    model: str
    settings: str
    sizes: tuple[Size, ...]
    as_is: Trade
    trades: tuple[Trade, ...] = ()
    prices: Prices = field(default_factory=Prices)
    lengths: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    compiling: bool = True
    epochs: int = 1
    complete: bool = True
    emulated: bool = False
    made_from: _MadeFrom | None = field(default=None, compare=False)

    @property
    def batches(self) -> int:
        """How many batches were read."""
        return sum(size.batches for size in self.sizes)

    @property
    def best(self) -> Trade | None:
        """What costs least in all, the batches as they are included; None if that was not measured."""
        times = [(trade.seconds, trade) for trade in (self.as_is, *self.trades)]
        if not self.compiling or not self.trades or any(seconds is None for seconds, _ in times):
            return None
        return min(times, key=lambda x: x[0] or 0.0)[1]

    def collator(self, tokenizer: Any = None, buckets: int | Sequence[int] | None = None) -> PadToBuckets:
        """Return what pads batches so: a `collate_fn` for a DataLoader, a `data_collator` for a Trainer.

        Batches are made as the DataLoader of this forecast makes them, and then padded.

        Parameters
        ----------
        tokenizer
            Says how ids are padded, and on which side. Without it: the model's `pad_token_id`, on the right.
        buckets
            How many, or which; those that cost least by default.

        Raises
        ------
        LabError
            If padding does not apply; or which buckets cost least was not measured, and none are given.
        """
        from gaudi_lab.measure.bucket_collator import PadToBuckets

        made_from = self.made_from
        if not any(name == "input_ids" or "mask" in name for name in self.lengths):
            why = next(iter(self.notes), "") if not self.lengths else _UNMASKED
            raise LabValueError(f"Buckets of lengths do not apply to these batches. {why}".strip())
        return PadToBuckets(
            self._chosen(buckets),
            tokenizer,
            collate=made_from.collate if made_from else None,
            names=self.lengths,
            pad_token_id=made_from.pad_token_id if made_from else 0,
        )

    def outcome(self) -> Outcome:
        """Return what has happened since, beside what was forecast.

        Raises
        ------
        LabError
            If the model is gone, or nobody follows its calls.
        """
        made_from = self.made_from
        module = made_from.module() if made_from is not None else None
        if made_from is None or module is None:
            raise LabError("The model of this forecast is gone.", python="gaudi_lab.forecast(batches, model)")
        observed = made_from.observed(module)
        if not observed.followed:
            raise LabError(
                f"Nobody follows the calls of {self.model or 'this model'}: it is not attached.",
                python="gaudi_lab.attach(model)",
                magic="%gaudi_attach model",
            )
        met = {tuple(sorted(_accepted(x, made_from.accepted))) for x in observed.calls() - made_from.known}
        compiles = [x for x in observed.since(made_from.number) if not x.loaded]
        return Outcome(
            self,
            len(met),
            len([x for x in met if not self._foresaw(x)]),
            len(compiles),
            sum(x.seconds for x in compiles),
        )

    def _chosen(self, buckets: int | Sequence[int] | None) -> Sequence[int]:
        if isinstance(buckets, int):
            found = next((trade for trade in self.trades if len(trade.buckets) == buckets), None)
            if found is None:
                raise LabValueError(
                    f"There is no plan with {buckets} buckets; there are some with 1 to {len(self.trades)}.",
                    python=f"forecast.collator(tokenizer, buckets={len(self.trades)})",
                )
            return found.buckets
        if buckets is not None:
            return buckets
        if self.best is None:
            raise LabError(
                "Which buckets cost least is not known: a compile and some steady calls have to be measured first, "
                "by a warm-up over batches of two sizes or more. Or say how many buckets.",
                python=f"forecast.collator(tokenizer, buckets={min(len(self.trades), 4)})",
            )
        if not self.best.buckets:
            raise LabError("Padding costs more than it saves: these batches are best left as they are.")
        return self.best.buckets

    def _foresaw(self, met: Shapes) -> bool:
        if is_known(met, [size.shapes for size in self.sizes]):
            return True
        buckets = {length for trade in self.trades for length in trade.buckets}
        long = [shape.dims[1] for shape in met if shape.name in self.lengths and len(shape.dims) > 1]
        return bool(long) and long[0] in buckets


@dataclass(frozen=True, repr=False)
class Outcome(Rendered):
    """What happened after a forecast, beside it.

    Attributes
    ----------
    forecast
        What was forecast.
    new_shapes
        Sizes that the model has met since for the first time.
    unforeseen
        How many of them are neither among the batches of the forecast nor padded to one of its lengths.
    compiles, compile_time
        What was compiled for the model since, and the seconds it took: of the latest 2000 compiles at most. What was
        found on disk does not count.
    """

    forecast: Forecast
    new_shapes: int
    unforeseen: int
    compiles: int
    compile_time: float


_UNMASKED = (
    "nothing tells the model what is padding: there is no attention_mask, and no input_ids to make one for"
)


def make_forecast(
    batches: Any,
    module: Any,
    *,
    name: str,
    switches: Settings,
    settings: str,
    emulated: bool,
    most: int,
    epochs: int,
    multiple_of: int,
) -> Forecast:
    """Return what batches will bring a model.

    Parameters
    ----------
    batches, most, epochs, multiple_of
        As for `gaudi_lab.forecast`.
    module, name
        The model, and what it is called.
    switches, settings
        What is on for it, and the text under which recorders note its calls.
    emulated
        Whether the device is emulated.
    """
    from gaudi_lab.measure import batch_sizes

    for what, number in (("most", most), ("epochs", epochs), ("multiple_of", multiple_of)):
        if number < 1:
            raise LabValueError(
                f"{what}={number} is less than 1.", python=f"gaudi_lab.forecast(batches, model, {what}=1)"
            )

    def observe(module: Any) -> Observed:
        return Observed(module, switches, settings)

    observed = observe(module)
    read = batch_sizes.read(batches, module.forward, most)
    calls, accepted = observed.calls(), _parameters(module.forward)
    grouped: Counter[Shapes] = Counter()
    for shapes, count in read.shapes:
        grouped[_accepted(shapes, accepted)] += count
    sizes = tuple([Size(shapes, count, is_known(shapes, calls)) for shapes, count in grouped.items()])
    lengths, why_not = _find_lengths([shapes for shapes, _ in read.shapes])
    prices = observed.prices(lambda shapes: _elements(shapes, lengths))
    new = sum(not size.known for size in sizes)
    loads = [_load(shapes, count, lengths[0]) for shapes, count in read.shapes] if lengths else []
    elements = sum(load.rows * load.length * load.batches for load in loads)

    def trade(plan: Plan) -> Trade:
        return _trade(plan, elements * epochs, epochs, prices)

    a_shape, an_element = _in_one_unit(prices, epochs)
    plans = best_plans(
        loads,
        {found for shapes in calls if (found := _of(shapes, lengths)) is not None},
        a_shape=a_shape,
        an_element=an_element,
        multiple_of=multiple_of,
    )
    notes = [why_not] if why_not else []
    if lengths and not any(x == "input_ids" or "mask" in x for x in lengths):
        notes.append(_UNMASKED)
    if not observed.compiling:
        notes.append("eager mode compiles no graph: these would be compiled in lazy or compile mode")
    if (limit := observed.limit()) is not None and new + len(calls) > limit:
        notes.append(f"torch.compile stops at {limit} graphs, later sizes run uncompiled: {remedies.LIMIT}")
    if read.shuffled:
        notes.append("the order is shuffled: another pass has other batches")
    if not read.drops_last and _is_short(read.last, read.shapes):
        notes.append(f"the last batch is short, a shape of its own: {remedies.LAST_BATCH.partition(': ')[2]}")
    config = getattr(module, "config", None)
    return Forecast(
        name,
        settings,
        sizes,
        trade(Plan((), new, 0)),
        tuple(map(trade, plans)),
        prices,
        lengths,
        tuple(notes),
        observed.compiling,
        epochs,
        read.complete,
        emulated,
        _MadeFrom(
            weakref.ref(module),
            observe,
            observed.number(),
            frozenset(calls),
            accepted,
            read.collate,
            getattr(config, "pad_token_id", None) or 0,
        ),
    )


def _trade(plan: Plan, elements: int, epochs: int, prices: Prices) -> Trade:
    padding = plan.padding * epochs
    shape, element = prices.seconds_per_shape, prices.seconds_per_element
    return Trade(
        plan.buckets,
        plan.new_shapes,
        round(plan.new_shapes * prices.compiles_per_shape),
        padding,
        padding / (padding + elements) if padding else 0.0,
        plan.new_shapes * shape if shape is not None else None,
        0.0 if not padding else None if element is None else padding * element,
    )


def _in_one_unit(prices: Prices, epochs: int) -> tuple[float, float]:
    """Return the prices to optimise for; without both of them, padding alone counts."""
    if prices.seconds_per_shape is None or prices.seconds_per_element is None:
        return 0.0, 1.0
    return prices.seconds_per_shape, prices.seconds_per_element * epochs


def _find_lengths(shapes: Sequence[Shapes]) -> tuple[tuple[str, ...], str]:
    """Return the tensors whose second dimension changes, all alike; or none and why they cannot be padded."""
    forms = {tuple([(shape.name, len(shape.dims)) for shape in x]) for x in shapes}
    if len(forms) != 1:
        return (), "no buckets: not every batch has the same tensors" if forms else ""
    columns: dict[tuple[str, int], list[int]] = {}
    for batch in shapes:
        for shape in batch:
            for dim, size in enumerate(shape.dims[1:], 1):
                columns.setdefault((shape.name, dim), []).append(size)
    changing = {key: sizes for key, sizes in columns.items() if len(set(sizes)) > 1}
    if not changing:
        return (), ""
    for name, dim in changing:
        if dim != 1:
            return (
                (),
                f"no buckets: {name} changes in dimension {dim}, and only a length in dimension 1 is padded",
            )
    if len(set(map(tuple, changing.values()))) > 1:
        names = ", ".join(name for name, _ in changing)
        return (), f"no buckets: {names} change in length each for itself"
    return tuple(sorted((name for name, _ in changing), key=lambda name: name != "input_ids")), ""


def _of(shapes: Shapes, lengths: Sequence[str]) -> tuple[int, int] | None:
    """Return rows and length of a call; None if it has none of these tensors."""
    found = next((x.dims for name in lengths for x in shapes if x.name == name and len(x.dims) > 1), None)
    return (found[0], found[1]) if found is not None else None


def _elements(shapes: Shapes, lengths: Sequence[str]) -> int:
    found = _of(shapes, lengths)
    return found[0] * found[1] if found is not None else 0


def _load(shapes: Shapes, batches: int, name: str) -> Load:
    dims = next(shape.dims for shape in shapes if shape.name == name)
    return Load(dims[0], dims[1], batches)


def _is_short(last: Shapes, shapes: Sequence[tuple[Shapes, int]]) -> bool:
    rows = [x[0].dims[0] for x, _ in shapes if x[0].dims]
    return bool(last and last[0].dims and rows) and last[0].dims[0] < max(rows)


def _parameters(forward: Callable[..., Any]) -> frozenset[str] | None:
    """Return the names that a forward takes; None if it takes any."""
    try:
        parameters = inspect.signature(forward).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(x.kind is x.VAR_KEYWORD for x in parameters):
        return None
    return frozenset([x.name for x in parameters])


def _accepted(shapes: Shapes, names: frozenset[str] | None) -> Shapes:
    """Return the shapes of the arguments that a model takes; all if it takes none of them."""
    return tuple([x for x in shapes if names is None or x.name.partition(".")[0] in names]) or shapes
