"""`torch.Stream` and `torch.Event` on the device do what PyTorch documents of them."""

from __future__ import annotations

import pytest
import torch


def test_an_event_is_recorded_and_waited_for(mode):
    stream = torch.Stream(device="hpu")
    event = torch.Event(device="hpu")
    assert (event.device, event.event_id, event.query()) == (torch.device("hpu"), 0, True)
    event.record(stream)
    event.synchronize()
    assert event.device == torch.device("hpu:0")
    other = stream.record_event()
    assert 0 < event.event_id < other.event_id
    stream.wait_event(other)


def test_recording_an_event_and_waiting_for_a_stream_run_what_is_recorded(lazy):
    for wait in (torch.Event().record, torch.Stream("hpu").synchronize):
        y = torch.ones(2, device="hpu") + 1
        assert y._cell.host is None
        wait()
        assert y._cell.host is not None


def test_the_time_between_two_events(mode):
    first, second = torch.Event("hpu", enable_timing=True), torch.Event("hpu", enable_timing=True)
    with pytest.raises(ValueError, match="must be recorded"):
        first.elapsed_time(second)
    first.record()
    torch.ones(100, 100, device="hpu") @ torch.ones(100, 100, device="hpu")
    second.record()
    assert first.elapsed_time(second) > 0
    with pytest.raises(ValueError, match="enable_timing=True"):
        first.elapsed_time(torch.Event("hpu"))


def test_streams_are_told_apart_and_used(mode):
    one, other = torch.Stream("hpu"), torch.Stream(0)
    assert one != other
    assert repr(one).startswith("torch.Stream device_type=hpu, device_index=0, stream_id=")
    before = torch.accelerator.current_stream()
    with one:
        with other as inner:
            assert torch.accelerator.current_stream() == inner == other
        assert torch.accelerator.current_stream() == one
    assert torch.accelerator.current_stream() == before
    same = torch.Stream(stream_id=one.stream_id, device_index=one.device_index, device_type=one.device_type)
    assert same == one
    torch.accelerator.set_stream(same)
    assert torch.accelerator.current_stream() == one
    torch.accelerator.set_stream(before)
    with pytest.raises(RuntimeError, match="hpu:1 does not exist"):
        torch.Stream("hpu:1")


def test_pytorchs_own_are_known_by_the_same_names(mode):
    assert isinstance(torch.Stream("hpu"), torch.Stream)
    assert isinstance(torch.Event("hpu"), torch.Event)
    assert not isinstance(torch.Stream("hpu"), torch.Event)

    class OfAnotherDevice(torch._C.Stream):
        pass

    assert issubclass(OfAnotherDevice, torch.Stream)
    assert not issubclass(OfAnotherDevice, torch.Event)
    on_the_host = torch.Event("cpu")
    assert isinstance(on_the_host, torch.Event)
    assert on_the_host.device.type == "cpu"
