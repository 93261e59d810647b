"""A forward that ends badly under capture leaves the device clean, and its error says so."""

import gc
import sys

import pytest
import torch
from torch import nn

from gaudi_lab import bridge
from gaudi_lab.errors import LabError
from gaudi_lab.instruments.graphs import hpu_graphs
from gaudi_lab.instruments.guard.open_captures import CLOSED, STILL_OPEN

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="errors have no notes: the line is printed"
)


class Ends(nn.Module):
    """Doubles its input, or raises what it is told to."""

    error = None

    def forward(self, x):
        y = x * 2
        if self.error is not None:
            raise self.error
        return y


@pytest.fixture
def ends(workbench):
    bridge.set_lazy(True)
    module = Ends()
    with hpu_graphs(module):
        yield module


def notes(error):
    return getattr(error, "__notes__", [])


@pytest.mark.parametrize("error", [ValueError("the model's own"), KeyboardInterrupt()], ids=type)
def test_an_error_or_an_interrupt(ends, error):
    x = torch.ones(3, device="hpu")
    ends.error = error
    with pytest.raises(type(error)) as caught:  # held, as a notebook holds its last error
        ends(x)
    assert notes(caught.value) == [CLOSED]
    assert not bridge.capturing()
    ends.error = None
    assert [ends(x).tolist() for _ in range(2)] == [[2.0] * 3] * 2


def test_an_error_put_into_plain_words(ends):
    # The frames that hold the graph belong to the bridge's error, which the plain one was raised from.
    ends.error = RuntimeError("cpu fallback is not supported during hpu graph capturing")
    with pytest.raises(LabError) as caught:
        ends(torch.ones(3, device="hpu"))
    assert notes(caught.value) == [CLOSED]
    assert not bridge.capturing()


def test_an_error_in_a_replay_has_no_note(ends, monkeypatch):
    x = torch.ones(3, device="hpu")
    ends(x)
    monkeypatch.setattr("habana_frameworks.torch.hpu.HPUGraph.replay", _fails)
    with pytest.raises(OSError, match="replay") as caught:
        ends(x)
    assert notes(caught.value) == []


def _fails(*_):
    raise OSError("replay")


def test_a_capture_of_the_users_own_is_left_to_them(ends):
    from habana_frameworks.torch.hpu import HPUGraph

    mine = HPUGraph()
    mine.capture_begin()
    with pytest.raises(RuntimeError, match="Capture already in progress") as caught:
        ends(torch.ones(3, device="hpu"))
    assert notes(caught.value) == []
    assert bridge.capturing()
    mine.reset()


def test_a_graph_that_somebody_holds(ends, monkeypatch):
    from habana_frameworks.torch.hpu import HPUGraph

    held = []
    begin = HPUGraph.capture_begin

    def keep(self, dry_run=False):
        held.append(self)
        begin(self, dry_run)

    monkeypatch.setattr(HPUGraph, "capture_begin", keep)
    ends.error = ValueError("the model's own")
    with pytest.raises(ValueError, match="own") as caught:
        ends(torch.ones(3, device="hpu"))
    assert notes(caught.value) == [STILL_OPEN]
    held.clear()
    gc.collect()
    assert not bridge.capturing()
