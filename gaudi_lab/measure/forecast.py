"""What batches will make a model compile, what that will take, and which lengths to pad to instead.

The cost of a plan is a plain sum: new shapes × seconds for a new shape, and elements of padding × seconds for an
element, times the passes over the batches. Both prices are what was measured for this model (see `prices`); a sum with
a price that was not measured is not made. A new size costs a little more than its compiles, such as the tracing that a
recorded program's seconds leave out: what is saved is told too low rather than too high.
"""

from __future__ import annotations

import dataclasses
import json
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gaudi_lab.errors import LabError, LabValueError
from gaudi_lab.measure import changing_lengths
from gaudi_lab.measure.frames import Framed
from gaudi_lab.measure.prices import Observed, Prices, is_known
from gaudi_lab.rendered import Plotted, Rendered
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


UNMASKED = (
    "nothing tells the model what is padding: there is no attention_mask, and no input_ids to make one for"
)


def is_masked(lengths: Sequence[str]) -> bool:
    """Return whether the model is told, or can be told, what is padding, given the tensors that are padded."""
    return any(name == "input_ids" or "mask" in name for name in lengths)


@dataclass(frozen=True)
class MadeFrom:
    """Where a forecast was made from: what `outcome` compares with."""

    module: weakref.ref[Any]
    observed: Callable[[Any], Observed]
    number: int = 0
    known: frozenset[Shapes] = frozenset()
    accepted: frozenset[str] | None = None
    collate: Callable[[Any], Any] | None = None
    pad_token_id: int = 0


@dataclass(frozen=True, repr=False)
class Forecast(Framed, Plotted):
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
    symbolic
        Whether sizes are symbols to what compiles, so that a new one need not compile anything.
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
    made_from: MadeFrom | None = field(default=None, compare=False)
    symbolic: bool = False

    @property
    def batches(self) -> int:
        """How many batches were read."""
        return sum(size.batches for size in self.sizes)

    @property
    def best(self) -> Trade | None:
        """What costs least in all, the batches as they are included; None if that was not measured, or is not known."""
        times = [(trade.seconds, trade) for trade in (self.as_is, *self.trades)]
        if (
            not self.compiling
            or self.symbolic
            or not self.trades
            or any(seconds is None for seconds, _ in times)
        ):
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
        if not is_masked(self.lengths):
            why = next(iter(self.notes), "") if not self.lengths else UNMASKED
            raise LabValueError(f"Buckets of lengths do not apply to these batches. {why}".strip())
        return PadToBuckets(
            self._chosen(buckets),
            tokenizer,
            collate=made_from.collate if made_from else None,
            names=self.lengths,
            pad_token_id=made_from.pad_token_id if made_from else 0,
        )

    def to_records(self) -> list[dict[str, Any]]:
        """Return one flat dictionary for each way to pad, the batches as they are first.

        `seconds` and what it is made of are None where they were not measured; so is `best` then.
        """
        best = self.best
        return [
            {
                "model": self.model,
                "settings": self.settings,
                "buckets": ", ".join(map(str, trade.buckets)),
                "new_shapes": trade.new_shapes,
                "compiles": trade.compiles,
                "padding": trade.padding,
                "padded_share": trade.padded_share,
                "compile_time": trade.compile_time,
                "padding_time": trade.padding_time,
                "seconds": trade.seconds,
                "best": None if best is None else trade is best,
            }
            for trade in (self.as_is, *self.trades)
        ]

    def to_json(self) -> str:
        """Return the ways to pad and the sizes of the batches as JSON, with the prices that the sums are made of."""
        told = {
            "trades": self.to_records(),
            "sizes": [dataclasses.asdict(size) for size in self.sizes],
            "prices": dataclasses.asdict(self.prices),
            "notes": self.notes,
            "epochs": self.epochs,
            "complete": self.complete,
            "emulated": self.emulated,
        }
        return json.dumps(told, ensure_ascii=False)

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
        calls = observed.calls() - made_from.known
        met = {tuple(sorted(changing_lengths.accepted(x, made_from.accepted))) for x in calls}
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
        if self.symbolic:
            raise LabError(
                "Which buckets cost least is not known: torch.compile takes sizes for symbols here, so padding may "
                "save nothing. Say how many, or compile for each size.",
                python=f"forecast.collator(tokenizer, buckets={min(len(self.trades), 4)})",
            )
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
