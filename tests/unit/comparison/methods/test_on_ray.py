"""Settings as tasks of Ray, on a cluster of this machine with two declared HPUs."""

from __future__ import annotations

import pytest
import torch

import gaudi_lab
from gaudi_lab.errors import LabError

PROGRAM = """
import os
import torch

net = torch.nn.Linear(4, 4).eval()
x = torch.ones(2, 4)

def work():
    mark = os.environ["MARK"]
    if mark.endswith("dies always"):
        os._exit(1)
    if mark.endswith("dies once") and not os.path.exists(mark):
        open(mark, "w").close()
        os.kill(os.getpid(), 9)
    return net.to("hpu")(x.to("hpu")) * (1.5 if mark.endswith("too") else 1)
"""


def test_without_ray_the_line_to_run_is_told(net, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(LabError, match=r"pip install gaudi-lab\[ray\]"):
        gaudi_lab.compare(net, method="ray", quiet=True)


def test_each_mode_is_that_of_its_worker(net, monkeypatch):
    pytest.importorskip("ray", reason="Ray is not installed: pip install gaudi-lab[ray]")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    options = {"method": "ray", "rounds": 1, "calls": 5, "settings": ["eager", "lazy + HPU graphs"]}
    inputs = torch.ones(2, 4)
    found = gaudi_lab.compare(net.cpu(), inputs, quiet=True, limit="5 min", **options)
    assert [row.error for row in found.rows] == ["", ""]
    assert [row.ran.mode for row in found.rows] == ["eager", "lazy"]
    assert found.rows[1].captures == 1
    assert not found.rows[1].differs
    assert next(net.parameters()).device.type == inputs.device.type == "cpu"


def test_four_settings_and_a_worker_that_is_killed_in_the_middle(workbench, tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="Ray is not installed: pip install gaudi-lab[ray]")
    monkeypatch.setenv("GAUDI_LAB_EMULATED_DEVICES", "2")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    program = {"__name__": "__main__"}
    exec(PROGRAM, program)
    marks = [str(tmp_path / name) for name in ("well", "dies once", "dies always")]
    found = gaudi_lab.compare(
        program["work"],
        settings=["eager"],
        over={"environment": [{"MARK": mark} for mark in (*marks, marks[0] + " too")]},
        method="ray",
        rounds=1,
        calls=5,
        tolerance=1,
        quiet=True,
    )
    well, once, always, too = found.rows
    assert "its worker was lost twice" in always.error
    for row in (well, once, too):
        assert (row.method, row.error, row.cold, len(row.times)) == ("Ray", "", True, 5)
        assert row.ran.mode == "eager"
    # What came out there is what comes out here.
    here = program["net"](program["x"]).detach()
    assert once.difference.absolute == 0
    assert too.difference.absolute == pytest.approx(float(0.5 * here.abs().max()), rel=1e-5)
    assert "a worker of Ray for each setting" in repr(found)
