"""Makes a forecast: reads the batches, reckons every plan to pad them, and says what else there is to know."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Sequence
from typing import Any

from gaudi_lab.errors import LabValueError
from gaudi_lab.measure import batch_sizes, changing_lengths
from gaudi_lab.measure.buckets import Load, Plan, best_plans
from gaudi_lab.measure.causes import remedies
from gaudi_lab.measure.forecast import UNMASKED, Forecast, MadeFrom, Size, Trade, is_masked
from gaudi_lab.measure.prices import Observed, Prices, is_known
from gaudi_lab.settings import Settings
from gaudi_lab.shapes import Shapes


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
    for what, number in (("most", most), ("epochs", epochs), ("multiple_of", multiple_of)):
        if number < 1:
            raise LabValueError(
                f"{what}={number} is less than 1.", python=f"gaudi_lab.forecast(batches, model, {what}=1)"
            )

    def observe(module: Any) -> Observed:
        return Observed(module, switches, settings)

    observed = observe(module)
    read = batch_sizes.read(batches, module.forward, most)
    calls, accepted = observed.calls(), changing_lengths.parameters(module.forward)
    grouped: Counter[Shapes] = Counter()
    for shapes, count in read.shapes:
        grouped[changing_lengths.accepted(shapes, accepted)] += count
    sizes = tuple([Size(shapes, count, is_known(shapes, calls)) for shapes, count in grouped.items()])
    lengths, why_not = changing_lengths.find([shapes for shapes, _ in read.shapes])
    prices = observed.prices(lambda shapes: changing_lengths.elements(shapes, lengths))
    new = sum(not size.known for size in sizes)
    loads = [_load(shapes, count, lengths[0]) for shapes, count in read.shapes] if lengths else []
    elements = sum(load.rows * load.length * load.batches for load in loads)

    def trade(plan: Plan) -> Trade:
        return _trade(plan, elements * epochs, epochs, prices)

    a_shape, an_element = _in_one_unit(prices, epochs)
    plans = best_plans(
        loads,
        {
            found
            for shapes in calls
            if (found := changing_lengths.rows_and_length(shapes, lengths)) is not None
        },
        a_shape=a_shape,
        an_element=an_element,
        multiple_of=multiple_of,
    )
    notes = [why_not] if why_not else []
    if lengths and not is_masked(lengths):
        notes.append(UNMASKED)
    if not observed.compiling:
        notes.append("eager mode compiles no graph: these would be compiled in lazy or compile mode")
    if observed.symbolic:
        notes.append(
            "torch.compile takes sizes for symbols here: few new ones compile anything, padded or not"
        )
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
        MadeFrom(
            weakref.ref(module),
            observe,
            observed.number(),
            frozenset(calls),
            accepted,
            read.collate,
            getattr(config, "pad_token_id", None) or 0,
        ),
        symbolic=observed.symbolic,
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


def _load(shapes: Shapes, batches: int, name: str) -> Load:
    dims = next(shape.dims for shape in shapes if shape.name == name)
    return Load(dims[0], dims[1], batches)


def _is_short(last: Shapes, shapes: Sequence[tuple[Shapes, int]]) -> bool:
    rows = [x[0].dims[0] for x, _ in shapes if x[0].dims]
    return bool(last and last[0].dims and rows) and last[0].dims[0] < max(rows)
