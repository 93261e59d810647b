import pytest

from gaudi_lab.measure.causes.cause import Cause
from gaudi_lab.measure.timeline import Iteration, Timeline

NEW = (Cause("shape", "new shape 2×4"),)


def timeline(*rows):
    return Timeline(
        tuple(
            Iteration(number, wall, compilations, compilations * 0.1, causes=NEW if compilations else ())
            for number, (wall, compilations) in enumerate(rows, 1)
        )
    )


def test_warm_up_is_what_was_not_steady():
    measured = timeline((3.0, 2), (1.0, 0), (2.0, 1), (1.2, 0), (1.1, 0))
    assert measured.warmup_time == pytest.approx(5.0)
    assert measured.iterations_to_steady == 3
    assert measured.steady_median == pytest.approx(1.1)
    assert measured.steady_spread == pytest.approx(0.05)
    assert measured.compilations == 3
    assert measured.compile_time == pytest.approx(0.3)


def test_what_ends_with_a_compile_is_not_steady_yet():
    measured = timeline((1.0, 0), (2.0, 1))
    assert measured.iterations_to_steady is None
    assert measured.steady_median == 1.0
    assert measured.steady_spread is None


def test_nothing_new_is_steady_from_the_start():
    measured = timeline((1.0, 0), (1.0, 0))
    assert (measured.iterations_to_steady, measured.warmup_time) == (0, 0)


def test_nothing_measured_says_nothing():
    assert (Timeline().steady_median, Timeline().warmup_time) == (None, 0)


def test_a_first_run_is_warm_up_even_where_nothing_is_compiled():
    assert not Iteration(1, 1.0, causes=NEW).steady


def test_what_runs_on_the_host_in_every_run_is_told_and_is_no_warm_up():
    host = Cause("fallback", "ran on the host: aten.nonzero.default")
    first = Iteration(1, 2.0, compilations=1, causes=(Cause("first", "first call"), host))
    timeline = Timeline((first, *[Iteration(number, 0.5, causes=(host,)) for number in range(2, 22)]))
    assert [iteration.steady for iteration in timeline.iterations[:2]] == [False, True]
    assert timeline.iterations_to_steady == 1
    assert timeline.steady_median == 0.5
    folded = next(line for line in repr(timeline).splitlines() if line.lstrip().startswith("2–21"))
    assert host.text in folded
