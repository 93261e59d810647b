"""Each fault in an operator is found by the check that names it, and where it can be met in use, it raises there."""

from __future__ import annotations

import pytest
import torch
from operator_cells import GELU

from gaudi_lab import bridge
from gaudi_lab.custom_ops.promises import BrokenPromise
from gaudi_lab.errors import LabError

ALL = [
    "it runs",
    "schema",
    "autograd registration",
    "shape function",
    "traced with any size",
    "float64 reference",
    "the same again",
    "strided inputs",
    "empty inputs",
    "bfloat16",
    "gradient",
    "NaN-filled padding",
    "out of bounds",
    "kernels of the device",
    "eager",
    "lazy",
    "compile",
    "HPU graph",
]


def crosses(operator):
    return [tick.name for tick in operator.check().ticks if tick.passed is False]


def test_a_right_operator_has_every_tick(cell):
    checks = cell(GELU).check()
    assert [tick.name for tick in checks.ticks] == ALL
    assert all(tick.passed for tick in checks.ticks), repr(checks)
    assert checks.require() is checks


def test_what_could_not_be_checked_is_no_tick_and_says_why(cell):
    checks = cell("def NAME(x: Tensor) -> Tensor: return x + 1").check()
    untold = {tick.name: tick.detail for tick in checks.ticks if tick.passed is None}
    assert untold.keys() == {"float64 reference", "gradient"}
    assert all(untold.values())
    assert checks.passed


LIE = "def NAME(x: Tensor) -> Tensor: return x + 1\n\ndef shape(x): return x.new_empty(3)"
WRITE = "def NAME(x: Tensor) -> Tensor:\n    x.add_(1)\n    return x * 2"
ALIAS = "def NAME(x: Tensor) -> Tensor:\n    return x.view(-1)"


@pytest.mark.parametrize(
    ("source", "tick", "part"),
    [(LIE, "shape function", "line 3"), (WRITE, "schema", "input x"), (ALIAS, "schema", "input x")],
    ids=["lie", "write", "alias"],
)
class TestBrokenPromises:
    def test_found_by_its_tick(self, cell, source, tick, part):
        checks = cell(source).check()
        assert checks.of(tick).passed is False
        assert part in checks.of(tick).detail

    @pytest.mark.parametrize("lazy", [False, True], ids=["eager", "lazy"])
    def test_raises_on_the_device(self, cell, source, tick, part, lazy):
        operator = cell(source)
        with bridge.in_mode(lazy=lazy), pytest.raises(BrokenPromise, match=f"{operator.__name__}.*{part}"):
            operator(torch.ones(2, 2, device="hpu")).cpu()

    def test_raises_in_compile_mode(self, cell, source, tick, part):
        operator = cell(source)
        compiled = torch.compile(lambda x: operator(x) * 1, backend=bridge.COMPILE_BACKEND)
        with pytest.raises(BrokenPromise, match=f"{operator.__name__}.*{part}"):
            compiled(torch.ones(2, 2, device="hpu"))

    def test_raises_under_a_graph(self, cell, source, tick, part):
        operator = cell(source)

        class Calls(torch.nn.Module):
            def forward(self, x):
                return operator(x)

        with bridge.in_mode(lazy=True), torch.no_grad():
            wrapped = bridge.wrap_in_hpu_graph(Calls().eval())
            with pytest.raises(BrokenPromise, match=f"{operator.__name__}.*{part}"):
                [wrapped(torch.ones(2, 2, device="hpu")).cpu() for _ in range(3)]


def test_a_gradient_that_is_wrong(cell):
    operator = cell(GELU.replace("* ctx.scale, None", "* ctx.scale * 1.01, None"))
    assert crosses(operator) == ["gradient"]


def test_a_gradient_that_is_wrong_without_a_reference(cell):
    source = GELU.replace("* ctx.scale, None", "* ctx.scale * 1.01, None").replace("reference", "other")
    assert crosses(cell(source)) == ["gradient"]


def test_wrong_for_strided_inputs(cell):
    operator = cell(
        """
        def NAME(x: Tensor) -> Tensor:
            return x.as_strided(x.shape, (x.shape[-1], 1), x.storage_offset()) * 2

        def shape(x): return torch.empty(x.shape, dtype=x.dtype, device=x.device)
        """
    )
    assert "strided inputs" in crosses(operator)


def test_it_reads_memory_that_it_has_not_written(cell):
    operator = cell(
        """
        def NAME(x: Tensor) -> Tensor:
            out = torch.empty_like(x)
            out[:-1] = x[:-1]
            return out

        def shape(x): return torch.empty_like(x)
        """
    )
    assert operator.check().of("NaN-filled padding").passed is False


def test_it_reads_padding(cell):
    operator = cell(
        """
        def NAME(x: Tensor) -> Tensor:
            beyond = x.as_strided((1,), (1,), x.storage_offset() + x.numel() - 1 + x.storage_offset() // 64)
            return x + beyond * 0

        def shape(x): return torch.empty_like(x)
        """
    )
    assert operator.check().of("NaN-filled padding").passed is False


def test_it_writes_out_of_bounds(cell):
    operator = cell(
        """
        def NAME(x: Tensor) -> Tensor:
            out = torch.empty_like(x).copy_(x)
            if out.storage_offset():
                out.as_strided((1,), (1,), out.storage_offset() - 1).zero_()
            return out

        def shape(x): return torch.empty_like(x)
        """
    )
    assert crosses(operator) == ["out of bounds"]


def test_it_is_not_the_same_twice(cell):
    operator = cell(
        """
        count = []

        def NAME(x: Tensor) -> Tensor:
            count.append(1)
            return x + len(count)

        def shape(x): return torch.empty_like(x)
        """
    )
    assert operator.check().of("the same again").passed is False


def test_random_numbers_from_a_seed_are_no_fault(cell):
    checks = cell("def NAME(x: Tensor) -> Tensor: return x + torch.rand_like(x)").check()
    assert checks.of("the same again").passed
    assert checks.of("eager").passed is None


def test_wrong_in_bfloat16(cell):
    operator = cell(
        """
        def NAME(x: Tensor) -> Tensor:
            return (x + 1000) - 1000
        """
    )
    assert crosses(operator) == ["bfloat16"]


def test_wrong_for_empty_inputs(cell):
    operator = cell("def NAME(x: Tensor) -> Tensor: return x - x.amax(0)")
    assert crosses(operator) == ["empty inputs"]


def test_an_operator_that_the_device_lacks(cell):
    operator = cell("def NAME(x: Tensor) -> Tensor:\n    y = x + 0\n    return torch.special.bessel_j0(y)")
    checks = operator.check()
    assert "bessel_j0" in checks.of("kernels of the device").detail
    assert "line 3" in checks.of("kernels of the device").detail


def test_another_result_than_the_reference(cell):
    body = "gelu(x) * scale"
    operator = cell(GELU.replace(body, f"{body} * 1.001", 1))
    # It is within the rounding of bfloat16, and the gradient is that of the reference.
    assert crosses(operator) == ["float64 reference"]


def test_a_body_that_raises_says_where(cell):
    checks = cell("def NAME(x: Tensor) -> Tensor:\n    y = x + 1\n    return y @ y\n").check()
    assert checks.of("it runs").passed is False
    assert "line 3" in checks.of("it runs").detail
    with pytest.raises(LabError, match="it runs"):
        checks.require()


@pytest.mark.parametrize(
    ("source", "namespace", "tick", "says"),
    [
        (
            "def NAME(x: Tensor) -> Tensor: return x + w",
            {"w": torch.ones(6)},
            "shape function",
            "make it an argument",
        ),
        (
            "def NAME(x: Tensor) -> Tensor: return x * (2 if x.sum().item() > 0 else 3)",
            {},
            "shape function",
            "write a function shape",
        ),
        ("def NAME(x: Tensor) -> Tensor: return x.cpu().add(1).to(x.device)", {}, "HPU graph", "one by one"),
        ("def NAME(x: Tensor) -> Tensor: return x[x > 0]", {}, "HPU graph", "during hpu graph capturing"),
    ],
    ids=["captured tensor", "depends on values", "goes through the host", "size depends on values"],
)
def test_other_faults_in_plain_words(cell, source, namespace, tick, says):
    checks = cell(source, namespace).check()
    assert checks.of(tick).passed is False
    assert says in checks.of(tick).detail


INDICES = """
def NAME(x: Tensor, i: Tensor) -> Tensor:
    return x[i]

def example():
    return torch.randn(5, 3), torch.tensor([0, 4, 2])
"""


@pytest.mark.parametrize(
    "source",
    [
        "def NAME(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]: return x @ y.T, (x > 0).sum(0)",
        "def NAME(xs: list[Tensor], n: int, flag: bool = True) -> list[Tensor]: return [x * n for x in xs]",
        "def NAME(x: Tensor, b: Tensor | None = None) -> Tensor: return x * 2 if b is None else x * b",
        "def NAME(x: Tensor) -> Tensor: return x.sum()",
        "def NAME(x: Tensor) -> Tensor: return torch.ones(3, device=x.device) * x.sum()",
        INDICES,
    ],
    ids=["two results", "list", "optional", "number", "a factory", "indices"],
)
def test_right_operators_of_many_kinds_have_no_cross(cell, source):
    assert crosses(cell(source)) == []


def test_checks_that_fail_in_a_capture_leave_none_open(cell):
    wrong = cell("def NAME(x: Tensor) -> Tensor: return x[x > 0]")
    right = cell(GELU)
    for lazy in (False, True):
        with bridge.in_mode(lazy=lazy):
            assert wrong.check().of("HPU graph").passed is False
            assert not bridge.capturing()
            assert right.check().passed
    with bridge.in_mode(lazy=True):
        assert not bridge.capturing()
        assert (torch.ones(2, device="hpu") + 1).tolist() == [2, 2]


def test_what_no_example_can_be_made_for(cell):
    with pytest.raises(LabError, match=r"mode of type str.*def example"):
        cell("def NAME(x: Tensor, mode: str) -> Tensor: return x * 1").check()
