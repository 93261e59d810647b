from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
import types
import weakref
from pathlib import Path

import pytest

from gaudi_lab.errors import LabError
from gaudi_lab.handover.check import check
from gaudi_lab.handover.kernel import live_widgets
from gaudi_lab.handover.snapshot import take
from tests.unit.handover.conftest import ROOT, run

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


class Dies:
    def __reduce__(self):
        return os._exit, (7,)


class Kills:
    def __reduce__(self):
        return signal.raise_signal, (signal.SIGKILL,)


class FailsThere:
    def __reduce__(self):
        return eval, ("1 / 0",)


class Bar:
    pass


class Sees:
    def __reduce__(self):
        return eval, ("__import__('os').environ['SEEN_BY_THE_CHILD']",)


def test_a_child_loads_it_and_says_what_came(tmp_path):
    # Names of modules that the check itself uses must not disturb it, nor what is printed while it loads.
    namespace = {"json": 5, "os": 6, "load": 7, "said": print, "kernel": None}
    snapshot = take(namespace, folder=tmp_path, hidden={"Out[5]": [1]})
    checked = check(snapshot.path, ENVIRONMENT)
    assert checked.names == ("json", "os", "load", "said", "kernel")
    assert checked.hidden == ("Out[5]",)
    assert checked.left == checked.differs == checked.not_compared == ()


def test_what_fails_only_there_is_told(tmp_path):
    snapshot = take({"fails": FailsThere(), "fine": 1}, folder=tmp_path)
    assert snapshot.left == ()
    checked = check(snapshot.path, ENVIRONMENT)
    assert checked.names == ("fine",)
    assert checked.left[0].why == "fails could not be loaded: division by zero"


def test_it_is_loaded_under_the_new_environment(tmp_path):
    path = take({"sees": Sees()}, folder=tmp_path).path
    assert check(path, {**ENVIRONMENT, "SEEN_BY_THE_CHILD": "yes"}).names == ("sees",)
    assert "SEEN_BY_THE_CHILD" in check(path, ENVIRONMENT).left[0].why


def test_a_landmark_is_stood_for(tmp_path):
    kernel = object()
    snapshot = take({"held": [kernel]}, landmarks={"kernel": kernel}, folder=tmp_path)
    assert check(snapshot.path, ENVIRONMENT, landmarks=["kernel"]).differs == ()


@pytest.mark.parametrize(("object_", "status"), [(Dies(), "7"), (Kills(), "-9")])
def test_a_child_that_dies_is_an_error(tmp_path, object_, status):
    snapshot = take({"object": object_}, folder=tmp_path)
    with pytest.raises(LabError, match=f"ended with {status}"):
        check(snapshot.path, ENVIRONMENT)


DEPENDS = """
import os
class Plain:
    value = 0
class Auto(Plain): pass
if "SEEN_BY_THE_CHILD" in os.environ: Auto = Plain
"""


def test_a_name_that_means_another_class_there_is_no_difference_and_another_value_is(tmp_path, monkeypatch):
    # As `tqdm.auto.tqdm` does, which is another class where there is no notebook.
    (tmp_path / "depends.py").write_text(DEPENDS)
    monkeypatch.syspath_prepend(tmp_path)
    depends = importlib.import_module("depends")
    namespace = {
        "Auto": depends.Auto,
        "made": depends.Auto(),
        "several": [{depends.Auto}],
        "hashed": Hashed(),
    }
    snapshot = take(namespace, folder=tmp_path)
    checked = check(snapshot.path, {**ENVIRONMENT, "SEEN_BY_THE_CHILD": "yes"})
    assert (checked.differs, checked.not_compared, checked.left) == (("hashed",), (), ())
    monkeypatch.delitem(sys.modules, "depends")


class Hashed:
    def __getstate__(self):
        return os.environ.get("SEEN_BY_THE_CHILD")


def test_a_file_beside_the_notebook_stands_before_none_of_pythons(tmp_path, monkeypatch):
    (tmp_path / "random.py").write_text("raise RuntimeError('not the one of Python')")
    monkeypatch.chdir(tmp_path)
    assert check(take({"a": 1}, folder=tmp_path).path, ENVIRONMENT).names == ("a",)


def test_what_is_no_text_in_the_search_path_is_passed_over_as_python_does(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, tmp_path])
    assert check(take({"a": 1}, folder=tmp_path).path, ENVIRONMENT).names == ("a",)


def test_a_child_that_takes_too_long_is_given_up(tmp_path):
    class Sleeps:
        def __reduce__(self):
            return eval, ("__import__('time').sleep(60)",)

    snapshot = take({"sleeps": Sleeps()}, folder=tmp_path)
    with pytest.raises(LabError, match="was not loaded within 2 s"):
        check(snapshot.path, ENVIRONMENT, timeout=2)


def test_the_child_does_not_touch_the_device_that_this_process_holds(tmp_path):
    answer = run(
        f"""
import json, os
import gaudi_lab, torch
weights = torch.ones(3).to("hpu")
generator = torch.Generator("hpu").manual_seed(3)
from gaudi_lab.handover.snapshot import take
from gaudi_lab.handover.check import check
from gaudi_lab.handover.kernel import live_widgets
snapshot = take({{"weights": weights, "generator": generator}}, folder={str(tmp_path)!r})
checked = check(snapshot.path, os.environ | {{"PT_HPU_LAZY_MODE": "1"}})
# A process that does take the device is refused, so the test could have failed.
import subprocess, sys
other = subprocess.run([sys.executable, "-c", "import gaudi_lab, torch; torch.ones(1).to('hpu')"], capture_output=True)
print("ANSWER", json.dumps([checked.names, checked.left, checked.differs, other.returncode]))
""",
        GAUDI_LAB_EXCLUSIVE="1",
        PT_HPU_LAZY_MODE="0",
    )
    assert answer[:3] == [["weights", "generator"], [], []]
    assert answer[3] != 0


def test_a_path_that_is_none_is_an_error():
    with pytest.raises(LabError, match="is not there"):
        check(Path("/nowhere"), ENVIRONMENT)


@pytest.mark.parametrize("gone", [True, False], ids=["gone", "garbage"])
def test_what_refers_weakly_to_what_nobody_holds_is_as_it_was(gone, tmp_path):
    bar = Bar()
    ring = [bar]
    ring.append(ring)  # as of a progress bar that is over: nobody holds it, and it is collected some time
    box = types.SimpleNamespace(bar=weakref.proxy(bar))
    gc.disable()
    try:
        del bar, ring
        if gone:
            gc.collect()
        snapshot = take({"box": box}, folder=tmp_path)
    finally:
        gc.enable()
    checked = check(snapshot.path, ENVIRONMENT, before=[live_widgets.__name__])
    assert checked.names == ("box",)
    assert checked.left == checked.differs == checked.not_compared == ()
