"""How a warm-up reads: its summary, its table, and its bars."""

import re

import pytest

from gaudi_lab import render
from gaudi_lab.measure.causes.cause import Cause
from gaudi_lab.measure.timeline import Iteration, Timeline
from gaudi_lab.render.timelines import summary

NEW = (Cause("shape", "new shape 2×4"),)


def timeline(*rows, **options):
    """Make a timeline of rows (wall time, compilations); a tenth of a second a compilation."""
    return Timeline(
        tuple(
            Iteration(number, wall, compilations, compilations * 0.1, causes=NEW if compilations else ())
            for number, (wall, compilations) in enumerate(rows, 1)
        ),
        **options,
    )


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        ([], {}, ["nothing was run"]),
        (
            [(3.0, 2), (1.0, 0), (1.0, 0)],
            {},
            [
                "warm-up 3.00 s",
                "2 graphs compiled in 200 ms",
                "4% compiling",
                "steady after 1 run",
                "then 1.00 s ± 0 s (2 runs)",
            ],
        ),
        ([(1.0, 0)], {}, ["steady from the start", "then 1.00 s (1 run)"]),
        ([(1.0, 1)], {}, ["warm-up 1.00 s", "1 graph compiled in 100 ms", "10% compiling", "not steady yet"]),
        (
            [(1.0, 0)],
            {"interrupted": True},
            ["interrupted after 1 run", "steady from the start", "then 1.00 s (1 run)"],
        ),
    ],
)
def test_the_summary_says_what_is_known(rows, options, said):
    assert summary(timeline(*rows, **options)) == said


def test_what_torch_compile_traced_is_compiling_too():
    traced = Timeline(
        (
            Iteration(1, 2.0, 1, 0.1, causes=NEW, compiling_again=0.0, tracing=1.4),
            Iteration(2, 1.0, 1, 0.1, causes=NEW, compiling_again=0.5, tracing=0.4),
        )
    )
    assert summary(traced)[1:4] == [
        "2 graphs compiled in 200 ms",
        "1.80 s of tracing for torch.compile",
        "67% compiling, 25% of that again",
    ]
    assert "1.50 s" in render.text(traced).splitlines()[1]


def test_one_run_in_one_line():
    assert render.line(Iteration(1, 0.5, 2, 0.1, causes=NEW)) == "run 1 · 500 ms · 2 compiles · new shape 2×4"
    assert render.line(Iteration(2, 0.5)).endswith("steady")


def test_an_emulated_device_is_named_and_a_real_one_is_not():
    assert "not Gaudi times" in render.line(timeline((1.0, 0), emulated=True))
    assert "Gaudi" not in render.line(timeline((1.0, 0)))


def table(measured):
    """Return the first column of the table as text."""
    return [row.split()[0] for row in render.text(measured).splitlines() if re.match(r"\s*\d", row)]


def test_a_short_warm_up_has_a_row_for_each_run():
    assert table(timeline(*[(1.0, 0)] * 12)) == [str(number) for number in range(1, 13)]


def test_in_a_long_one_steady_runs_in_a_row_share_one():
    rows = [(2.0, 1), *[(1.0, 0)] * 10, (2.0, 1), *[(1.0, 0)] * 3]
    assert table(timeline(*rows)) == ["1", "2–11", "12", "13", "14", "15"]
    assert "1.00 s each" in render.text(timeline(*rows))


def test_a_row_says_what_was_new():
    (row,) = [x for x in render.text(timeline((2.0, 1))).splitlines() if re.match(r"\s*1\s", x)]
    assert row.split()[-3:] == ["new", "shape", "2×4"]


def test_bars_share_one_scale_and_compiling_is_a_part_of_the_run():
    # The first compile took longer than the run: several threads compiled at once.
    measured = Timeline((Iteration(1, 2.0, 4, 3.0, causes=NEW), Iteration(2, 1.0, 1, 0.5, causes=NEW)))
    widths = [float(width) for width in re.findall(r"width:\s*([\d.]+)%", render.html(measured))]
    assert sum(widths) == pytest.approx(150)
    assert max(widths) == pytest.approx(100)
