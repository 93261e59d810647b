"""Dtypes that the host's kernels do not know: computed in a wider one, in every way that an operator runs."""

from __future__ import annotations

import pytest
import torch

from gaudi_lab.emulator.device import wider

E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2
aten = torch.ops.aten


def same(a, b):
    assert a.dtype == b.dtype
    torch.testing.assert_close(a.cpu().float(), b.float())


@pytest.mark.parametrize("dtype", [E4M3, E5M2])
@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * x,
        lambda x: x + 1,
        lambda x: x.clamp(-1, 2),
        lambda x: torch.maximum(x, x.flip(0)),
        lambda x: x.reciprocal(),
        lambda x: x.amax(0),
        lambda x: torch.nn.functional.pad(x, (1, 2), mode="reflect"),
        lambda x: x.index_fill(0, torch.tensor([1], device=x.device), 3.0),
    ],
    ids=["mul", "add", "clamp", "maximum", "reciprocal", "amax", "pad", "index_fill"],
)
def test_arithmetic_of_eight_bits(mode, dtype, function):
    x = torch.linspace(0.5, 4.0, 20).reshape(4, 5).to(dtype)
    found = function(x.to("hpu"))
    found = function(x.to("hpu"))  # a program that is known runs compiled
    same(found, function(x.float()).to(dtype))


def test_writes_reach_what_was_written_into(mode):
    x = torch.tensor([1.0, 2.0, 4.0]).to(E4M3).to("hpu")
    part = x[1:]
    assert part.mul_(2) is part
    out = torch.empty(3, dtype=E4M3, device="hpu")
    torch.add(x, x, out=out)
    same(x, torch.tensor([1.0, 4.0, 8.0]).to(E4M3))
    same(out, torch.tensor([2.0, 8.0, 16.0]).to(E4M3))


def test_a_result_of_another_dtype_stays_that(mode):
    x = torch.tensor([1.0, 2.0, 4.0]).to(E5M2).to("hpu")
    assert (x > 1).dtype is torch.bool
    assert x.sum(dtype=torch.float32).dtype is torch.float32
    values, indices = x.max(0)
    assert (values.dtype, indices.dtype, indices.item()) == (E5M2, torch.int64, 2)


def test_half_precision_and_integers(mode):
    a, b = torch.randn(3, 4, dtype=torch.bfloat16), torch.randn(5, 4, dtype=torch.bfloat16)
    same(torch.cdist(a.to("hpu"), b.to("hpu")), torch.cdist(a.float(), b.float()).bfloat16())
    x, y = torch.tensor([0, 10, 20]), torch.tensor([10, 20, 30])
    assert torch.lerp(x.int().to("hpu"), y.int().to("hpu"), 0.5).tolist() == [5, 15, 25]


def test_compiled_graphs(stock_compile):
    def f(x):
        y = x * x
        y.add_(1)
        return torch.reciprocal(y)

    x = torch.tensor([1.0, 2.0]).to(E5M2)
    compiled = torch.compile(f, backend="hpu_backend", dynamic=False)
    for _ in range(2):
        same(
            compiled(x.to("hpu")),
            (1 / (x.float() * x.float()).to(E5M2).float().add(1).to(E5M2).float()).to(E5M2),
        )


def test_a_compiled_graph_counts_whole_numbers_and_logs_no_error(stock_compile, caplog):
    experts = torch.tensor([0, 2, 2, 1, 2], dtype=torch.int32).to("hpu")

    def count(x):
        return torch.histc(x, bins=3, min=0, max=2)

    assert torch.compile(count, backend="hpu_backend", dynamic=False)(experts).tolist() == [1, 1, 3]
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_another_error_is_raised_as_it_is():
    with pytest.raises(RuntimeError, match="size of tensor"):
        wider.call(aten.add.Tensor, torch.ones(2), torch.ones(3))
    with pytest.raises(RuntimeError, match="not implemented for 'Complex"):
        wider.call(aten.remainder.Tensor, *[torch.ones(2, dtype=torch.complex64)] * 2)


def test_what_a_kernel_says_it_does_not_know():
    assert wider.missing(NotImplementedError("\"add_stub\" not implemented for 'Float8_e5m2'")) is E5M2
    assert wider.missing(RuntimeError("Unsupported datatype for add_relu:c10::Half")) is torch.float16
    assert wider.missing(RuntimeError("out of memory")) is None
    assert wider.missing(ValueError("not implemented for 'Half'")) is None


def test_what_is_written_may_be_read_too(mode):
    x = torch.tensor([1.0, 2.0, 3.0], device="hpu")
    for expected in ([1.0, 1.0, 3.0], [1.0, 1.0, 3.0]):
        x.index_copy_(0, torch.tensor([1], device="hpu"), x[0:1])
        assert x.tolist() == expected
