"""Who wins, and who cannot be told apart: with planted times."""

from __future__ import annotations

import math

import pytest
import torch

from gaudi_lab.comparison.candidates import Candidate
from gaudi_lab.comparison.result import Comparison
from gaudi_lab.comparison.row import RESIDENT, Row
from gaudi_lab.errors import LabError
from tests.unit.comparison.conftest import EAGER, GRAPHS, LAZY, Planted


@pytest.mark.parametrize("noise", [0.01, 0.05])
def test_equal_settings_make_no_difference_in_nine_of_ten(compare, noise):
    told = []
    for seed in range(100):
        found = compare(Planted({"eager": 1.0, "lazy": 1.0}, noise=noise, seed=seed), EAGER, LAZY)
        told.append(found.verdict(found.rows[1]))
    assert told.count("no difference") >= 90


@pytest.mark.parametrize("noise", [0.01, 0.05])
def test_a_setting_that_takes_longer_by_a_third_is_slower_in_nine_of_ten(compare, noise):
    told = []
    for seed in range(100):
        found = compare(Planted({"eager": 1.0, "lazy": 1.3}, noise=noise, seed=seed), EAGER, LAZY)
        told.append((found.verdict(found.rows[1]), str(found.best().candidate)))
    assert told.count(("slower", "eager")) >= 90


def test_what_slows_the_machine_down_slows_all_and_decides_nothing(compare):
    class Moody(Planted):
        def run(self):
            turn = len(self.runs) // 16
            before = self.now
            result = super().run()
            self.now = before + (self.now - before) * (1 + turn)
            return result

    found = compare(Moody({"eager": 1.0, "lazy": 1.3}), EAGER, LAZY)
    assert found.rows[0].iqr > 0.5
    assert found.verdict(found.rows[1]) == "slower"


def test_a_large_factor_is_told_on_a_machine_that_is_busy_now_and_then(compare):
    class Busy(Planted):
        def run(self):
            turn, before = (len(self.runs) - 6) // 16, self.now  # before the first, 3 calls of each
            result = super().run()
            # Every other turn takes six times as long.
            self.now = before + (self.now - before) * (1 + 5 * (turn % 2))
            return result

    found = compare(Busy({"eager": 1.0, "lazy": 0.1}), EAGER, LAZY)
    eager, lazy = found.rows
    assert eager.median - lazy.median < 2 * eager.iqr
    assert found.verdict(lazy) == "faster"


def test_a_wrong_setting_wins_nothing_and_is_not_timed(compare):
    planted = Planted({"eager": 1.0, "lazy": 0.1}, outputs={"lazy": torch.tensor([1.0, 1, 1, 1.01])})
    found = compare(planted, EAGER, LAZY)
    wrong = found.rows[1]
    assert wrong.differs
    assert wrong.difference.absolute == pytest.approx(0.01, abs=1e-6)
    assert wrong.times == ()
    assert found.best() is found.rows[0]
    assert found.best(calls=10_000) is found.rows[0]
    assert found.ratio(wrong) is None
    assert "OTHER RESULTS" in repr(found)


def test_a_difference_that_is_allowed_is_told_and_wins(compare):
    planted = Planted({"eager": 1.0, "lazy": 0.1}, outputs={"lazy": torch.tensor([1.0, 1, 1, 1.01])})
    found = compare(planted, EAGER, LAZY, tolerance=0.05)
    assert str(found.best().candidate) == "lazy"
    assert found.best().difference.absolute > 0


def test_what_comes_out_in_16_bits_may_differ_by_its_last_digits(compare):
    outputs = {name: torch.tensor([1.0, x]).bfloat16() for name, x in (("eager", 1.0), ("lazy", 1.01))}
    found = compare(Planted({"eager": 1.0, "lazy": 0.1}, outputs=outputs), EAGER, LAZY)
    assert found.rows[1].difference.relative > 1e-3
    assert not found.rows[1].differs


def test_what_captures_while_it_is_timed_does_not_count(compare):
    found = compare(Planted({"eager": 1.0, "lazy": 0.1}, captures=("lazy",)), EAGER, LAZY)
    row = found.rows[1]
    assert "captured while it was timed" in row.invalid
    assert row.median is None
    assert found.best() is found.rows[0]


def test_it_pays_from_where_the_lines_cross(compare):
    planted = Planted({"eager": 2.0, "lazy": 1.0}, noise=0, warmups={"lazy": 100.0})
    found = compare(planted, EAGER, LAZY)
    row = found.rows[1]
    pays = found.break_even(row)
    assert found.total(row, pays) == pytest.approx(found.total(found.rows[0], pays))
    assert pays == pytest.approx(100, rel=0.02)
    assert str(found.best(calls=50).candidate) == "eager"
    assert str(found.best(calls=200).candidate) == "lazy"
    assert "after 100 calls" in repr(found)


def test_what_is_slower_never_pays(compare):
    found = compare(Planted({"eager": 1.0, "lazy": 2.0}), EAGER, LAZY)
    assert found.break_even(found.rows[1]) == math.inf
    assert "never" in repr(found)


def test_a_setting_that_raises_costs_its_row(compare):
    planted = Planted({"eager": 1.0, "lazy + HPU graphs": 0.5}, raises={"lazy": ValueError("no\nsuch thing")})
    found = compare(planted, EAGER, LAZY, GRAPHS)
    assert found.rows[1].error == "ValueError: no"
    assert str(found.best().candidate) == "lazy + HPU graphs"
    assert "1 failed" in str(found)


def test_nothing_wins_where_everything_fails(compare):
    found = compare(Planted({}, raises={"eager": ValueError("x"), "lazy": ValueError("y")}), EAGER, LAZY)
    with pytest.raises(LabError, match="Nothing wins"):
        found.best()
    repr(found)
    found._repr_html_()


def test_when_the_first_fails_others_are_compared_with_the_next(compare):
    planted = Planted(
        {"lazy": 1.0, "lazy + HPU graphs": 0.5},
        raises={"eager": ValueError("x")},
        outputs={"lazy + HPU graphs": torch.zeros(4)},
    )
    found = compare(planted, EAGER, LAZY, GRAPHS)
    assert found.rows[2].differs
    assert str(found.best().candidate) == "lazy"


def test_of_those_that_are_not_told_apart_the_shortest_warm_up_is_taken_and_said(compare):
    planted = Planted({"eager": 3.0, "lazy": 1.0, "lazy + HPU graphs": 1.0}, warmups={"lazy": 5.0})
    found = compare(planted, EAGER, LAZY, GRAPHS)
    assert str(found.best().candidate) == "lazy + HPU graphs"
    assert "× the first, not told from lazy, and has the shortest warm-up of them" in str(found)
    equal = compare(Planted({"eager": 1.0, "lazy": 1.0}, seed=1, warmups={"eager": 5.0}), EAGER, LAZY)
    assert "no difference between them, and lazy has the shortest warm-up" in str(equal)


def planted_row(settings, warmup, *seconds):
    turns = tuple((number, (each,) * 5) for number, each in enumerate(seconds))
    return Row(Candidate(settings), RESIDENT, (warmup,), 1, turns=turns)


def test_what_is_not_told_from_the_first_does_not_win_over_what_is():
    first = planted_row(EAGER, 0.1, 1.0, 1.0, 1.0, 1.0, 1.0)
    unsteady = planted_row(LAZY, 0.1, 0.05, 2.0, 0.1, 3.0, 0.2)
    quick = planted_row(GRAPHS, 5.0, 0.1, 0.1, 0.1, 0.1, 0.1)
    found = Comparison("it", (first, unsteady, quick))
    assert found.verdict(unsteady) == found.between(quick, unsteady) == "no difference"
    assert found.winners() == (quick,)


@pytest.mark.parametrize("calls", [1, 10, 100_000])
def test_for_a_number_of_calls_only_what_is_told_from_the_first_wins_over_it(calls):
    first = planted_row(EAGER, 3.0, 0.9, 1.0, 1.0, 1.0, 1.1)
    same = planted_row(LAZY, 2.9, 0.8, 0.9, 0.95, 1.0, 1.1)
    found = Comparison("it", (first, same))
    assert found.verdict(same) == "no difference"
    assert found.total(same, calls) < found.total(first, calls)
    assert found.best(calls) is first


@pytest.mark.parametrize("calls", [1, 10, 100_000])
def test_of_those_that_are_not_told_apart_a_shorter_warm_up_wins_for_every_number_of_calls(calls):
    first = planted_row(EAGER, 30.0, 0.9, 1.0, 1.0, 1.0, 1.1)
    sooner = planted_row(LAZY, 2.0, 0.9, 1.0, 1.01, 1.1, 1.2)
    found = Comparison("it", (first, sooner))
    assert found.verdict(sooner) == "no difference"
    assert found.best(calls) is sooner


def test_what_is_slower_wins_by_a_shorter_warm_up_for_few_calls():
    first = planted_row(EAGER, 30.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    slower = planted_row(LAZY, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0)
    found = Comparison("it", (first, slower))
    assert found.best(calls=10) is slower
    assert found.best(calls=1000) is first


def test_nothing_wins_that_is_not_told_from_the_first(compare):
    planted = Planted({"eager": 1.0, "lazy": 1.0, "lazy + HPU graphs": 3.0}, seed=1, warmups={"eager": 5.0})
    found = str(compare(planted, EAGER, LAZY, GRAPHS))
    assert "none is known to be quicker than the first, and lazy has the shortest warm-up" in found
    assert "wins" not in found


def test_the_picture_marks_only_crossings_that_lie_in_it(compare):
    planted = Planted({"eager": 2.0, "lazy": 1.0, "lazy + HPU graphs": 0.5}, noise=0, warmups={"lazy": 100.0})
    axes = compare(planted, EAGER, LAZY, GRAPHS).plot().axes[0]
    marks = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
    assert marks == [pytest.approx(100, rel=0.02)]
    assert [text.get_text() for text in axes.texts] == ["100 calls"]


def test_a_star_stands_where_a_win_is_said(compare):
    told = {"eager": 1.0, "lazy": 0.3}
    for planted, wins in (
        (Planted(told), True),
        (Planted({"eager": 0.3, "lazy": 1.0}), True),
        (Planted({"eager": 1.0, "lazy": 1.0}, seed=1), False),
        (Planted(told, raises={"lazy": RuntimeError("no kernel")}), False),
        (Planted(told, outputs={"lazy": torch.tensor([1.0, 1, 1, 1.01])}), False),
    ):
        found = compare(planted, EAGER, LAZY)
        assert ("wins" in str(found)) is wins
        assert found._repr_html_().count("★") == wins
