"""A capture is told what ran."""

from __future__ import annotations

import weakref

import pytest
import torch

from gaudi_lab.emulator.lazy.capture import Capture
from gaudi_lab.emulator.lazy.record import tape

pytestmark = pytest.mark.usefixtures("lazy")


@pytest.fixture
def capture():
    made = Capture()
    yield made
    made.abandon()


def test_it_knows_what_every_program_read_and_filled(capture):
    x = torch.ones(2).to("hpu")
    capture.begin()
    y = x + 1
    tape.flush()
    z = y * 2
    capture.end()
    first, second = capture.segments
    assert (first.inputs, first.outputs) == ([x._cell], [weakref.ref(y._cell)])
    assert (second.inputs, second.outputs) == ([y._cell], [weakref.ref(z._cell)])
    x.fill_(4)
    capture.replay()
    assert (y.tolist(), z.tolist()) == ([5.0, 5.0], [10.0, 10.0])


def test_a_dry_run_computes_nothing_before_the_replay(capture):
    x = torch.ones(2).to("hpu")
    capture.begin(dry_run=True)
    x.add_(1)
    y = x * 3
    capture.end()
    assert x.tolist() == [1.0, 1.0]
    capture.replay()
    assert y.tolist() == [6.0, 6.0]


def test_a_program_that_failed_is_part_of_it_and_fails_again(capture):
    x = torch.ones(2).to("hpu")
    at = torch.tensor([9]).to("hpu")
    capture.begin()
    bad = x[at]
    with pytest.raises(IndexError):
        tape.flush()
    capture.end()
    assert len(capture.segments) == 1
    with pytest.raises(IndexError):
        capture.replay()
    del bad


def test_nothing_is_captured_twice_at_once(capture):
    capture.begin()
    with pytest.raises(RuntimeError, match="already in progress"):
        Capture().begin()
    with pytest.raises(RuntimeError, match="Capture in progress"):
        capture.replay()
    capture.end()
    assert not capture.capturing


def test_an_expanded_result_that_someone_keeps_is_refreshed(capture):
    """As autograd keeps the mask of an attention, when a model is called without `no_grad`."""
    x = torch.ones(1, 2).to("hpu")
    capture.begin()
    wide = (x + 1).expand(3, 2)
    capture.end()
    x.fill_(4)
    capture.replay()
    assert wide.tolist() == [[5.0, 5.0]] * 3


def test_memory_made_by_a_dry_run_in_inference_mode_takes_the_results_of_a_replay(capture):
    with torch.inference_mode():
        x = torch.ones(2).to("hpu")
        capture.begin(dry_run=True)
        y = x * 3
        capture.end()
        capture.replay()
    assert y.tolist() == [3.0, 3.0]


def test_it_warns_once_when_the_host_reads_what_a_dry_run_has_not_computed(capture):
    x = torch.ones(2).to("hpu")
    capture.begin(dry_run=True)
    assert x.tolist() == [1.0, 1.0]  # was there before
    y = x * 3
    with pytest.warns(UserWarning, match="captured in a dry run, which computes nothing"):
        (y.sum() > 1).item()
    (y.sum() > 2).item()  # warnings are errors here: no second one
    capture.end()


def test_a_capture_that_computes_reads_without_a_warning(capture):
    x = torch.ones(2).to("hpu")
    capture.begin()
    assert (x * 3).tolist() == [3.0, 3.0]
    capture.end()


def test_it_warns_in_inference_mode_too(capture):
    with torch.inference_mode():
        x = torch.ones(2).to("hpu")
        capture.begin(dry_run=True)
        with pytest.warns(UserWarning, match="captured in a dry run"):
            bool((x > 0).all())
        capture.end()


def write_into_a_row(x):
    y = x * 2
    row = y[0]
    tape.flush()
    row.add_(100)
    return y + 0


def write_into_what_only_views_are_left_of(x):
    first, *_, last = (x + 1).view(-1).split(1)
    both = first.as_strided((2,), (3,))
    tape.flush()
    both.mul_(10)
    return torch.cat([first, last])


def write_into_a_view_of_the_input(x):
    column = x[:, 1]
    tape.flush()
    column.add_(100)
    return x + 0


def write_through_another_dtype(x):
    bits = (x * 2).view(torch.int32)
    seen = bits.view(torch.float32)
    tape.flush()
    bits[0].zero_()
    return seen + 0


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize(
    "work",
    [
        write_into_a_row,
        write_into_what_only_views_are_left_of,
        write_into_a_view_of_the_input,
        write_through_another_dtype,
    ],
)
def test_what_shares_memory_shares_it_across_a_step_in_a_capture(work, dry_run, capture):
    x = torch.ones(2, 2).to("hpu")
    capture.begin(dry_run=dry_run)
    out = work(x)
    capture.end()
    for value in (1.0, 3.0):
        x.fill_(value)
        capture.replay()
        assert torch.equal(out.cpu(), work(torch.full((2, 2), value)))


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_view_of_what_is_read_instead_is_written_through_in_a_later_program(dry_run, capture):
    x, other = torch.ones(2, 2).to("hpu"), torch.full((2, 2), 5.0).to("hpu")
    capture.begin(dry_run=dry_run)
    out = write_into_a_view_of_the_input(x)
    capture.end()
    capture.replay({x._cell: other._cell})
    assert out.tolist() == other.tolist() == [[5.0, 105.0], [5.0, 105.0]]


def test_views_of_what_a_dry_run_has_not_computed_are_one_memory(capture):
    x = torch.ones(2, 3).to("hpu")
    capture.begin(dry_run=True)
    y = x * 2
    row, seen = y[1], x[1]
    capture.end()
    assert row.data_ptr() == y.data_ptr() + 3 * 4
    assert seen.data_ptr() == x.data_ptr() + 3 * 4
    assert y.isnan().all()
