"""What comparing may take is read in words, watched, and kept to."""

from __future__ import annotations

import os

import pytest
import torch

import gaudi_lab
from gaudi_lab.comparison.bounds import Bounds, Stopped, caches, size_of
from gaudi_lab.comparison.limits import Limits, parse_limits, say_bytes, say_seconds
from gaudi_lab.comparison.methods import fresh
from gaudi_lab.errors import LabError, LabValueError


@pytest.mark.parametrize(
    ("asked", "limits"),
    [
        (None, Limits()),
        (90, Limits(turn=90)),
        ("90", Limits(turn=90)),
        ("20 min", Limits(seconds=1200)),
        ("1.5 hours and 500 MB", Limits(seconds=5400, disk=500_000_000)),
        ("4GiB, 30s per turn", Limits(turn=30, disk=4 << 30)),
        ("2 minutes/turn", Limits(turn=120)),
        ("2 h, 1 TiB, 90 s a turn", Limits(90, 7200, 1 << 40)),
    ],
)
def test_limits_are_read_in_words(asked, limits):
    assert parse_limits(asked) == limits


@pytest.mark.parametrize(
    "asked", ["", "soon", "0 min", -1, "20 lightyears", "4 GiB a turn", "5 min, 6 s", "1 min 2"]
)
def test_what_is_no_limit_says_what_is(asked):
    with pytest.raises(LabValueError, match="limit=") as refused:
        parse_limits(asked)
    assert refused.value.for_notebook().endswith('Run: %gaudi_compare --limit "20 min, 4 GiB" model(**batch)')


def test_limits_are_said_as_they_were_asked_for():
    assert [*map(say_seconds, (1200, 7200, 90, 1.5))] == ["20 min", "2 h", "90 s", "1.5 s"]
    assert [*map(say_bytes, (4 << 30, 500_000_000, 12))] == ["4 GiB", "477 MiB", "12 B"]


def test_a_turn_that_would_pass_the_time_is_not_begun():
    now = [0.0]
    bounds = Bounds(Limits(turn=60, seconds=100), clock=lambda: now[0])
    assert bounds.of_turn() == 60
    bounds.begin("a")
    now[0] = 45
    bounds.begin("b")
    now[0] = 60
    assert bounds.of_turn() == 40
    with pytest.raises(Stopped, match="the next turn takes more than what is left of 100 s"):
        bounds.begin("a")
    bounds.begin("b")
    now[0] = 100
    with pytest.raises(Stopped, match="100 s are over"):
        bounds.check()


def test_the_disk_is_counted_as_it_grows_and_what_was_there_is_not(tmp_path):
    now = [0.0]
    old, new = tmp_path / "old", tmp_path / "new"
    (old / "inner").mkdir(parents=True)
    (old / "inner" / "before").write_bytes(bytes(1000))
    bounds = Bounds(Limits(disk=150), [old, old / "inner", tmp_path / "later"], clock=lambda: now[0])
    (old / "inner" / "more").write_bytes(bytes(100))
    new.write_bytes(bytes(40))
    bounds.count(new, new=True)
    bounds.check()
    assert bounds.most == 140
    new.write_bytes(bytes(60))
    bounds.check()  # it looks once a second
    now[0] = 2
    with pytest.raises(Stopped, match="160 B on disk are more than the 150 B"):
        bounds.check()
    assert size_of(tmp_path / "nowhere") == 0


def test_folders_of_compiled_code_are_known_by_their_variables(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    monkeypatch.setenv("PT_HPU_RECIPE_CACHE_CONFIG", f"{tmp_path}/recipes,false,1024")
    found = caches(
        [{"PT_HPU_RECIPE_CACHE_CONFIG": f"{tmp_path}/others,true,0"}, {"PT_HPU_RECIPE_CACHE_CONFIG": None}]
    )
    assert [path.name for path in found] == ["inductor", "recipes", "others"]


def test_a_user_without_a_name_has_a_folder_of_compiled_code_too(monkeypatch):
    def unknown():
        raise KeyError("getpwuid(): uid not found: 1234")

    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    monkeypatch.setattr("getpass.getuser", unknown)
    assert caches()[0].name == f"torchinductor_uid_{os.getuid()}"


def test_time_that_is_over_keeps_what_is_there_and_resume_goes_on(net, workbench):
    import time

    x = torch.ones(2, 4).to("hpu")
    gaudi_lab.attach(net, "net")

    def work(pause):
        time.sleep(pause)
        return net(x)

    options = {"settings": ["eager"], "over": {"pause": [0.05, 3]}, "rounds": 1, "calls": 5, "quiet": True}
    found = gaudi_lab.compare(work, limit="2 s", **options)
    short, long = found.rows
    assert not long.error
    assert not long.times
    assert found.interrupted
    assert "stopped by its limit: 2 s are over; gaudi_lab.compare(..., resume=)" in str(found)
    assert "wins" not in str(found)
    whole = gaudi_lab.compare(
        work, limit="10 min", resume=found, **{**options, "over": {"pause": [0.05, 0.04]}}
    )
    assert not whole.stopped
    assert whole.rows[0].difference == short.difference
    assert [len(row.times) for row in whole.rows] == [5, 5]


def test_a_process_is_ended_when_the_disk_is_full_and_what_travels_is_told_before(net, tmp_path, monkeypatch):
    monkeypatch.setenv("GAUDI_LAB_RELAUNCH", "always")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    x = torch.ones(2, 4).to("hpu")
    gaudi_lab.attach(net, "net")
    cache = str(tmp_path)

    def work(grow):
        import pathlib
        import time

        if grow:
            pathlib.Path(cache, "compiled").write_bytes(bytes(4 << 20))
            time.sleep(60)
        return net(x)

    options = {"settings": ["lazy"], "over": {"grow": [0, 1]}, "rounds": 1, "calls": 5, "quiet": True}
    with pytest.raises(
        LabError, match=r"takes .* on disk on its way into other processes, and the limit is 1 KiB"
    ):
        gaudi_lab.compare(work, limit="1 KiB", path=tmp_path / "never", **options)
    assert not (tmp_path / "never").exists()
    found = gaudi_lab.compare(work, limit="3 MiB, 5 min", **options)
    assert len(found.rows[0].times) == 5
    assert not found.rows[1].error
    assert "on disk are more than the 3 MiB of the limit" in found.stopped
    assert found.disk > 4 << 20
    assert not list(tmp_path.glob("gaudi-lab-compare-*"))


def test_the_disk_of_a_cluster_is_not_limited(net):
    with pytest.raises(LabError, match="not known here"):
        gaudi_lab.compare(net, method="ray", limit="4 GiB", quiet=True)


def test_a_process_that_waits_is_ended_at_its_limit(tmp_path):
    import subprocess
    import sys

    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], stdin=subprocess.PIPE)
    (tmp_path / "started").touch()
    assert fresh._wait(child, tmp_path / "started", 0.2, Bounds()) is None
    assert child.returncode is not None
