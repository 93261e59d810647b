"""What counts as agreeing, and that a recorded program's compiler is believed only then."""

from __future__ import annotations

import math

import pytest
import torch

from gaudi_lab import bridge
from gaudi_lab.emulator.device.schema import updated_statistics
from gaudi_lab.emulator.lazy import agreement, inductor, replay
from gaudi_lab.emulator.lazy.agreement import difference_of
from gaudi_lab.emulator.lazy.record import tape, trie

F8 = torch.float8_e4m3fn


def agree(found, expected, **options):
    return difference_of([torch.as_tensor(found)], [torch.as_tensor(expected)], **options) is None


@pytest.mark.parametrize(
    ("dtype", "close", "far"),
    [
        (torch.float64, 1e-10, 1e-8),
        (torch.float32, 5e-5, 5e-4),
        (torch.float16, 2**-8, 2**-6),
        (torch.bfloat16, 2**-5, 2**-3),
        (F8, 2**-3, 2**-2),
        (torch.complex64, 5e-5, 5e-4),
    ],
    ids=str,
)
def test_numbers_may_differ_by_rounding_relative_to_the_largest(dtype, close, far):
    expected = torch.tensor([1.0, -0.001]).to(dtype)
    assert agree((torch.tensor([1.0, -0.001]) + torch.tensor([close, 0.0])).to(dtype), expected)
    assert not agree((torch.tensor([1.0, -0.001], dtype=torch.float64) + far).to(dtype), expected)


def test_the_parts_of_a_complex_number_are_compared_each():
    assert not agree([1.0 + 1j], [1.0 - 1j])
    assert agree([1.0 + 1j], [1.0 + 1.00001j])


@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.bool], ids=str)
def test_integers_and_booleans_are_equal(dtype):
    assert agree(torch.tensor([1, 0], dtype=dtype), torch.tensor([1, 0], dtype=dtype))
    assert not agree(torch.tensor([1, 1], dtype=dtype), torch.tensor([1, 0], dtype=dtype))


def test_nan_and_infinities_equal_themselves_only():
    values = [math.nan, math.inf, -math.inf, 1.0]
    assert agree(values, values)
    for position in range(4):
        for other in {0.0, *values} - {values[position]}:
            changed = [*values]
            changed[position] = other
            assert not agree(changed, values), (changed, values)


def test_the_lowest_number_hides_nothing_beside_it():
    lowest = torch.finfo(torch.float32).min
    assert agree([lowest, 1.0], [lowest, 1.0])
    assert not agree([lowest, 1.1], [lowest, 1.0])
    assert not agree([-math.inf, 1.0], [lowest, 1.0])


def test_shape_and_dtype_are_the_same_and_strides_where_they_matter():
    ones = torch.ones(2, 3)
    assert not agree(ones, torch.ones(3, 2))
    assert not agree(ones, ones.double())
    assert agree(ones, torch.ones(3, 2).t())
    assert not agree(ones, torch.ones(3, 2).t(), layout=True)
    assert agree(torch.ones(1, 3), torch.ones(3, 1).t(), layout=True)
    assert agree(torch.ones(0, 3), torch.ones(3, 0).t(), layout=True)


def test_a_coarser_dtype_inside_allows_its_rounding():
    assert not agree([1.0, 2.01], [1.0, 2.0])
    assert agree([1.0, 2.01], [1.0, 2.0], computed_in={torch.bfloat16, torch.int64})


def test_rounding_beside_the_other_results_agrees_with_other_rounding():
    large, noise = torch.ones(3), torch.tensor([3e-9, -1e-9])
    assert difference_of([large, -noise], [large, noise]) is None
    assert difference_of([large, torch.zeros(2)], [large, noise]) is not None
    assert difference_of([large, -noise * 1e6], [large, noise * 1e6]) is not None


def test_no_gradient_is_a_gradient_of_zeros():
    assert difference_of([None], [torch.zeros(2)]) is None
    assert difference_of([torch.ones(2)], [None]) is not None
    assert difference_of([None, 3], [None, 3]) is None
    assert difference_of([3], [4]) is not None
    assert difference_of([], [None]) is not None


def test_batch_normalisation_in_training_writes_where_its_schema_does_not_say_so():
    aten = torch.ops.aten
    arguments = ("x", None, None, "mean", None)
    assert updated_statistics(aten.native_batch_norm.default, (*arguments, True, 0.1, 1e-5), {}) == ["mean"]
    assert not updated_statistics(aten.native_batch_norm.default, (*arguments, False, 0.1, 1e-5), {})
    assert not updated_statistics(
        aten._native_batch_norm_legit_no_training.default, (*arguments, 0.1, 1e-5), {}
    )


class Compiler:
    """Stands in for Inductor: straight replay whose results go through `change`."""

    def __init__(self, change):
        self.change = change
        self.runs = 0

    def __call__(self, steps, wanted, hosts):
        source = replay.source_of(steps, wanted)
        graph = source.bind(source.compile())

        def run(*inputs):
            self.runs += 1
            return [self.change(x) for x in graph(*inputs)]

        return run


@pytest.fixture
def put_in(lazy, monkeypatch):
    """Put a compiler of recorded programs in Inductor's place."""
    monkeypatch.setenv("GAUDI_LAB_COMPILER", "inductor")
    agreement.disagreements.clear()
    trie.clear()
    tape.restart()

    def put(change):
        compiler = Compiler(change)
        monkeypatch.setattr(inductor, "compile_steps", compiler)
        return compiler

    yield put
    agreement.disagreements.clear()
    trie.clear()
    tape.restart()


def test_a_recorded_program_that_agrees_is_believed_and_compared_once(put_in, recwarn):
    compiler = put_in(lambda x: x * (1 + 1e-6))
    for runs in (1, 2, 3):
        x = torch.tensor([math.nan, 1.0, 3.0]).to("hpu")
        assert (x * 2).cpu()[1].item() == pytest.approx(2.0)
        assert compiler.runs == runs
    assert not agreement.disagreements
    assert not [w for w in recwarn if "step-by-step" in str(w.message)]


def test_a_recorded_program_that_differs_runs_by_replay_and_says_so(put_in):
    compiler = put_in(lambda x: x * 0)
    before = bridge.counters()
    with pytest.warns(
        UserWarning, match=r"graph_\d+ was compiled by Inductor, whose results differ .*1 of its"
    ):
        first = (torch.ones(3).to("hpu") * 2).cpu()
    assert first.tolist() == [2.0] * 3
    assert (torch.ones(3).to("hpu") * 2).cpu().tolist() == [2.0] * 3
    assert compiler.runs == 1
    (told,) = bridge.counters().since(before).miscompiled
    assert "it runs step by step" in told


def test_what_draws_or_writes_is_not_given_to_a_compiler(put_in):
    compiler = put_in(lambda x: x * 0)
    norm = torch.nn.BatchNorm1d(2).to("hpu")
    torch.nn.functional.dropout(torch.ones(3).to("hpu")).cpu()
    torch.ones(3).to("hpu").add_(1).cpu()
    norm.num_batches_tracked = None
    norm(torch.tensor([[1.0, 2.0], [3.0, 4.0]]).to("hpu")).cpu()
    torch.testing.assert_close(norm.running_mean.cpu(), torch.tensor([0.2, 0.3]))
    assert compiler.runs == 0


def test_memory_that_nobody_has_written_is_not_compared(put_in):
    compiler = put_in(lambda x: x.clone())
    empty, twice = torch.empty(1000, device="hpu"), torch.ones(3).to("hpu") * 2
    twice.cpu()
    assert compiler.runs == 1
    assert not agreement.disagreements
    del empty
