import gc
import itertools
import json

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import gaudi_lab
from gaudi_lab.errors import LabError, LabValueError
from gaudi_lab.measure.causes import watching as watched
from gaudi_lab.measure.causes.history import History


@pytest.fixture(autouse=True)
def history(monkeypatch):
    """What other tests compiled is no part of it."""
    monkeypatch.setattr(watched.watching, "history", History())


WIDTHS = itertools.count(8)


class Reader(nn.Module):
    """Reads ids with their mask. Each has a width of its own: a program that was compiled for one is no other's."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(50, next(WIDTHS))

    def forward(self, input_ids, attention_mask=None):
        return self.table(input_ids) * attention_mask[..., None]


@pytest.fixture
def reader(workbench):
    torch.manual_seed(0)
    reader = Reader().eval().requires_grad_(False).to("hpu")
    gaudi_lab.attach(reader, "reader")
    gaudi_lab.mode("lazy")
    return reader


def batch(length, rows=2):
    ids = torch.ones(rows, length, dtype=torch.long)
    return {"input_ids": ids, "attention_mask": ids.clone()}


def call(reader, batch):
    return reader(**{name: x.to("hpu") for name, x in batch.items()}).cpu()


def trades(forecast):
    return [(trade.buckets, trade.new_shapes) for trade in forecast.trades]


LENGTHS = (5, 5, 6, 9, 10, 10)


def test_without_a_measurement_counts_and_padding_are_told_and_no_seconds(reader):
    forecast = gaudi_lab.forecast([batch(n) for n in LENGTHS], reader)
    assert [(size.batches, size.known) for size in forecast.sizes] == [(2, False), (1, False)] * 1 + [
        (1, False),
        (2, False),
    ]
    assert (forecast.as_is.new_shapes, forecast.as_is.compiles, forecast.as_is.seconds) == (4, 4, None)
    assert forecast.lengths == ("input_ids", "attention_mask")
    assert trades(forecast)[:2] == [((10,), 1), ((6, 10), 2)]
    assert forecast.trades[1].padding == 2 * (1 + 1 + 1)
    assert forecast.trades[1].padded_share == pytest.approx(6 / (6 + 2 * sum(LENGTHS)))
    assert forecast.best is None
    with pytest.raises(LabError, match="cost least is not known"):
        forecast.collator()
    assert forecast.collator(buckets=2).buckets == (6, 10)
    assert forecast.collator(buckets=[7, 12]).buckets == (7, 12)
    with pytest.raises(LabValueError, match="no plan with 9 buckets"):
        forecast.collator(buckets=9)


def test_what_was_measured_makes_the_seconds_and_the_outcome_stands_beside(reader):
    few = [batch(5), batch(9)]
    gaudi_lab.warmup(lambda x: call(reader, x), n=4, over=few)
    batches = [batch(n) for n in range(5, 21)]
    forecast = gaudi_lab.forecast(batches, reader)
    prices = forecast.prices
    assert (prices.compiles, prices.compiles_per_shape, prices.sizes) == (1, 1.0, 2)
    (shape,) = [x for x in watched.watching.history.since(0) if x.cause.kind == "shape"]
    assert prices.seconds_per_compile == shape.seconds
    assert [size.known for size in forecast.sizes].count(True) == 2
    assert forecast.as_is.new_shapes == 14
    assert forecast.as_is.seconds == pytest.approx(14 * shape.seconds)
    for trade in forecast.trades:
        assert trade.seconds == pytest.approx(
            trade.new_shapes * shape.seconds + trade.padding * prices.seconds_per_element
        )
    assert forecast.best.seconds == min(x.seconds for x in (forecast.as_is, *forecast.trades))
    for x in batches:
        call(reader, x)
    outcome = forecast.outcome()
    assert (outcome.new_shapes, outcome.unforeseen, outcome.compiles) == (14, 0, 14)
    again = gaudi_lab.forecast(batches, reader)
    assert (again.as_is.new_shapes, again.as_is.seconds) == (0, 0.0)


def test_padded_to_buckets_what_happens_is_what_was_forecast(reader):
    call(reader, batch(5))
    data = [{"input_ids": torch.ones(n, dtype=torch.long)} for n in (3, 4, 4, 11, 12, 12)]
    forecast = gaudi_lab.forecast([batch(n, rows=1) for n in (3, 4, 4, 11, 12, 12)], reader)
    pad = forecast.collator(buckets=2)
    for x in DataLoader(data, batch_size=1, collate_fn=pad):
        call(reader, x)
    outcome = forecast.outcome()
    assert (outcome.new_shapes, outcome.unforeseen, outcome.compiles) == (2, 0, 2)
    call(reader, batch(40))
    outcome = forecast.outcome()
    assert (outcome.new_shapes, outcome.unforeseen) == (3, 1)


@pytest.mark.parametrize(("mode", "for_each"), [("compile", 1), ("HPU graphs", 3)])
def test_in_every_mode_what_happens_is_what_was_forecast(reader, mode, for_each):
    if mode == "compile":
        gaudi_lab.mode("eager")
        gaudi_lab.mode("compile")
    else:
        gaudi_lab.hpu_graphs(reader)
    gaudi_lab.warmup(lambda x: call(reader, x), n=3, over=[batch(5), batch(7)])
    batches = [batch(n) for n in (5, 7, 11, 13)]
    forecast = gaudi_lab.forecast(batches, reader)
    assert (forecast.as_is.new_shapes, forecast.as_is.compiles) == (2, 2 * for_each)
    assert forecast.as_is.seconds > 0
    assert forecast.prices.sizes == 2
    for x in batches:
        call(reader, x)
    outcome = forecast.outcome()
    assert (outcome.new_shapes, outcome.unforeseen, outcome.compiles) == (2, 0, 2 * for_each)


def test_a_shape_is_known_under_the_switches_it_was_compiled_under(reader):
    call(reader, batch(5))
    assert gaudi_lab.forecast([batch(5)], reader).as_is.new_shapes == 0
    with gaudi_lab.hpu_graphs(reader):
        assert gaudi_lab.forecast([batch(5)], reader).as_is.new_shapes == 1
        call(reader, batch(5))
        assert gaudi_lab.forecast([batch(5)], reader).as_is.new_shapes == 0


def test_what_was_called_in_another_mode_is_not_known(reader):
    gaudi_lab.mode("eager")
    call(reader, batch(5))
    call(reader, batch(6))
    gaudi_lab.mode("lazy")
    call(reader, batch(7))
    call(reader, batch(8))
    forecast = gaudi_lab.forecast([batch(n) for n in (5, 6, 7, 8)], reader)
    assert [size.known for size in forecast.sizes] == [False, False, True, True]
    assert forecast.prices.compiles_per_shape == 1.0


def test_what_was_compiled_under_other_switches_is_no_price_under_these(bert, workbench):
    def read(length):
        bert(torch.ones(1, length, dtype=torch.long).to("hpu")).pooler_output.cpu()

    gaudi_lab.attach(bert, "bert")
    gaudi_lab.mode("lazy")
    for length in (4, 5, 6, 7):
        read(length)
    plain = gaudi_lab.forecast([(1, 8)], bert).prices
    assert (plain.compiles, plain.compiles_per_shape) == (3, 1.0)
    with gaudi_lab.fused_sdpa(bert):
        read(4)
        read(5)
        assert gaudi_lab.forecast([(1, 8)], bert).prices.compiles_per_shape == 1.0
    read(8)
    assert gaudi_lab.forecast([(1, 8)], bert).prices.compiles == 4


def test_eager_mode_compiles_nothing_and_says_so(reader):
    gaudi_lab.mode("eager")
    forecast = gaudi_lab.forecast([batch(5), batch(6)], reader)
    assert (forecast.as_is.compiles, forecast.as_is.seconds, forecast.best) == (0, 0.0, None)
    assert "eager mode compiles no graph" in forecast.notes[0]


def test_torch_compile_has_a_limit_and_the_forecast_says_so(reader):
    gaudi_lab.mode("eager")
    gaudi_lab.mode("compile")
    assert not any("stops at" in note for note in gaudi_lab.forecast([batch(5)], reader).notes)
    forecast = gaudi_lab.forecast([batch(n) for n in range(1, 30)], reader)
    assert any("torch.compile stops at 8 graphs" in note for note in forecast.notes)


@pytest.mark.parametrize("dynamic", [True, "auto"])
def test_where_sizes_are_symbols_no_compile_is_foretold_for_each_and_no_buckets_are_best(reader, dynamic):
    gaudi_lab.mode("eager")
    gaudi_lab.compile(reader, dynamic=dynamic)
    gaudi_lab.warmup(lambda x: call(reader, x), n=4, over=[batch(5), batch(6), batch(7), batch(9)])
    forecast = gaudi_lab.forecast([batch(n) for n in (5, *range(11, 28))], reader)
    assert forecast.as_is.new_shapes == 17
    assert forecast.prices.seconds_per_compile is not None
    assert forecast.as_is.compiles < 17
    assert forecast.best is None
    assert any("sizes for symbols" in note for note in forecast.notes)
    assert not any("stops at" in note for note in forecast.notes)
    with pytest.raises(LabError, match="sizes for symbols"):
        forecast.collator()
    assert forecast.collator(buckets=2).buckets


def test_passes_multiply_what_padding_costs(reader):
    batches = [batch(n) for n in LENGTHS]
    once, thrice = (gaudi_lab.forecast(batches, reader, epochs=n) for n in (1, 3))
    assert [x.padding * 3 for x in once.trades] == [x.padding for x in thrice.trades]
    assert [x.padded_share for x in once.trades] == [x.padded_share for x in thrice.trades]


def test_a_short_last_batch_is_named_with_its_remedy(reader):
    forecast = gaudi_lab.forecast([batch(5, 4), batch(5, 4), batch(5, 1)], reader)
    assert (forecast.as_is.new_shapes, forecast.trades) == (2, ())
    assert "drop_last=True" in forecast.notes[-1]
    assert "pad_last_batch=True" in forecast.notes[-1]
    loader = DataLoader([batch(5, 1)] * 3, batch_size=2, drop_last=True)
    assert gaudi_lab.forecast(loader, reader).notes == ()


@pytest.mark.parametrize(
    ("sizes", "why"),
    [
        ([{"x": (2, 3, 8, 8)}, {"x": (2, 3, 9, 9)}], "x changes in dimension 2"),
        ([{"x": (2, 3), "y": (2, 4)}, {"x": (2, 4), "y": (2, 3)}], "each for itself"),
        ([{"x": (2, 3)}, {"y": (2, 3)}], "not every batch has the same tensors"),
    ],
)
def test_where_padding_does_not_apply_it_says_why(workbench, sizes, why):
    forecast = gaudi_lab.forecast(sizes, nn.Identity())
    assert forecast.trades == ()
    assert why in forecast.notes[0]
    with pytest.raises(LabValueError, match=why):
        forecast.collator()


def test_without_a_mask_a_collator_is_refused(workbench):
    forecast = gaudi_lab.forecast([(2, 3), (2, 5)], nn.Identity())
    assert forecast.lengths == ("input",)
    with pytest.raises(LabValueError, match="no attention_mask"):
        forecast.collator(buckets=1)


def test_which_model_must_be_clear(workbench, reader, net):
    assert gaudi_lab.forecast([batch(5)]).model == "reader"
    assert gaudi_lab.forecast([batch(5)], "reader").model == "reader"
    gaudi_lab.attach(net, "net")
    with pytest.raises(LabError, match="attached: reader, net"):
        gaudi_lab.forecast([batch(5)])


def test_numbers_below_one_are_refused(reader):
    with pytest.raises(LabValueError, match="epochs=0"):
        gaudi_lab.forecast([batch(5)], reader, epochs=0)


def test_an_outcome_needs_a_model_that_is_there_and_followed(workbench):
    model = nn.Linear(2, 2)
    forecast = gaudi_lab.forecast([(2, 2)], model)
    with pytest.raises(LabError, match="not attached"):
        forecast.outcome()
    del model
    gc.collect()
    with pytest.raises(LabError, match="is gone"):
        forecast.outcome()


def test_a_shape_that_another_model_had_compiled_is_met_all_the_same(reader):
    call(reader, batch(5))
    again = Reader()
    again.table = nn.Embedding(*reader.table.weight.shape)
    again = again.eval().requires_grad_(False).to("hpu")
    gaudi_lab.attach(again, "again")
    assert gaudi_lab.forecast([batch(5)], again).as_is.new_shapes == 1
    call(again, batch(5))
    assert gaudi_lab.forecast([batch(5)], again).as_is.new_shapes == 0


def test_a_forecast_is_data_too(reader):
    for length in (4, 7, 4, 4, 7, 7):
        call(reader, batch(length))
    gaudi_lab.warmup(lambda: call(reader, batch(4)), n=2)
    gaudi_lab.warmup(lambda: call(reader, batch(7)), n=2)
    forecast = gaudi_lab.forecast([batch(length) for length in LENGTHS], reader)
    records = forecast.to_records()
    assert [(x["buckets"], x["new_shapes"]) for x in records] == [
        (", ".join(map(str, trade.buckets)), trade.new_shapes) for trade in (forecast.as_is, *forecast.trades)
    ]
    assert [x["seconds"] for x in records] == [trade.seconds for trade in (forecast.as_is, *forecast.trades)]
    assert [x["best"] for x in records].count(True) == (forecast.best is not None)
    told = json.loads(forecast.to_json())
    assert told["trades"] == records
    assert sum(size["batches"] for size in told["sizes"]) == len(LENGTHS)
    frame = forecast.to_frame()
    assert list(frame["new_shapes"]) == [x["new_shapes"] for x in records]


def test_without_a_measurement_its_seconds_are_none(reader):
    records = gaudi_lab.forecast([batch(length) for length in LENGTHS], reader).to_records()
    assert {(x["seconds"], x["best"]) for x in records[:1]} == {(None, None)}
