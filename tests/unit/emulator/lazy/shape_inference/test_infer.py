"""What an operator will return, before it runs; and what happens when nobody can tell."""

from __future__ import annotations

import pytest
import torch

from gaudi_lab.emulator.device.schema import Alias
from gaudi_lab.emulator.lazy.program import Meta
from gaudi_lab.emulator.lazy.shape_inference import infer

aten = torch.ops.aten


def test_shape_strides_and_dtype_are_told(lazy):
    x = torch.ones(2, 3, dtype=torch.int32).to("hpu")

    assert infer.result(aten.add.Tensor, (x.t(), 1.5), {}) == Meta(
        torch.Size((3, 2)), (1, 3), 0, torch.float32
    )


def test_a_view_keeps_its_offset(lazy):
    x = torch.arange(10.0).to("hpu")[4:]

    assert infer.result(aten.slice.Tensor, (x, 0, 1, 3), {}).offset == 5


def test_an_in_place_operator_returns_its_argument(lazy):
    x = torch.ones(2).to("hpu")

    assert infer.result(aten.add_.Tensor, (x, 1), {}) == Alias(0)
    assert infer.result(aten.add.out, (x, 1), {"out": x}) == Alias("out")


@pytest.mark.parametrize("func", [aten.nonzero.default, aten._unique2.default])
def test_shapes_that_depend_on_values_are_not_recordable(lazy, func):
    with pytest.raises(infer.NotRecordable) as caught:
        infer.result(func, (torch.ones(3).to("hpu"),), {})
    assert infer.refusal(caught.value) is None


def test_an_out_of_another_size_is_not_recordable_however_often_it_is_asked(lazy):
    x = torch.ones(2, 3).to("hpu")
    for _ in range(3):
        with pytest.raises(infer.NotRecordable, match="resizes"):
            infer.result(aten.add.out, (x, 1), {"out": torch.empty(0, device="hpu")})


def test_out_takes_its_new_size(mode):
    for _ in range(2):
        out = torch.empty(0, device="hpu")
        torch.geqrf(torch.eye(3).to("hpu"), out=(out, torch.empty(0, device="hpu")))
        assert out.shape == (3, 3)
        assert out.cpu().shape == (3, 3)


def test_arguments_that_do_not_suit_raise_what_the_host_raises(mode):
    x = torch.ones(2, 3)
    with pytest.raises(RuntimeError) as expected:
        x @ x
    h = x.to("hpu")
    with pytest.raises(RuntimeError) as got:
        h @ h

    assert str(got.value) == str(expected.value)
    assert (h + 1).sum().item() == 12


def test_sparse_results_are_refused_in_words(mode):
    with pytest.raises(NotImplementedError, match="to_dense"):
        torch.eye(3).to("hpu").to_sparse()


def test_what_is_equal_is_inferred_once(lazy, monkeypatch):
    asked = []
    infer_anew = infer._infer
    monkeypatch.setattr(infer, "_infer", lambda *call: asked.append(call) or infer_anew(*call))
    monkeypatch.setattr(infer, "_known", {})
    x, same, other = torch.ones(2, 3).to("hpu"), torch.zeros(2, 3).to("hpu"), torch.ones(3, 2).to("hpu").t()
    asked.clear()

    for given in (x, same):
        assert infer.result(aten.add.Tensor, (given, 1.5), {}).stride == (3, 1)
    assert len(asked) == 1
    assert infer.result(aten.add.Tensor, (other, 1.5), {}).stride == (1, 2)
    for number in (2.5, 2, True):  # a scalar's class decides of the dtype
        infer.result(aten.add.Tensor, (x, number), {})
    assert len(asked) == 5


def test_what_was_distrusted_since_is_not_recorded(lazy, monkeypatch):
    monkeypatch.setattr(infer, "_DISTRUSTED", set())
    x = torch.ones(2).to("hpu")
    infer.result(aten.neg.default, (x,), {})
    infer.distrust(aten.neg.default)
    with pytest.raises(infer.NotRecordable):
        infer.result(aten.neg.default, (x,), {})


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_quantized_tensors_keep_their_dtype_and_value(mode):
    x = torch.arange(6.0)
    for make in (
        lambda x: torch.quantize_per_tensor(x, 0.5, 10, torch.qint8),
        lambda x: torch.quantize_per_tensor_dynamic(x, torch.qint8, False),
    ):
        quantized = make(x.to("hpu") + 0)
        assert quantized.dtype == torch.qint8
        assert torch.equal(quantized.dequantize().cpu(), make(x).dequantize())


def test_what_only_a_fake_kernel_refuses_is_told(lazy):
    # Experts of transformers count their tokens by a histogram of integers, and multiply in groups of float32.
    numbers = torch.tensor([0, 2, 2], dtype=torch.int32).to("hpu")
    rows, experts = torch.ones(4, 8).to("hpu"), torch.ones(3, 8, 4).to("hpu")

    assert infer.result(aten.histc.default, (numbers, 3, 0, 2), {}).dtype == torch.int32
    told = infer.result(aten._grouped_mm.default, (rows, experts, numbers), {})
    made = aten._grouped_mm.default(rows.cpu(), experts.cpu(), numbers.cpu())
    assert told == Meta(made.shape, made.stride(), 0, torch.float32)
