"""Recording: what is a new program, what order it runs in, and what it returns."""

from __future__ import annotations

import math
import sys
import threading
import time

import pytest
import torch

from gaudi_lab.emulator.lazy.compile import CompiledProgram
from gaudi_lab.emulator.lazy.program import Meta, Step
from gaudi_lab.emulator.lazy.record import tape, trie
from gaudi_lab.emulator.lazy.shape_inference import infer


def flush() -> None:
    tape.flush()


@pytest.fixture
def compiled(lazy, monkeypatch):
    """The graphs compiled during the test."""
    graphs = []
    compile_ = CompiledProgram.compile

    def count(self, first):
        graphs.append(self)
        return compile_(self, first)

    monkeypatch.setattr(CompiledProgram, "compile", count)
    trie.clear()
    tape.restart()
    return graphs


def on_device(*values, dtype=torch.float32):
    return torch.tensor(values, dtype=dtype).to("hpu")


def test_nothing_runs_before_it_is_read(lazy):
    y = on_device(1.0, 2.0) * 3

    assert y._cell.host is None
    assert y.tolist() == [3.0, 6.0]
    assert y._cell.host is not None


def test_a_program_seen_before_is_not_compiled_again(compiled):
    for value in (1.0, 2.0, 3.0):
        x = on_device(value)
        assert ((x + 1) * 2).tolist() == [(value + 1) * 2]

    assert len(compiled) == 1


def test_what_pytorch_loads_for_inferring_is_no_time_of_a_compile(compiled, monkeypatch):
    loads = iter([0.3])
    mode = infer.fake_mode()

    def load_first():
        time.sleep(next(loads, 0.0))
        return mode

    monkeypatch.setattr(infer, "fake_mode", load_first)
    (on_device(1.0) + 1).item()
    assert next(loads, None) is None
    assert 0 < compiled[0].inferring < 0.3


def test_another_shape_is_another_program(compiled):
    for size in (2, 3, 2, 3):
        assert (torch.ones(size).to("hpu") + 1).sum().item() == 2 * size

    assert len(compiled) == 2


@pytest.mark.parametrize(
    "scalars",
    [(1, 1.0, True), (0.0, -0.0), (math.nan, 1.0), (complex(0, 0), complex(0, -0.0), complex(-0.0, 0))],
)
def test_scalars_that_compare_equal_are_different_steps(lazy, scalars):
    for _ in range(2):
        for scalar in scalars:
            dtype = torch.complex64 if isinstance(scalar, complex) else None
            got = torch.full((2,), scalar, dtype=dtype, device="hpu").cpu()
            expected = torch.full((2,), scalar, dtype=dtype)
            assert got.dtype == expected.dtype
            view = torch.view_as_real if expected.is_complex() else (lambda x: x)
            assert torch.equal(torch.signbit(view(got)), torch.signbit(view(expected)))
            assert torch.equal(torch.isnan(view(got)), torch.isnan(view(expected)))


def test_nan_finds_itself_again(compiled):
    for _ in range(3):
        assert math.isnan((on_device(1.0) * math.nan).item())

    assert len(compiled) == 1


def test_the_default_dtype_belongs_to_the_program(lazy):
    x = torch.arange(3, device="hpu")
    flush()
    dtypes = []
    try:
        for dtype in (torch.float32, torch.float64, torch.float32, torch.float64):
            torch.set_default_dtype(dtype)
            root, made = x.sqrt(), torch.zeros(2, device="hpu")
            dtypes += [root.dtype, made.dtype, root.cpu().dtype]
    finally:
        torch.set_default_dtype(torch.float32)

    assert dtypes == ([torch.float32] * 3 + [torch.float64] * 3) * 2


def test_a_program_runs_under_the_default_dtype_it_was_recorded_with(lazy):
    x = torch.arange(3, device="hpu")
    root = x.sqrt()
    try:
        torch.set_default_dtype(torch.float64)
        assert root.cpu().dtype == torch.float32
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_what_is_alive_decides_what_a_graph_returns(compiled):
    x = on_device(1.0)
    kept, dropped = x + 1, x * 2
    last = kept + dropped
    del dropped
    flush()

    (graph,) = compiled
    assert len(graph.wanted) == 2
    assert (kept.item(), last.item()) == (2.0, 4.0)


def test_another_set_of_living_results_is_another_graph(compiled):
    def run(keep):
        x = on_device(1.0)
        a = x + 1
        b = a * 2
        if not keep:
            del a
        flush()
        return b.item()

    assert [run(True), run(False), run(True), run(False)] == [4.0] * 4
    assert len(compiled) == 2


def test_writes_and_reads_keep_program_order(mode):
    x = on_device(1.0, 2.0)
    before = x + 0
    x.mul_(10)
    between = x + 0
    x.copy_(torch.tensor([7.0, 8.0]))
    after = x + 0

    assert before.tolist() == [1.0, 2.0]
    assert between.tolist() == [10.0, 20.0]
    assert after.tolist() == [7.0, 8.0]


def test_a_view_written_in_a_later_step_writes_its_base(mode):
    base = torch.zeros(2, 3).to("hpu")
    row, column = base[0], base[:, 1]
    flush()
    row.add_(1)
    flush()
    column.add_(10)
    flush()

    assert base.tolist() == [[1.0, 11.0, 1.0], [0.0, 10.0, 0.0]]
    assert row.tolist() == [1.0, 11.0, 1.0]


def test_a_base_written_is_seen_through_an_older_view(mode):
    base = torch.zeros(4).to("hpu")
    view = base[1:3]
    doubled = view * 2
    base.add_(1)
    flush()
    base.add_(1)

    assert (view.tolist(), doubled.tolist()) == ([2.0, 2.0], [0.0, 0.0])


def test_two_inputs_that_share_memory_still_do_in_the_graph(mode):
    for _ in range(2):
        base = torch.zeros(4).to("hpu")
        a, b = base[:3], base[1:]
        flush()
        a.add_(1)
        b.mul_(5)
        assert base.tolist() == [1.0, 5.0, 5.0, 0.0]


def test_a_host_scalar_enters_with_the_value_it_had(mode):
    scale = torch.tensor(2.0)
    x = on_device(1.0)
    first = x * scale
    scale.fill_(5.0)

    assert (first.item(), (x * scale).item()) == (2.0, 5.0)


def test_a_failing_graph_poisons_only_its_own_tensors(lazy):
    safe = on_device(1.0, 2.0)
    done = safe + 1
    flush()
    bad = safe[on_device(9, dtype=torch.int64)]
    sibling = safe * 3
    with pytest.raises(IndexError, match="out of bounds"):
        flush()

    for lost in (bad, sibling):
        with pytest.raises(RuntimeError, match="never computed"):
            lost.cpu()
    assert (safe.tolist(), done.tolist(), (safe * 4).tolist()) == ([1.0, 2.0], [2.0, 3.0], [4.0, 8.0])


def test_what_an_operator_on_the_host_was_given_does_not_enter_the_next_program(compiled):
    for number in range(1, 4):
        for _ in range(number):
            torch.nonzero(on_device(1.0, 0.0, 2.0))
        assert (on_device(1.0) + 1).tolist() == [2.0]
        assert not tape.recording.inputs

    assert len(compiled) == 1


def test_an_interrupt_on_the_way_in_leaves_the_tensor_unknown(lazy, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    x = on_device(1.0, 2.0)
    with monkeypatch.context() as patch:
        patch.setattr(type(tape.recording), "_enter", interrupt)
        with pytest.raises(KeyboardInterrupt):
            x + 1
    assert (x + 1).tolist() == [2.0, 3.0]


def test_the_trie_is_emptied_when_it_is_full(lazy, monkeypatch):
    monkeypatch.setattr(trie, "capacity", 20)
    for size in range(1, 40):
        assert (torch.ones(size).to("hpu") + 1).sum().item() == 2 * size
        assert trie.size < 60
    trie.clear()  # else the next tests' programs are told to have been forgotten
    tape.restart()


def test_threads_that_record_at_once_get_their_own_results(lazy, monkeypatch):
    monkeypatch.setattr(tape, "limit", 7)  # so that one thread runs what the other is waiting for
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    found = {}

    def compute(number):
        x = on_device(float(number))
        for _ in range(20):
            x = x + 1
            x = x * 1
        found[number] = x.item()

    threads = [threading.Thread(target=compute, args=(number,)) for number in range(8)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert found == {number: number + 20.0 for number in range(8)}


@pytest.mark.parametrize(
    "laid",
    [
        torch.empty(3, 4), torch.empty(()), torch.empty(0, 3), torch.empty(1, 4, 1), torch.empty(4, 3).t(),
        torch.empty(1, 4).as_strided((1, 4), (7, 1)), torch.empty(9)[1:], torch.empty(3, 1).expand(3, 4),
    ],
)  # fmt: skip
def test_a_tensor_is_plain_if_pytorch_lays_out_a_new_one_so(laid):
    meta = Meta(laid.shape, laid.stride(), laid.storage_offset(), laid.dtype)
    new = torch.empty(laid.shape)

    assert meta.is_plain == ((new.stride(), 0) == (laid.stride(), laid.storage_offset()))


def test_what_is_recorded_has_the_strides_that_the_host_gives_it(lazy):
    x = torch.rand(1, 4, 1, 3)
    for change in (
        lambda y: y + 1,
        lambda y: y.transpose(0, 2),
        lambda y: y.permute(3, 0, 1, 2),
        lambda y: y[:, 1:],
    ):
        there, here = change(x.to("hpu")), change(x)

        assert (there.stride(), there.storage_offset()) == (here.stride(), here.storage_offset())


def test_a_node_finds_each_of_the_nodes_that_follow_it(lazy):
    trie.clear()
    root = trie.root(torch.float32)
    before = trie.size
    grown = [root.grow((number, None), Step(None, (), {}, None, 0)) for number in range(3)]

    assert [root.find((number, None)) for number in range(3)] == grown
    assert root.find((3, None)) is None
    assert grown[0].find((0, None)) is None
    assert trie.size == before + 3


def test_programs_that_end_at_different_nodes_do_not_share_what_is_compiled(compiled):
    for _ in range(2):
        x = on_device(1.0)
        y = x + 1
        assert y.tolist() == [2.0]
        assert ((on_device(1.0) + 1) * 3).tolist() == [6.0]

    assert len(compiled) == 2
