from __future__ import annotations

import subprocess
import sys

import pytest

from gaudi_lab.errors import LabError, LabValueError
from gaudi_lab.handover import folder as folders
from gaudi_lab.handover import kept as shelf
from gaudi_lab.handover.folder import PREFIX
from gaudi_lab.handover.notice import left_behind
from gaudi_lab.handover.snapshot import take


def of_a_process_that_is_gone(path):
    """Give a snapshot the name that it would have if another process had made it, which has ended."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return path.rename(path.with_name(f"{PREFIX}{done.pid}-x"))


def test_the_last_snapshot_of_this_process_is_kept_until_the_next(tmp_path):
    first, second = (take({"a": number}, folder=tmp_path).path for number in range(2))
    assert {each.path for each in shelf.kept(tmp_path)} == {first, second}
    assert shelf.clean_up(keep=second, parent=tmp_path) == (first,)
    assert [each.path for each in shelf.kept(tmp_path)] == [second]


def test_a_snapshot_that_nobody_came_for_is_an_orphan_and_stays(tmp_path):
    path = of_a_process_that_is_gone(take({"a": 1}, folder=tmp_path).path)
    assert [each.path for each in shelf.orphans(tmp_path)] == [path]
    assert shelf.clean_up(parent=tmp_path) == ()
    shelf.arrived(path)
    assert shelf.orphans(tmp_path) == ()
    assert shelf.clean_up(parent=tmp_path) == (path,)


def test_what_was_never_finished_is_no_snapshot_and_goes_with_its_process(tmp_path):
    path = of_a_process_that_is_gone(take({"a": 1}, folder=tmp_path).path)
    half = path.rename(f"{path}.part")
    manifest = half / "manifest.json"
    manifest.write_text(manifest.read_text().partition("\n")[0] + "\n")  # what is to come, and nothing of it
    assert shelf.kept(tmp_path) == ()
    assert shelf.clean_up(parent=tmp_path) == (half,)


KILLED = """
import os, signal, sys
from gaudi_lab.handover.snapshot import take
class Kills:
    asked = 0
    def __reduce__(self):
        Kills.asked += 1
        if Kills.asked == 2: os.kill(os.getpid(), signal.SIGKILL)  # it has been traced, and is being written
        return int, ()
names = {"first": [1], "second": (words := ["x"]), "alias": words, "kills": Kills(), "last": 3}
take(names, folder=sys.argv[1])
"""


def test_of_a_process_that_was_killed_while_it_wrote_what_was_whole_comes_back(tmp_path, monkeypatch):
    assert subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False).returncode == -9
    assert shelf.kept(tmp_path) == ()
    (half,) = shelf.orphans(tmp_path)
    assert not half.finished
    monkeypatch.setattr(folders, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(folders.tempfile, "gettempdir", lambda: str(tmp_path))
    assert left_behind() == (
        "A notebook's process was killed while it was being saved. To have what was saved by then: "
        f"gaudi_lab.restore({str(half.path)!r})"
    )
    assert shelf.clean_up(parent=tmp_path) == ()
    into: dict[str, object] = {}
    came = shelf.restore(into=into, parent=tmp_path)
    assert into == {"first": [1], "second": ["x"], "alias": ["x"]}
    assert into["alias"] is into["second"]
    assert [left.name for left in came.left] == ["kills", "last"]
    assert came.left[0].why == f"kills had no time to be written, as process {half.process} was killed"
    assert shelf.restore(names=["last"], into=into, parent=tmp_path).names == ()


def test_the_line_that_would_bind_anew_asks_for_the_same_names(tmp_path):
    path = take({"a": 1, "b": 2}, folder=tmp_path).path
    with pytest.raises(LabValueError) as refused:
        shelf.restore(path, ["a"], into={"a": 5})
    assert refused.value.python == f"gaudi_lab.restore({str(path)!r}, names=['a'], replace=True)"


def test_restoring_takes_the_last_of_this_process_and_binds_nothing_anew_by_itself(tmp_path):
    take({"a": 1, "b": 2}, folder=tmp_path)
    into = {"a": 5}
    with pytest.raises(LabValueError, match="a would be bound anew"):
        shelf.restore(into=into, parent=tmp_path)
    assert into == {"a": 5}
    assert shelf.restore(names=["b"], into=into, parent=tmp_path).names == ("b",)
    shelf.restore(into=into, replace=True, parent=tmp_path)
    assert into == {"a": 1, "b": 2}


def test_without_a_snapshot_there_is_nothing_to_restore(tmp_path):
    with pytest.raises(LabError, match="There is no snapshot of this process"):
        shelf.restore(into={}, parent=tmp_path)
