import sys
from dataclasses import replace

import pytest

from gaudi_lab import render
from gaudi_lab.errors import LabError
from gaudi_lab.measure.forecast import Forecast, Outcome, Size, Trade
from gaudi_lab.measure.prices import Prices
from gaudi_lab.shapes import Shape


def size(length, batches=1, known=False):
    return Size((Shape("input_ids", (8, length)),), batches, known)


FORECAST = Forecast(
    "bert",
    "lazy",
    (size(5, 3, known=True), size(9), size(12)),
    Trade((), 2, 4, 0, 0.0, 4.0, 0.0),
    (Trade((12,), 1, 2, 80, 0.25, 2.0, 0.5), Trade((5, 12), 1, 2, 24, 0.1, 2.0, 0.12)),
    Prices(2.0, 1.0, 6, 0.005, 3),
    ("input_ids",),
    ("the <order> is shuffled",),
)

UNMEASURED = replace(
    FORECAST,
    as_is=replace(FORECAST.as_is, compile_time=None),
    trades=tuple(replace(x, compile_time=None, padding_time=None) for x in FORECAST.trades),
    prices=Prices(),
)


def test_a_forecast_is_a_line_a_table_and_what_to_do():
    lines = repr(FORECAST).splitlines()
    assert (
        lines[0]
        == str(FORECAST)
        == (
            "3 shapes in 5 batches · 2 of them new · 4 compiles, about 4.00 s · padded to 5, 12: 2.12 s in all"
        )
    )
    assert lines[1:6] == [
        "sizes: input_ids 8×5 (3×); input_ids 8×9 new; input_ids 8×12 new",
        "  pad to       new shapes  compiles  compiling  padding   takes  in all",
        "  as they are           2         4     4.00 s        –       –  4.00 s",
        "  12                    1         2     2.00 s      25%  500 ms  2.50 s",
        "→ 5, 12                 1         2     2.00 s      10%  120 ms  2.12 s",
    ]
    assert lines[6] == (
        "measured: 1.00 s a compile (6 measured), 2 for a new shape · 5.00 ms an element (from 3 sizes) · "
        "1 pass over the batches"
    )
    assert lines[7] == "note: the <order> is shuffled"
    assert "forecast.collator(tokenizer)" in lines[8]


def test_html_has_the_same_and_a_picture_without_script():
    page = render.html(FORECAST)
    for part in ("5, 12", "2.12 s", "<svg", "&lt;order&gt;", "forecast.collator(tokenizer)"):
        assert part in page
    assert "<script" not in page


def test_without_a_measurement_no_second_is_told_and_nothing_is_best():
    for shown in (repr(UNMEASURED), render.html(UNMEASURED)):
        assert "no compile for a shape yet" in shown
        assert "no steady call yet" in shown
        assert "gaudi_lab.warmup(" in shown
    assert "→ 5" not in repr(UNMEASURED)
    assert " ms" not in repr(UNMEASURED)
    assert "<svg" not in render.html(UNMEASURED)


def test_padding_that_does_not_pay_is_not_advised():
    dear = replace(FORECAST, trades=(Trade((12,), 1, 2, 80, 0.25, 2.0, 9.0),))
    assert "padding would cost more than it saves" in str(dear)
    assert "collator" not in repr(dear)


def test_one_size_and_no_slope_are_told_as_what_they_are():
    one = replace(FORECAST, prices=Prices(2.0, 1.0, 6, 0.005, 1))
    assert "from one size, all its time taken for its elements': too much" in repr(one)
    flat = replace(FORECAST, prices=Prices(2.0, 1.0, 6, 0.0, 2))
    assert "larger sizes took no longer (from 2 sizes)" in repr(flat)


def test_of_many_buckets_the_middle_is_left_out_and_a_small_share_is_not_none():
    many = replace(FORECAST, trades=(Trade(tuple(range(1, 10)), 1, 2, 1, 0.001, 2.0, 0.0),))
    assert "1, 2, 3, 4, …, 9 (9)" in repr(many)
    assert "<1%" in repr(many)


def test_a_forecast_of_a_part_says_so_and_so_does_the_emulated_device():
    part = replace(FORECAST, complete=False, emulated=True)
    assert "in the first 5 batches" in str(part)
    assert "not Gaudi times" in str(part)
    assert "emulated on CPU" in render.html(part)


def test_what_happened_stands_beside_what_was_forecast():
    outcome = Outcome(FORECAST, 2, 1, 3, 1.5)
    assert repr(outcome).splitlines() == [
        "                           new shapes  compiles  compiling",
        "forecast, as they are               2         4     4.00 s",
        "forecast, padded to 5, 12           1         2     2.00 s",
        "happened                            2         3     1.50 s",
        str(outcome),
    ]
    assert str(outcome) == (
        "3 compiles in 1.50 s · forecast: 4 compiles as they are, 2 compiles padded · "
        "1 of 2 new shapes not foreseen"
    )
    assert "was not foreseen" in render.html(outcome)
    more = replace(outcome, compiles=5)
    assert "gaudi_lab.why()" in str(more)
    assert "gaudi_lab.why()" in render.html(more)
    assert "gaudi_lab.why()" not in str(outcome) + render.html(outcome)


def test_a_plot_has_a_bar_for_each_number_of_buckets():
    pytest.importorskip("matplotlib").use("agg")
    (axes,) = FORECAST.plot().axes
    assert [bar.get_height() for bar in axes.patches] == pytest.approx([2.0, 2.0, 0.5, 0.12])
    assert axes.get_xlabel() == "number of buckets"


def test_a_plot_that_cannot_be_drawn_says_what_is_missing(monkeypatch):
    with pytest.raises(LabError, match="was not measured"):
        UNMEASURED.plot()
    with pytest.raises(LabError, match="does not apply"):
        replace(FORECAST, trades=()).plot()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    with pytest.raises(LabError, match="pip install matplotlib"):
        FORECAST.plot()


def test_what_has_no_picture_is_a_type_error():
    with pytest.raises(TypeError, match="no picture of a int"):
        render.plot(3)
