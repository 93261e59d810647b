"""Settings are read as they show themselves."""

from __future__ import annotations

import json

import pytest

from gaudi_lab.comparison import records
from gaudi_lab.comparison.candidates import Candidate
from gaudi_lab.comparison.written_settings import parse_settings
from gaudi_lab.errors import LabValueError
from gaudi_lab.settings import Mode, Settings

OPTIONS = {"force_static_compile": True, "decomposition_mode": "none"}


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(Mode.LAZY, hpu_graphs=True, verify=True, fused_sdpa=True, recompute=False, softmax="fast"),
        Settings(Mode.LAZY, operators=("rms_norm", "rotary")),
        Settings(Mode.COMPILE, fused_sdpa=True, dynamic=True),
        Settings(Mode.COMPILE, dynamic="auto", backend_options=OPTIONS),
    ],
    ids=str,
)
def test_what_is_shown_is_read_again(settings):
    assert parse_settings(str(settings)) == settings
    candidate = Candidate(settings, (("batch_size", 2),))
    (line,) = records.to_line(records.from_candidate(candidate)).splitlines()
    assert records.to_candidate(json.loads(line)) == candidate


def test_case_and_spaces_do_not_matter():
    expected = Settings(Mode.LAZY, hpu_graphs=True, fused_sdpa=True, recompute=True)
    assert parse_settings("Lazy+hpu graphs  +  fusedsdpa(  Recompute )") == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("fast", "not an execution mode"),
        ("eager (dynamic)", "eager mode has no options"),
        ("compile (fast)", "no option of torch.compile; there are dynamic, no dynamic, auto dynamic"),
        ("compile (inference=)", "gives no value"),
        ("lazy + graphs", "no switch"),
        ("lazy + operators", "names none"),
        ("lazy + (HPU graphs", "parentheses"),
    ],
)
def test_what_cannot_be_read_says_the_line_to_run(text, why):
    with pytest.raises(LabValueError, match=why) as refused:
        parse_settings(text)
    assert "Run: %gaudi_comp" in refused.value.for_notebook()
