"""A process for each setting: what is frozen at import, and what ends badly."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import gaudi_lab
from gaudi_lab.comparison import fresh
from gaudi_lab.errors import LabError

ROOT = Path(gaudi_lab.__file__).parent.parent

ENDS_BADLY = """
import os, time
import torch
import gaudi_lab

def work():
    what = os.environ.get("ENDS", "")
    if what == "raise":
        raise ValueError("asked for it")
    if what == "kill":
        os.kill(os.getpid(), 9)
    if what == "hang":
        time.sleep(600)
    return torch.ones(2)

found = gaudi_lab.compare(
    work, settings=["eager"], over={"environment": [{"ENDS": x} for x in ("well", "raise", "kill", "hang")]},
    rounds=1, calls=5, limit=25, quiet=True,
)
print(found.best().candidate)
for row in found.rows:
    print(row.method, "|", row.error, "|", len(row.times))
"""


def python(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        check=False,
    )
    return done.stdout.splitlines(), done.stderr


def test_what_raises_dies_or_hangs_costs_one_row_each():
    (best, *rows), _ = python(ENDS_BADLY)
    assert best == "eager, ENDS=well"
    assert rows == [
        "fresh process |  | 5",
        "fresh process | ValueError: asked for it | 0",
        "fresh process | its process ended with SIGKILL | 0",
        "fresh process | TooLong: took longer than 25 s, and was ended | 0",
    ]


FROZEN = """
import os
os.environ["GAUDI_LAB_RELAUNCH"] = "always"
import torch
from torch import nn
import gaudi_lab
from gaudi_lab.settings import Mode

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return helper(self.layer(x))

def helper(x):
    return x * FACTOR

FACTOR = 3
torch.manual_seed(0)
net = Net().eval().to("hpu")
gaudi_lab.attach(net, "net")
x = torch.ones(2, 4).to("hpu")
found = gaudi_lab.compare(net, x, settings=["eager", "lazy + HPU graphs"], rounds=1, calls=5, quiet=True)
for row in found.rows:
    print(row.method, row.error, row.differs, row.ran.mode, row.captures, row.cold, row.compiles > 0)
print(list(gaudi_lab.status().models)[0].name, gaudi_lab.mode())
"""


def test_a_mode_that_is_kept_is_tried_in_a_process_of_its_own_with_what_the_program_defined():
    lines, errors = python(FROZEN)
    assert lines == [
        "fresh process  False eager 0 True False",
        "fresh process  False lazy 1 True True",
        "net eager",
    ], errors


HELD = """
import os, tempfile
os.environ.update(GAUDI_LAB_RELAUNCH="always", GAUDI_LAB_EXCLUSIVE="1", TMPDIR=tempfile.mkdtemp())
import torch
import gaudi_lab
from gaudi_lab.errors import LabError
net = torch.nn.Linear(4, 4).eval()
x = torch.ones(2, 4)
options = {"rounds": 1, "calls": 5, "quiet": True}
found = gaudi_lab.compare(lambda: net.to("hpu")(x.to("hpu")), settings=["eager", "lazy"], **options)
print([row.error for row in found.rows], net.weight.device)
net.to("hpu")
try:
    gaudi_lab.compare(net, x.to("hpu"), settings=["eager", "lazy"], **options)
except LabError as error:
    print(error)
print(gaudi_lab.compare(net, x.to("hpu"), settings=["eager"], **options).rows[0].method)
"""


def test_a_card_that_this_process_holds_is_not_asked_for_by_another():
    (free, refused, resident), errors = python(HELD)[0], ""
    assert free == "['', ''] cpu", errors
    assert "this one holds the only card" in refused
    assert "Run: gaudi_lab.compare(" in refused
    assert resident == "resident"


def test_what_cannot_travel_is_refused_with_why(net):
    import threading

    lock = threading.Lock()

    def work():
        with lock:
            return net(torch.ones(2, 4).to("hpu"))

    with pytest.raises(LabError, match="cannot travel"):
        gaudi_lab.compare(work, settings=["eager"], method="fresh", quiet=True)


def test_the_order_goes_round(monkeypatch):
    from gaudi_lab.comparison.candidates import make_candidates, parse_settings
    from gaudi_lab.comparison.plan import Procedure
    from gaudi_lab.comparison.records import Journal

    tried = []

    def note(folder, candidate, number, plan, journal):
        (folder / fresh.REFERENCE).touch()
        tried.append((number, str(candidate)))
        journal.add("timed", candidate=str(candidate), turn=number, moved="")

    monkeypatch.setattr(fresh, "_try", note)
    candidates = make_candidates([parse_settings(x) for x in ("eager", "lazy", "compile")], {})
    with fresh.packed(_Nothing()) as folder:
        fresh.compare_fresh(folder, candidates, Procedure(tuple(candidates), 3), Journal())
    assert [name for number, name in tried if number == 1] == ["lazy", "compile", "eager"]
    assert sorted({number for number, _ in tried}) == [0, 1, 2]
    assert len(tried) == 9


class _Nothing:
    name = "nothing"
