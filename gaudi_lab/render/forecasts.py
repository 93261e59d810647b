"""How forecasts are laid out, and what happened beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gaudi_lab import shapes
from gaudi_lab.errors import LabError
from gaudi_lab.measure.forecast import Forecast, Outcome, Size, Trade
from gaudi_lab.render import layout, units

_AS_IS = "as they are"
_HEADS = ("pad to", "new shapes", "compiles", "compiling", "padding", "takes", "in all")
_LINE = "collate_fn=forecast.collator(tokenizer) in the DataLoader, or data_collator= in the Trainer"

MOST_SIZES = 6
"""So many sizes are named in text; the others are counted."""

MOST_BUCKETS = 6
"""Of more buckets than these, the middle is left out in text."""


@layout.line.register
def _(forecast: Forecast) -> str:
    return layout.join(*_summary(forecast), _not_gaudi(forecast))


@layout.text.register
def _(forecast: Forecast) -> str:
    rows = [_row(trade) for trade in (forecast.as_is, *forecast.trades)]
    marked = [("→ " if trade is forecast.best else "  ") for trade in (forecast.as_is, *forecast.trades)]
    table = layout.table(_HEADS, rows, left={0})
    lines = [f"  {table[0]}", *(mark + line for mark, line in zip(marked, table[1:], strict=True))]
    return "\n".join(
        [
            str(forecast),
            f"sizes: {_sizes(forecast)}",
            *lines,
            f"measured: {_measured(forecast)}",
            *(f"note: {note}" for note in forecast.notes),
            *([f"→ {remedy}"] if (remedy := _remedy(forecast)) else []),
        ]
    )


@layout.html.register
def _(forecast: Forecast) -> str:
    trades = (forecast.as_is, *forecast.trades)
    return layout.rendered(
        "forecast.html.j2",
        forecast=forecast,
        heads=_HEADS,
        rows=[(_row(trade), trade is forecast.best) for trade in trades],
        sizes=_sizes(forecast),
        measured=_measured(forecast),
        remedy=_remedy(forecast),
        summary=layout.join(*_summary(forecast)),
        picture=_picture(forecast),
    )


@layout.line.register
def _(outcome: Outcome) -> str:
    forecast = outcome.forecast
    expected = [f"{units.count(forecast.as_is.compiles, 'compile')} as they are"]
    if forecast.best is not None and forecast.best.buckets:
        expected.append(f"{units.count(forecast.best.compiles, 'compile')} padded")
    return layout.join(
        f"{units.count(outcome.compiles, 'compile')} in {units.seconds(outcome.compile_time)}",
        f"forecast: {', '.join(expected)}",
        f"{outcome.unforeseen} of {units.count(outcome.new_shapes, 'new shape')} not foreseen"
        if outcome.unforeseen
        else "",
        _MORE if outcome.compiles > forecast.as_is.compiles else "",
        _not_gaudi(forecast),
    )


@layout.text.register
def _(outcome: Outcome) -> str:
    table = layout.table(_OUTCOME_HEADS, _outcome_rows(outcome), left={0})
    return "\n".join([*table, str(outcome)])


@layout.html.register
def _(outcome: Outcome) -> str:
    return layout.rendered(
        "outcome.html.j2",
        emulated=outcome.forecast.emulated,
        heads=_OUTCOME_HEADS,
        rows=_outcome_rows(outcome),
        unforeseen=outcome.unforeseen,
        more=_MORE if outcome.compiles > outcome.forecast.as_is.compiles else "",
    )


@layout.plot.register
def _(forecast: Forecast) -> Any:
    trades = [trade for trade in forecast.trades if trade.seconds is not None]
    if not trades:
        raise LabError(
            "There is nothing to draw: what a compile and an element of padding take was not measured."
            if forecast.trades
            else "There is nothing to draw: padding does not apply to these batches.",
            python="gaudi_lab.warmup(model, over=batches)" if forecast.trades else None,
        )
    figure, axes = layout.draw_on(7, 3.5)
    numbers = [len(trade.buckets) for trade in trades]
    compiling = [trade.compile_time or 0.0 for trade in trades]
    axes.bar(numbers, compiling, color="#b5651d", label="compiling")
    axes.bar(
        numbers,
        [trade.padding_time or 0.0 for trade in trades],
        bottom=compiling,
        color="#2f7d6d",
        label="computing padding",
    )
    if forecast.as_is.seconds is not None:
        axes.axhline(forecast.as_is.seconds, color="grey", linestyle="--", label="batches as they are")
    axes.margins(y=0.1)
    axes.set_xlabel("number of buckets")
    axes.set_ylabel("seconds" + (", emulated on CPU" if forecast.emulated else ""))
    axes.set_xticks(numbers)
    axes.legend()
    return figure


_MORE = "more than forecast: gaudi_lab.why() says for what"
_OUTCOME_HEADS = ("", "new shapes", "compiles", "compiling")


def _outcome_rows(outcome: Outcome) -> list[tuple[str, ...]]:
    def row(what: str, shapes: int, compiles: int, seconds: float | None) -> tuple[str, ...]:
        return what, str(shapes), str(compiles), units.seconds(seconds)

    forecast = outcome.forecast
    as_is, best = forecast.as_is, forecast.best
    rows = [row("forecast, as they are", as_is.new_shapes, as_is.compiles, as_is.compile_time)]
    if best is not None and best.buckets:
        what = f"forecast, padded to {_buckets(best)}"
        rows.append(row(what, best.new_shapes, best.compiles, best.compile_time))
    return [*rows, row("happened", outcome.new_shapes, outcome.compiles, outcome.compile_time)]


def _summary(forecast: Forecast) -> list[str]:
    as_is, best = forecast.as_is, forecast.best
    phrases = [
        f"{units.count(len(forecast.sizes), 'shape')} in "
        + ("" if forecast.complete else "the first ")
        + units.count(forecast.batches, "batch", "batches"),
        f"{as_is.new_shapes or 'none'} of them new",
    ]
    if forecast.compiling and as_is.new_shapes:
        took = "" if as_is.compile_time is None else f", about {units.seconds(as_is.compile_time)}"
        phrases.append(f"{units.count(as_is.compiles, 'compile')}{took}")
    if best is not None and best.buckets:
        phrases.append(f"padded to {_buckets(best)}: {units.seconds(best.seconds)} in all")
    elif best is not None and as_is.new_shapes:
        phrases.append("padding would cost more than it saves")
    return phrases


def _not_gaudi(forecast: Forecast) -> str:
    return layout.NO_GAUDI_TIMES if forecast.emulated else ""


def _row(trade: Trade) -> tuple[str, ...]:
    return (
        _buckets(trade) or _AS_IS,
        str(trade.new_shapes),
        str(trade.compiles),
        units.seconds(trade.compile_time),
        _share(trade.padded_share) if trade.padding else "–",
        units.seconds(trade.padding_time) if trade.padding else "–",
        units.seconds(trade.seconds),
    )


def _share(share: float) -> str:
    return f"{share:.0%}" if share >= 0.005 else "<1%"


def _buckets(trade: Trade) -> str:
    named = [str(length) for length in trade.buckets]
    if len(named) > MOST_BUCKETS:
        named[MOST_BUCKETS - 2 : -1] = ["…"]
        return f"{', '.join(named)} ({len(trade.buckets)})"
    return ", ".join(named)


def _sizes(forecast: Forecast) -> str:
    ordered = sorted(forecast.sizes, key=lambda size: -size.batches)
    named = []
    for size in ordered[:MOST_SIZES]:
        times = f" ({size.batches}×)" if size.batches > 1 else ""
        named.append(f"{_size(size, forecast.lengths)}{times}{'' if size.known else ' new'}")
    more = len(ordered) - len(named)
    return "; ".join([*named, *([f"{more} more"] if more else [])])


def _size(size: Size, lengths: Sequence[str]) -> str:
    """Return one combination in short: the tensor whose length changes stands for all, if there is one."""
    changing = next((x for name in lengths for x in size.shapes if x.name == name), None)
    return f"{changing.name} {changing}" if changing is not None else shapes.text(size.shapes)


def _measured(forecast: Forecast) -> str:
    prices = forecast.prices
    found = []
    if prices.seconds_per_compile is not None:
        found.append(
            f"{units.seconds(prices.seconds_per_compile)} a compile ({prices.compiles} measured), "
            f"{prices.compiles_per_shape:.3g} for a new shape"
        )
    elif forecast.compiling:
        found.append("no compile for a shape yet: seconds are not told, and one compile a shape is taken")
    if prices.seconds_per_element is not None:
        sizes = (
            f"from {prices.sizes} sizes"
            if prices.sizes > 1
            else "from one size, all its time taken for its elements': too much"
        )
        found.append(
            f"{units.seconds(prices.seconds_per_element)} an element ({sizes})"
            if prices.seconds_per_element
            else f"larger sizes took no longer ({sizes})"
        )
    elif forecast.trades:
        found.append("no steady call yet: what padding takes is not told")
    passes = f"{units.count(forecast.epochs, 'pass', 'passes')} over the batches" if forecast.trades else ""
    return layout.join(*found, passes) or "nothing"


def _remedy(forecast: Forecast) -> str:
    best = forecast.best
    if best is not None:
        return _LINE if best.buckets else ""
    if not forecast.trades or not forecast.compiling:
        return ""
    number = min(len(forecast.trades), 4)
    return (
        "gaudi_lab.warmup(model, over=batches) of two sizes or more measures what is missing; without that, "
        f"forecast.collator(tokenizer, buckets={number}) pads to {_buckets(forecast.trades[number - 1])}"
    )


def _picture(forecast: Forecast) -> dict[str, Any] | None:
    """Return what the small picture is drawn from: a bar for each number of buckets, in parts of the highest."""
    trades: Sequence[Trade] = [trade for trade in forecast.trades if trade.seconds]
    highest = max((trade.seconds or 0.0 for trade in trades), default=0.0)
    if len(trades) < 2 or not highest:
        return None
    as_is = forecast.as_is.seconds
    return {
        "bars": [
            {
                "number": len(trade.buckets),
                "compiling": 100 * (trade.compile_time or 0.0) / highest,
                "padding": 100 * (trade.padding_time or 0.0) / highest,
                "seconds": units.seconds(trade.seconds),
            }
            for trade in trades
        ],
        "as_is": 100 * as_is / highest if as_is is not None and as_is <= highest else None,
    }
