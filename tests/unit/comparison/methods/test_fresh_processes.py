"""A process for each setting: what is frozen at import, and what ends badly."""

from __future__ import annotations

import io
import json
import pickle
import sys

import pytest
import torch

import gaudi_lab
from gaudi_lab import bridge
from gaudi_lab.comparison.candidates import Candidate, make_candidates
from gaudi_lab.comparison.methods import child, fresh
from gaudi_lab.comparison.methods.packing import pack
from gaudi_lab.comparison.plan import Procedure
from gaudi_lab.comparison.records import Journal
from gaudi_lab.comparison.written_settings import parse_settings
from gaudi_lab.errors import LabError
from gaudi_lab.settings import Mode, Settings
from gaudi_lab.workbench import lab
from gaudi_lab.workbench.subjects import make_subject
from tests.unit.handover.conftest import run

PROGRAM = """
import os, time
import torch
from torch import nn
import gaudi_lab

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return helper(self.layer(x))

def helper(x):
    return x * FACTOR

FACTOR = 3
net = Net().eval().to("hpu")
x = torch.ones(2, 4).to("hpu")

def work():
    if os.environ["GO"] == "badly":
        if gaudi_lab.mode() == "lazy":
            time.sleep(600)
        os.kill(os.getpid(), 9)
    return net(x)
"""


@pytest.fixture(scope="module")
def ends(tmp_path_factory):
    """Four settings, each in a process of its own, by their names, and the comparison.

    They are two modes, each in an environment in which all goes well, and in one in which its process dies or hangs.
    What they run is defined in no module that could be imported, as in a notebook. Beside that lies a file that is
    called like one of Python's modules.
    """
    folder = tmp_path_factory.mktemp("notebook")
    (folder / "random.py").write_text("raise RuntimeError('this is not the module that Python has')")
    bridge.load()
    workbench = lab.current()
    workbench.close()
    bridge.set_lazy(False)
    program = {"__name__": "__main__"}
    exec(PROGRAM, program)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("GAUDI_LAB_RELAUNCH", "always")
        patched.chdir(folder)
        gaudi_lab.attach(program["net"], "net")
        found = gaudi_lab.compare(
            program["work"],
            settings=["eager", "lazy + HPU graphs"],
            over={"environment": [{"GO": "well"}, {"GO": "badly"}]},
            rounds=1,
            calls=5,
            limit=20,  # of one that does not hang, also where the machine has much else to do
            quiet=True,
        )
        assert [model.name for model in gaudi_lab.status().models] == ["net"]
        assert gaudi_lab.mode() == "eager"
    workbench.close()
    return found


def test_a_mode_that_is_kept_is_tried_in_a_process_of_its_own_with_what_the_program_defined(ends):
    eager, lazy = ends.row("eager, GO=well"), ends.row("lazy + HPU graphs, GO=well")
    assert (eager.ran.mode, eager.captures, eager.compiles) == ("eager", 0, 0)
    assert (lazy.ran.mode, lazy.captures, lazy.compiles > 0) == ("lazy", 1, True)
    for row in (eager, lazy):
        assert (row.method, row.error, row.cold, len(row.times)) == ("fresh process", "", True, 5)
        assert not row.differs
    assert lazy.difference is not None


def test_what_dies_or_hangs_costs_one_row_each(ends):
    assert {row.error: len(row.times) for row in ends.rows if row.error} == {
        "its process ended with SIGKILL": 0,
        "TooLong: took longer than 20 s, and was ended": 0,
    }
    assert not ends.best().error


def test_what_raises_costs_its_row(tmp_path, monkeypatch, workbench):
    """The process's own side, in this process."""

    def work():
        raise ValueError("asked for it")

    candidate = Candidate(Settings(Mode.EAGER))
    with fresh.packed(pack(make_subject(work, (), {}))) as folder:
        (folder / fresh.ASKED).write_bytes(pickle.dumps((candidate, 0, Procedure((candidate,), 1))))
        monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps({"path": sys.path})))
        child.try_once(folder)
        assert (folder / fresh.STARTED).exists()
        assert not (folder / fresh.REFERENCE).exists()
        (told,) = map(json.loads, (folder / fresh.RECORDS).read_text().splitlines())
    assert (told["kind"], told["error"]) == ("error", "ValueError: asked for it")


HELD = """
import json, os, tempfile
os.environ.update(GAUDI_LAB_RELAUNCH="always", GAUDI_LAB_EXCLUSIVE="1", TMPDIR=tempfile.mkdtemp())
import torch
import gaudi_lab
from gaudi_lab.errors import LabError
net = torch.nn.Linear(4, 4).eval()
x = torch.ones(2, 4)
options = {"rounds": 1, "calls": 5, "quiet": True}
found = gaudi_lab.compare(lambda: net.to("hpu")(x.to("hpu")), settings=["lazy"], method="fresh", **options)
free = [[row.error for row in found.rows], str(net.weight.device)]
net.to("hpu")
try:
    gaudi_lab.compare(net, x.to("hpu"), settings=["eager", "lazy"], **options)
except LabError as error:
    refused = str(error)
resident = gaudi_lab.compare(net, x.to("hpu"), settings=["eager"], **options).rows[0].method
print("ANSWER", json.dumps([free, refused, resident]))
"""


def test_a_card_that_this_process_holds_is_not_asked_for_by_another():
    free, refused, resident = run(HELD)
    assert free == [[""], "cpu"]
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
    tried = []

    def note(folder, candidate, number, plan, journal, _):
        (folder / fresh.REFERENCE).touch()
        tried.append((number, str(candidate)))
        journal.add("timed", candidate=str(candidate), turn=number, moved="")

    monkeypatch.setattr(fresh, "_try", note)
    candidates = make_candidates([parse_settings(x) for x in ("eager", "lazy", "compile")], {})
    with fresh.packed(pack(_Nothing())) as folder:
        fresh.compare_fresh(folder, candidates, Procedure(tuple(candidates), 3), Journal())
    assert [name for number, name in tried if number == 1] == ["lazy", "compile", "eager"]
    assert sorted({number for number, _ in tried}) == [0, 1, 2]
    assert len(tried) == 9


class _Nothing:
    name = "nothing"
