from __future__ import annotations

import os
import resource
import threading
from pathlib import Path

import numpy as np
import pytest

from gaudi_lab.errors import LabError, LabValueError
from gaudi_lab.handover import folder as folders
from gaudi_lab.handover.objects import blocks
from gaudi_lab.handover.snapshot import load, take


def test_a_group_travels_whole_or_not_at_all(tmp_path):
    shared = [1]
    namespace = {"good": [shared], "bad": {"a": shared, "lock": threading.Lock()}, "other": 5}
    snapshot = take(namespace, folder=tmp_path)
    left = {reason.name: reason for reason in snapshot.left}
    assert left["bad"].why == "bad['lock'] is a lock"
    assert left["good"].because_of == "bad"
    assert "bad['lock'] is a lock" in left["good"].why
    into: dict[str, object] = {}
    assert load(snapshot.path, into).names == ("other",)
    assert into == {"other": 5}


def test_a_dropped_name_is_not_in_it_and_others_of_its_group_are(tmp_path):
    shared = [1]
    namespace = {"good": [shared], "bad": [shared, threading.Lock()]}
    snapshot = take(namespace, drop=["bad"], folder=tmp_path)
    assert (snapshot.names, snapshot.dropped, snapshot.left) == (("good",), ("bad",), ())
    assert snapshot.spare == ()
    assert set(namespace) == {"good", "bad"}


def test_a_dropped_name_that_could_travel_comes_if_it_is_asked_for(tmp_path):
    shared, lock = np.arange(blocks.LARGE), threading.Lock()
    namespace = {"kept": shared, "bad": [shared, lock], "worse": [lock], "view": shared[5:]}
    snapshot = take(namespace, drop=["bad", "worse", "view"], folder=tmp_path)
    assert (snapshot.names, snapshot.spare) == (("kept",), ("view",))
    assert snapshot.bytes < 1.5 * shared.nbytes  # both names, but their memory once
    shared[5] = -1
    into: dict[str, object] = {}
    assert load(snapshot.path, into).names == ("kept",)
    assert load(snapshot.path, into, names=["view"]).names == ("view",)
    assert into["view"][0] == 5
    with pytest.raises(LabValueError, match="bad is not in this snapshot"):
        load(snapshot.path, into, names=["bad"])


def test_a_dropped_name_that_there_is_no_space_for_is_left_out(tmp_path, monkeypatch):
    needed = take({"kept": 1}, folder=tmp_path).bytes
    monkeypatch.setattr(folders, "_free", lambda _: folders._MARGIN + needed + 1000)
    snapshot = take({"kept": 1, "big": bytes(10_000)}, drop=["big"], folder=tmp_path)
    assert (snapshot.names, snapshot.spare) == (("kept",), ())


def test_a_name_to_drop_that_is_not_there_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(LabValueError, match="nothere cannot be dropped"):
        take({"a": 1}, drop=["nothere"], folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_only_what_is_asked_for_is_loaded_with_what_shares_objects_with_it(tmp_path):
    shared = [1]
    snapshot = take({"one": [shared], "two": [shared], "three": 3}, folder=tmp_path)
    into: dict[str, object] = {}
    assert set(load(snapshot.path, into, names=["two"]).names) == {"one", "two"}
    assert "three" not in into
    with pytest.raises(LabValueError, match="four is not in this snapshot, which has one, two, three"):
        load(snapshot.path, into, names=["four"])


def test_a_function_of_the_notebook_reads_the_live_namespace(carry):
    carried = carry(
        "x = 1\ndef f(): return x\nclass C:\n    def m(self): return f() + x",
        "x = 5\n_answer['f'] = [f(), C().m()]",
    )
    assert carried.after["f"] == [5, 10]


def test_functions_share_their_variables(carry):
    source = """
    def counter():
        n = 0
        def up():
            nonlocal n
            n += 1
            return n
        return up, lambda: n
    up, get = counter(); up()
    """
    assert carry(source, "_answer['n'] = [get(), up(), get()]").after["n"] == [1, 2, 2]


def test_a_function_over_globals_of_its_own_keeps_them(carry):
    source = "space = {'a': 1}; exec('def f(): return a', space); f = space['f']"
    assert carry(source, "space['a'] = 9\n_answer['f'] = f()").after["f"] == 9


def test_landmarks_are_found_again_in_the_new_process(tmp_path):
    kernel, other = object(), object()
    snapshot = take({"held": [kernel, 1]}, landmarks={"kernel": kernel}, folder=tmp_path)
    into: dict[str, object] = {}
    load(snapshot.path, into, landmarks={"kernel": other})
    assert into["held"][0] is other
    lost = load(snapshot.path, {})
    assert "this process has no kernel" in lost.left[0].why


def test_a_group_that_cannot_be_loaded_binds_none_of_its_names(tmp_path):
    text = tmp_path / "read.txt"
    text.write_text("one\ntwo\n")
    with text.open() as file:
        file.readline()
        snapshot = take({"file": file, "beside": [file], "other": 1}, folder=tmp_path)
    text.write_text("changed")
    into: dict[str, object] = {}
    loaded = load(snapshot.path, into)
    assert into == {"other": 1}
    assert {reason.name for reason in loaded.left} == {"file", "beside"}
    assert all("has changed since" in reason.why for reason in loaded.left)


def test_what_calls_functions_of_the_notebook_when_it_is_loaded_finds_its_names(carry):
    source = """
    import math as later
    class Restored:
        def __init__(self): self.root = 2.0
        def __setstate__(self, state): self.root = later.sqrt(4)
    class Made:
        def __reduce__(self): return make, (later.e,)
        def __hash__(self): return later.floor(2.5)
        def __eq__(self, other): return type(other) is Made
    def make(e):
        later.sqrt(e)
        return Made()
    restored, made, keys = Restored(), Made(), {Made(): 1}
    del later
    import math as later  # the last name of all
    """
    carried = carry(source, "_answer['found'] = [restored.root, keys[made]]")
    assert (carried.after["left"], carried.after["differs"]) == ({}, [])
    assert carried.after["found"] == [2.0, 1]


def test_a_class_is_not_registered_a_second_time(carry):
    source = """
    registry = []
    class Base:
        def __init_subclass__(cls, key, **more): registry.append((key, cls))
    class First(Base, key=1): pass
    """
    then = """
    class Second(Base, key=2): pass
    _answer['registry'] = [registry[0][1] is First, [key for key, _ in registry]]
    """
    carried = carry(source, then)
    assert carried.after["left"] == {}
    assert carried.after["registry"] == [True, [1, 2]]


def interrupt():
    raise KeyboardInterrupt


def test_an_interrupt_while_it_is_loaded_leaves_the_namespace_as_it_was(tmp_path):
    class Interrupts:
        def __reduce__(self):
            return interrupt, ()

    snapshot = take({"a": 1, "interrupts": Interrupts(), "b": 2}, folder=tmp_path)
    into = {"b": 3}
    with pytest.raises(KeyboardInterrupt):
        load(snapshot.path, into)
    assert into == {"b": 3}


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system has no /proc")
def test_many_large_arrays_take_few_descriptors(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "_STRETCH", 8 * blocks.LARGE)
    arrays = {f"a{number}": np.full(blocks.LARGE, number, np.uint8) for number in range(20)}
    path = take(arrays, folder=tmp_path).path
    before = len(os.listdir("/proc/self/fd"))
    into: dict[str, np.ndarray] = {}
    assert load(path, into).differs == ()
    assert len(os.listdir("/proc/self/fd")) - before == 3
    into["a7"][:] = 99
    assert [int(into[name][-1]) for name in ("a6", "a7", "a8")] == [6, 99, 8]
    assert into["a8"][0] == 8


def test_what_is_loaded_never_writes_into_a_class_that_is_there(tmp_path):
    namespace: dict[str, object] = {"__name__": "__main__"}
    exec("class C:\n    a = 1", namespace)
    snapshot = take(namespace, folder=tmp_path)
    namespace["C"].a = 2
    into: dict[str, object] = {}
    loaded = load(snapshot.path, into)
    assert (into["C"].a, namespace["C"].a) == (1, 2)
    assert loaded.replaced == ()
    assert load(snapshot.path, namespace).replaced == ("C",)


def test_memory_is_written_once_and_comes_back_as_private_memory(tmp_path):
    values = np.arange(blocks.LARGE, dtype=np.float64)
    snapshot = take({"values": values, "view": values[5:], "copy": values.copy()}, folder=tmp_path)
    assert 2 * values.nbytes <= snapshot.bytes < 2 * values.nbytes + 100_000
    first: dict[str, np.ndarray] = {}
    second: dict[str, np.ndarray] = {}
    load(snapshot.path, first)
    first["view"][0] = -1
    assert first["values"][5] == -1
    assert load(snapshot.path, second).differs == ()
    assert second["values"][5] == 5
    assert np.array_equal(second["copy"], values)


def test_a_changed_byte_is_noticed(tmp_path):
    snapshot = take({"values": np.arange(1000), "other": [1]}, folder=tmp_path)
    file = snapshot.path / "memory"
    data = bytearray(file.read_bytes())
    data[100] ^= 1
    file.write_bytes(data)
    assert load(snapshot.path, {}).differs == ("values",)


def test_what_is_loaded_can_be_taken_again(tmp_path):
    values = np.zeros(blocks.LARGE)
    namespace = {"values": values, "view": values[3:]}
    for _ in range(3):
        snapshot = take(namespace, folder=tmp_path)
        assert snapshot.changed == snapshot.left == ()
        into: dict[str, np.ndarray] = {}
        loaded = load(snapshot.path, into)
        assert loaded.differs == loaded.not_compared == ()
        namespace = into
    namespace["view"][0] = 1
    assert namespace["values"][3] == 1


def test_no_room_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "_free", lambda place: 1000)
    with pytest.raises(folders.NoRoom, match="1,000 are free") as refused:
        take({"values": np.zeros(1000)}, folder=tmp_path)
    assert refused.value.needed >= 8000
    assert refused.value.free == 1000
    assert not list(tmp_path.iterdir())


def test_shared_memory_is_taken_where_there_is_room_and_the_temporary_folder_otherwise(tmp_path, monkeypatch):
    shared, temporary = tmp_path / "shm", tmp_path / "tmp"
    shared.mkdir()
    temporary.mkdir()
    monkeypatch.setattr(folders, "SHARED_MEMORY", shared)
    monkeypatch.setattr(folders.tempfile, "gettempdir", lambda: str(temporary))
    room = {shared: 10**9, temporary: 10**9}
    monkeypatch.setattr(folders, "_free", lambda place: room[Path(place)])
    assert take({"a": 1}).path.parent == shared
    room[shared] = 10
    assert take({"a": 1}).path.parent == temporary
    room[temporary] = 5
    with pytest.raises(folders.NoRoom, match=str(shared)):
        take({"a": 1})


def test_a_disk_that_fills_up_in_the_middle_leaves_nothing_behind(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(folders.NoRoom):
            take({"values": np.zeros(100_000), "other": 1}, folder=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())


def test_an_interrupt_leaves_nothing_behind(tmp_path):
    class Interrupts:
        def __reduce_ex__(self, protocol):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        take({"a": Interrupts()}, folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_object_that_fails_the_second_time_is_told(tmp_path):
    class Fickle:
        asked = 0

        def __reduce__(self):
            Fickle.asked += 1
            if Fickle.asked > 1:
                raise ValueError("not again")
            return (list, ())

    snapshot = take({"fickle": Fickle(), "other": 1}, folder=tmp_path)
    assert [(reason.name, "not again" in reason.why) for reason in snapshot.left] == [("fickle", True)]
    assert load(snapshot.path, {}).names == ("other",)


def test_a_group_whose_hash_is_not_the_same_twice_is_not_compared(tmp_path):
    class Restless:
        asked = 0

        def __reduce__(self):
            Restless.asked += 1
            return (list, ([Restless.asked],))

    loaded = load(take({"restless": Restless(), "calm": 1}, folder=tmp_path).path, {})
    assert (loaded.differs, loaded.not_compared) == ((), ("restless",))


def test_no_file_is_opened_for_writing_again(carry, tmp_path):
    target = tmp_path / "closed.txt"
    source = f"with open({str(target)!r}, 'w') as file: file.write('kept')"
    carried = carry(source, "_answer['file'] = [file.closed, file.name, file.mode, repr(file)]")
    assert carried.after["file"][:3] == [True, str(target), "w"]
    assert target.read_text() == "kept"


def test_a_file_that_is_read_goes_on_where_it_was(carry, tmp_path):
    target = tmp_path / "read.txt"
    target.write_text("one\ntwö\nthree\n", encoding="latin-1")
    source = f"""
    text = open({str(target)!r}, encoding='latin-1'); text.readline()
    data = open({str(target)!r}, 'rb'); data.read(2)
    looped = open({str(target)!r}, encoding='latin-1'); next(looped)
    """
    carried = carry(source, "_answer['rest'] = [text.readline(), text.encoding, data.read(2).decode()]")
    assert carried.after["rest"] == ["twö\n", "latin-1", "e\n"]
    assert carried.before["left"]["looped"].startswith("looped is a file whose position is not known")


@pytest.mark.parametrize("spoil", ["others", "link", "being written", "just begun", "manifest", "python"])
def test_a_folder_that_cannot_be_trusted_is_not_loaded(tmp_path, spoil):
    path = take({"a": 1}, folder=tmp_path).path
    assert path.stat().st_mode & 0o777 == 0o700
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in path.iterdir())
    match spoil:
        case "others":
            (path / "objects").chmod(0o622)
            why = "written to by others"
        case "link":
            (path / "objects").rename(path / "real")
            (path / "objects").symlink_to(path / "real")
            why = "is not what a snapshot has there"
        case "being written":
            path = path.rename(path.with_name(path.name + ".part"))
            why = "is still writing it"
        case "just begun":
            manifest = path / "manifest.json"
            manifest.write_text(manifest.read_text().partition("\n")[0] + "\n")
            path = path.rename(path.with_name("gaudi-lab-notebook-x.part"))
            why = "was never finished"
        case "manifest":
            (path / "manifest.json").write_text("{")
            why = "manifest cannot be read"
        case "python":
            manifest = path / "manifest.json"
            manifest.write_text(manifest.read_text().replace('"python": "3', '"python": "2'))
            why = "written by Python 2"
    with pytest.raises(LabError, match=why):
        load(path, {})


def test_another_users_folder_is_not_loaded(tmp_path, monkeypatch):
    path = take({"a": 1}, folder=tmp_path).path
    monkeypatch.setattr(folders.os, "geteuid", lambda: 12345)
    with pytest.raises(LabError, match="belongs to another user"):
        load(path, {})
