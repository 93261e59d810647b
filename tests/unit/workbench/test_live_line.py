"""The line that is shown while something compiles."""

import io
import threading
import time

import pytest
import torch

import gaudi_lab
from gaudi_lab.emulator.lazy.compile import CompiledProgram
from gaudi_lab.measure.causes.cause import Cause, Place
from gaudi_lab.measure.causes.watching import watching
from gaudi_lab.workbench.lab import Lab
from gaudi_lab.workbench.live_line import LiveCompile, LiveLine, TerminalLine

SHAPE = Cause("shape", "input_ids 4×7 → 4×8", model="bert", call=Place("", 1, cell=5))


class Notes:
    """Keeps what is shown."""

    def __init__(self):
        self.shown = []

    def show(self, live):
        self.shown.append(live)


@pytest.fixture
def notes():
    return Notes()


@pytest.fixture
def line(notes):
    made = LiveLine(after=0.1, every=0.02, where=lambda context: notes)
    yield made
    made.close()


def test_the_line_says_what_for_how_long_and_from_which_cell():
    live = LiveCompile("recipe", SHAPE, 3.21, cell=7)
    assert str(live) == "compiling a graph for bert: input_ids 4×7 → 4×8 · 3.2 s · cell 5"
    assert "compiling a graph for bert" in live._repr_html_()
    called = LiveCompile("Dynamo", Cause("first", "first call", call=Place("a.py", 3)), 2.0, emulated=True)
    assert str(called) == "compiling with torch.compile: first call · 2.0 s · a.py:3 · emulated on CPU"
    over = LiveCompile("HPU graph", SHAPE, 3.0, over=True, shown=2, all_seconds=5.0)
    assert str(over).startswith("captured an HPU graph for bert: ")
    assert str(over).endswith("cell 5 · the last of 2 that took longer than a second, 5.0 s in all")


def test_a_short_compile_shows_nothing(line, notes):
    for _ in range(3):
        line.began("recipe", SHAPE)
        time.sleep(0.02)
        line.ended("recipe")
    time.sleep(0.2)
    assert notes.shown == []


def test_a_long_one_is_shown_while_it_runs_and_once_more_when_it_is_over(line, notes):
    line.began("recipe", SHAPE)
    time.sleep(0.3)
    running = list(notes.shown)
    line.ended("recipe")
    assert len(running) > 1
    assert not any(live.over for live in running)
    assert notes.shown[-1].over
    assert notes.shown[-1].seconds >= 0.3
    time.sleep(0.1)
    assert notes.shown[-1].over


def test_what_lies_within_another_does_not_count_by_itself(line, notes):
    line.began("HPU graph", SHAPE)
    line.began("recipe", Cause("first", "first call"))
    time.sleep(0.2)
    line.ended("recipe")
    assert {live.layer for live in notes.shown} == {"HPU graph"}
    assert not notes.shown[-1].over
    line.ended("HPU graph")
    assert notes.shown[-1].over


def test_an_end_without_a_beginning_is_nothing(line, notes):
    line.ended("recipe")
    assert notes.shown == []


def test_what_cannot_be_shown_breaks_nothing(monkeypatch):
    def fails(context):
        raise OSError("gone")

    made = LiveLine(after=0.0, every=0.01, where=fails)
    made.began("recipe", SHAPE)
    time.sleep(0.05)
    made.ended("recipe")
    made.close()


def test_a_terminal_gets_one_line_that_goes():
    stream = io.StringIO()
    shown = TerminalLine(stream)
    shown.show(LiveCompile("recipe", SHAPE, 1.0))
    shown.show(LiveCompile("recipe", SHAPE, 2.0, over=True))
    text = stream.getvalue()
    assert "\n" not in text
    assert text.startswith("\rcompiling a graph for bert")
    assert text.rpartition("\r")[2] == ""
    assert set(text.split("\r")[2]) == {" "}


def beginnings(monkeypatch, net):
    told = []

    class Observer:
        def began(self, layer, cause):
            told.append(("began", layer, cause.text))

        def ended(self, layer):
            told.append(("ended", layer))

    observer = Observer()
    monkeypatch.setattr(watching, "observers", [observer])
    gaudi_lab.attach(net, "net")
    return told


def test_each_compile_is_told_as_it_begins_and_ends(net, monkeypatch):
    told = beginnings(monkeypatch, net)
    gaudi_lab.mode("lazy")
    net(torch.ones(5, 4).to("hpu")).cpu()
    assert [x[:2] for x in told] == [("began", "recipe"), ("ended", "recipe")]
    del told[:]
    net(torch.ones(5, 4).to("hpu")).cpu()
    assert told == []
    gaudi_lab.hpu_graphs(net)
    net(torch.ones(6, 4).to("hpu"))
    assert told[0][:2] == ("began", "HPU graph")
    assert told[-1] == ("ended", "HPU graph") or told[-1] == ("ended", "recipe")
    assert sum(x[0] == "began" for x in told) == sum(x[0] == "ended" for x in told)


def test_torch_compile_is_told_too(net, monkeypatch):
    told = beginnings(monkeypatch, net)
    torch._dynamo.reset()
    gaudi_lab.mode("compile")
    net(torch.ones(5, 4).to("hpu"))
    net(torch.ones(6, 4).to("hpu"))
    began = [x for x in told if x[0] == "began"]
    assert [x[1] for x in began] == ["Dynamo", "Dynamo"]
    assert "5×4 → 6×4" in began[1][2]
    assert [x for x in told if x[0] == "ended"] == [("ended", "Dynamo")] * 2


def test_a_compile_that_fails_is_over_too(net, monkeypatch):
    told = beginnings(monkeypatch, net)
    gaudi_lab.mode("lazy")

    def fails(self, *args):
        raise RuntimeError("no")

    with monkeypatch.context() as patch:
        patch.setattr(CompiledProgram, "_first", fails)
        with pytest.raises(RuntimeError):
            net(torch.ones(9, 4).to("hpu")).cpu()
    assert told[0][:2] == ("began", "recipe")
    assert ("ended", "recipe") in told


def test_an_observer_that_raises_is_told_no_more_and_stops_nothing(net, monkeypatch):
    class Broken:
        def began(self, layer, cause):
            raise ValueError("broken")

    monkeypatch.setattr(watching, "observers", [Broken()])
    gaudi_lab.attach(net, "net")
    gaudi_lab.mode("lazy")
    with pytest.warns(UserWarning, match="broken"):
        net(torch.ones(211, 4).to("hpu")).cpu()  # of no other test: what is compiled stays in the process


def test_the_thread_ends_with_the_last_model(net, workbench):
    gaudi_lab.attach(net, "net")
    assert any(isinstance(x, LiveLine) for x in watching.observers)
    gaudi_lab.mode("lazy")
    net(torch.ones(13, 4).to("hpu")).cpu()
    gaudi_lab.detach("net")
    assert not any(isinstance(x, LiveLine) for x in watching.observers)
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline and any(
        thread.name == "gaudi-lab-live-line" for thread in threading.enumerate()
    ):
        time.sleep(0.01)
    assert not any(thread.name == "gaudi-lab-live-line" for thread in threading.enumerate())


def lines():
    return [x for x in watching.observers if isinstance(x, LiveLine)]


def test_it_can_be_switched_off_and_on(net, workbench):
    gaudi_lab.live_line(False)
    gaudi_lab.attach(net, "net")
    assert lines() == []
    gaudi_lab.live_line()
    gaudi_lab.live_line(True)
    assert len(lines()) == 1
    gaudi_lab.live_line(False)
    assert lines() == []
    gaudi_lab.live_line()
    gaudi_lab.detach("net")
    assert lines() == []


def test_what_is_shown_when_it_is_switched_off_says_what_it_took(notes):
    made = LiveLine(after=0.05, every=0.02, where=lambda context: notes)
    made.began("recipe", SHAPE)
    time.sleep(0.2)
    made.close()
    assert notes.shown[-1].over
    number = len(notes.shown)
    made.began("recipe", SHAPE)
    time.sleep(0.2)
    assert len(notes.shown) == number


@pytest.mark.parametrize(("value", "shown"), [("0", False), ("1", True)])
def test_the_environment_switches_it_off(net, monkeypatch, value, shown):
    monkeypatch.setenv("GAUDI_LAB_LIVE_LINE", value)
    fresh = Lab()
    fresh.attach(net, "net")
    assert bool(lines()) is shown
    fresh.close()
    assert lines() == []
