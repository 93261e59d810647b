"""What is written as it goes can be read again, and gone on with."""

from __future__ import annotations

import json

import numpy
import pytest
import torch

import gaudi_lab
from gaudi_lab.comparison import folding, records
from gaudi_lab.comparison.candidates import Candidate, make_candidates
from gaudi_lab.comparison.records import Journal
from gaudi_lab.comparison.written_settings import parse_settings
from gaudi_lab.errors import LabError, LabValueError
from gaudi_lab.settings import Mode, Settings
from tests.unit.comparison.conftest import EAGER, GRAPHS, LAZY, Planted, head

SECONDS = {"eager": 1.0, "lazy": 0.5, "lazy + HPU graphs": 0.2}


def test_saved_and_opened_it_is_the_same(compare, tmp_path):
    found = compare(Planted(SECONDS, raises={"lazy": ValueError("x")}), EAGER, LAZY, GRAPHS)
    again = gaudi_lab.open_comparison(found.save(tmp_path / "a.jsonl"))
    assert again.rows == found.rows
    assert repr(again) == repr(found)
    assert again.to_records() == found.to_records()


def test_it_overwrites_nothing(compare, tmp_path):
    found = compare(Planted(SECONDS), EAGER)
    path = tmp_path / "a.jsonl"
    path.write_text("mine")
    with pytest.raises(LabError, match="is there already"):
        found.save(path)
    assert path.read_text() == "mine"


def test_lines_are_there_as_it_goes_and_read_as_the_result(compare, tmp_path):
    path = tmp_path / "a.jsonl"
    lines = []
    journal = Journal(path)

    def see(record):
        if record["kind"] != "turn":
            lines.append(len(path.read_text().splitlines()))

    journal.told = see
    found = compare(Planted(SECONDS), EAGER, LAZY, journal=journal)
    assert lines == list(range(1, len(lines) + 1))
    assert folding.open_comparison(path).rows == found.rows


def test_a_line_that_was_cut_off_is_left_out(compare, tmp_path):
    found = compare(Planted(SECONDS), EAGER, LAZY)
    path = found.save(tmp_path / "a.jsonl")
    path.write_text(path.read_text()[:-20])
    again = folding.open_comparison(path)
    assert again.interrupted
    assert again.rows == found.rows


@pytest.mark.parametrize("left", [-20, -1])
def test_a_line_that_was_cut_off_is_gone_when_others_are_added(compare, tmp_path, left):
    path = compare(Planted({"eager": 1.0}), EAGER).save(tmp_path / "a.jsonl")
    path.write_bytes(path.read_bytes()[:left])
    whole = records.read(path)
    records.cut_back(path)
    Journal(path, records.read(path)).add("end", why="é\u2028\x85")
    assert records.read(path) == [*whole, {"kind": "end", "why": "é\u2028\x85"}]


def test_a_line_that_was_cut_off_within_a_letter_is_left_out(compare, tmp_path):
    path = compare(Planted({"eager": 1.0}), EAGER).save(tmp_path / "a.jsonl")
    whole = records.read(path)
    path.write_bytes(path.read_bytes() + '{"kind": "é'.encode()[:-1])
    assert records.read(path) == whole


@pytest.mark.parametrize("text", ["", "hello", '{"kind": "warmup"}', '{"kind": "comparison", "format": 99}'])
def test_another_file_is_refused(tmp_path, text):
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    with pytest.raises(LabError):
        folding.open_comparison(path)


def test_an_interrupt_keeps_what_is_finished_and_only_the_rest_is_measured(compare, tmp_path):
    class Interrupted(Planted):
        def run(self):
            if len(self.runs) == 40:
                raise KeyboardInterrupt
            return super().run()

    journal = Journal(tmp_path / "a.jsonl")
    first = compare(Interrupted(SECONDS), EAGER, LAZY, journal=journal)
    assert first.interrupted
    kept = [row.turns for row in first.rows]
    assert any(kept)
    journal = Journal(journal.path, records.read(journal.path))
    planted = Planted(SECONDS)
    whole = compare(planted, EAGER, LAZY, journal=journal)
    assert not whole.interrupted
    for before, row in zip(kept, whole.rows, strict=True):
        assert row.turns[: len(before)] == before
        assert len(row.turns) == 5
    missing = sum(5 - len(turns) for turns in kept)
    assert len(planted.runs) == missing * (3 + 5)


@pytest.mark.parametrize("raises", [{}, {"eager": ValueError("now it fails")}])
def test_what_is_finished_stays_when_a_result_is_gone_on_with(compare, raises):
    first = compare(Planted(SECONDS), EAGER)
    both = head([Candidate(EAGER), Candidate(LAZY)])
    journal = Journal(records=[*folding.unfold(first), both])
    whole = compare(Planted(SECONDS, raises=raises), EAGER, LAZY, journal=journal)
    assert whole.rows[0] == first.rows[0]
    assert (whole.rows[1].difference is None) == bool(raises)
    assert len(whole.rows[1].times) == 25


def test_candidates_are_all_combinations_each_once():
    over = {"batch_size": [1, 8], "environment": [{}, {"A": "1"}]}
    found = make_candidates([EAGER, LAZY, EAGER], over)
    assert len(found) == 8
    assert str(found[-1]) == "lazy, batch_size 8, A=1"
    (counted,) = make_candidates([EAGER], {"environment": [{"OMP_NUM_THREADS": 1, "A": None}]})
    assert counted.environment == (("OMP_NUM_THREADS", "1"), ("A", None))
    with pytest.raises(LabValueError, match="not a list"):
        make_candidates([EAGER], {"batch_size": 8})


@pytest.mark.parametrize(
    "settings",
    [EAGER, GRAPHS, Settings(Mode.COMPILE, fused_sdpa=True), Settings(operators=("a", "b"))],
)
def test_a_candidate_survives_json(settings):
    candidate = Candidate(settings, (("batch_size", 8),), (("A", None), ("B", "1")))
    assert records.to_candidate(json.loads(json.dumps(records.from_candidate(candidate)))) == candidate


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ([1, "two"], [1, "two"]),
        ((1, [2.5, (None,)]), (1, [2.5, (None,)])),
        (numpy.int64(3), 3),
        (torch.bfloat16, "bfloat16"),
        (torch.Size([1, 2]), "Size([1, 2])"),
        ([torch.bfloat16], "[torch.bfloat16]"),
    ],
)
def test_a_value_that_was_varied_is_kept_under_the_name_that_it_had(value, kept):
    candidate = Candidate(EAGER, (("value", value),))
    again = records.to_candidate(json.loads(json.dumps(records.from_candidate(candidate))))
    assert again.values == {"value": kept}
    assert str(again) == str(candidate)


@pytest.mark.parametrize("settings", [EAGER, GRAPHS, Settings(Mode.COMPILE, fused_sdpa=True)])
def test_settings_are_read_as_they_show_themselves(settings):
    assert parse_settings(str(settings)) == settings
    with pytest.raises(LabValueError, match="no switch"):
        parse_settings("lazy + magic")


def test_two_comparisons_side_by_side(compare):
    here = compare(Planted(SECONDS), EAGER, LAZY)
    there = compare(Planted({**SECONDS, "lazy": 0.25}), LAZY, GRAPHS)
    beside = here.beside(there, "1.22", "1.23")
    assert [name for name, *_ in beside.pairs] == ["eager", "lazy", "lazy + HPU graphs"]
    assert [beside.verdict(a, b) for _, a, b in beside.pairs] == [None, "faster", None]
    assert "×  faster" in repr(beside)
    assert "1.23" in beside._repr_html_()


def test_calls_of_other_sizes_are_not_told_to_be_faster_or_slower(compare):
    class Larger(Planted):
        def samples(self, result):
            return 32

    here, there = compare(Planted({"eager": 1.0}), EAGER), compare(Larger({"eager": 2.0}), EAGER)
    assert here.beside(there).verdict(here.rows[0], there.rows[0]) is None
