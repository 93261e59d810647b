"""To define an operator again replaces it; what is wrong leaves the old one; it comes back from a pickle."""

from __future__ import annotations

import functools
import gc
import pickle
import weakref

import pytest
import torch
from operator_cells import GELU

import gaudi_lab
from gaudi_lab import bridge
from gaudi_lab.custom_ops import define
from gaudi_lab.errors import LabError, LabValueError
from tests.unit.forked import run_forked


def registered(name):
    found = torch._C._dispatch_get_all_op_names()
    return [x for x in found if x.partition("::")[2].split("__")[0] == name]


def test_the_same_cell_ten_times_leaves_one_operator_and_flat_memory(cell):
    operator = cell(GELU)
    x = torch.randn(3)
    operator(x)
    overload, bodies = operator.overload, []
    counts = []
    for _ in range(10):
        assert cell(GELU, name=operator.__name__) is operator
        operator(x)
        bodies.append(weakref.ref(operator.part("body")))
        gc.collect()
        counts.append(len(gc.get_objects()))
    assert registered(operator.__name__) == [f"gaudi_lab_user::{operator.__name__}"]
    assert operator.overload is overload
    assert operator.calls == 11
    assert sum(body() is not None for body in bodies) == 1  # the others are gone
    assert counts[-1] - counts[2] < 50


def test_bodies_that_were_replaced_are_let_go(cell):
    operator = cell("def NAME(x: Tensor) -> Tensor: return x + 1")
    x, bodies = torch.ones(2), []
    for number in range(10):
        cell(f"def NAME(x: Tensor) -> Tensor: return x + {number}", name=operator.__name__)
        assert operator(x)[0] == 1 + number
        bodies.append(weakref.ref(operator.part("body")))
    gc.collect()
    assert sum(body() is not None for body in bodies) == 1


def test_another_signature(cell):
    operator = cell("def NAME(x: Tensor) -> Tensor: return x + 1")
    assert operator(torch.ones(1)).tolist() == [2]
    cell("def NAME(x: Tensor, y: Tensor) -> Tensor: return x * y", name=operator.__name__)
    assert operator(torch.full((1,), 3.0), torch.full((1,), 4.0)).tolist() == [12]
    assert getattr(torch.ops.gaudi_lab_user, operator.__name__)(torch.ones(1), torch.ones(1)).tolist() == [1]


@pytest.mark.parametrize(
    "source",
    [
        "def NAME(x) -> Tensor: return x",
        "def other(x: Tensor) -> Tensor: return x",
        "def NAME(x: Tensor) -> Tensor: return x\n1 / 0",
        "def NAME(x: Tensor) -> Tensor return x",
        "def NAME(x: Tensor) -> Tensor: return x\ndef setup_context(ctx, inputs, output): pass",
        "def NAME(x: Whatever) -> Tensor: return x",
    ],
)
def test_what_is_wrong_leaves_the_old_one(cell, source):
    operator = cell("def NAME(x: Tensor) -> Tensor: return x + 1")
    before = operator.definition, operator.overload
    with pytest.raises((LabError, SyntaxError, ZeroDivisionError, NameError)):
        cell(source, name=operator.__name__)
    assert (operator.definition, operator.overload) == before
    assert operator(torch.ones(1)).tolist() == [2]


def test_a_first_cell_that_is_wrong_leaves_nothing(cell, new_name):
    name = new_name()
    with pytest.raises(LabValueError, match="needs types"):
        cell("def NAME(x): return x", name=name)
    with pytest.raises(LabValueError, match="There is no operator"):
        define.find(name)


def test_compiled_functions_take_the_new_body(cell):
    operator = cell("def NAME(x: Tensor) -> Tensor: return x + 1")
    by_object = torch.compile(lambda x: operator(x) * 1, backend=bridge.COMPILE_BACKEND)
    x = torch.ones(2, device="hpu")
    assert by_object(x).tolist() == [2, 2]
    cell("def NAME(x: Tensor) -> Tensor: return x + 2", name=operator.__name__)
    assert by_object(x).tolist() == [3, 3]


def test_lazy_programs_take_the_new_body(cell):
    operator = cell("def NAME(x: Tensor) -> Tensor: return x + 1")
    with bridge.in_mode(lazy=True):
        x = torch.ones(2, device="hpu")
        for _ in range(2):
            assert operator(x).tolist() == [2, 2]
        cell("def NAME(x: Tensor) -> Tensor: return (x + 2)[:1].clone()", name=operator.__name__)
        assert operator(x).tolist() == [3]


def test_a_graph_of_the_old_body_is_not_replayed(cell):
    operator = cell("def NAME(x: Tensor) -> Tensor: return x + 1")

    class Calls(torch.nn.Module):
        def forward(self, x):
            return operator(x)

    with bridge.in_mode(lazy=True), torch.no_grad():
        wrapped = bridge.wrap_in_hpu_graph(Calls().eval())
        x = torch.ones(2, device="hpu")
        for _ in range(3):
            assert wrapped(x).tolist() == [2, 2]
        cell("def NAME(x: Tensor) -> Tensor: return x + 2", name=operator.__name__)
        with pytest.raises(
            LabError, match=f"{operator.__name__} was defined anew.*Capture or compile it again"
        ):
            wrapped(x).tolist()
        wrapped.clear_cache()
        for _ in range(3):
            assert wrapped(x).tolist() == [3, 3]


def test_names_of_the_notebook_are_those_of_when_the_cell_ran(cell):
    names = {"scale": 2.0, "unused": object()}
    operator = cell("def NAME(x: Tensor) -> Tensor: return x * scale", names)
    names["scale"] = 3.0
    assert operator(torch.ones(1)).tolist() == [2]
    assert operator.definition.names.keys() == {"scale"}
    cell("def NAME(x: Tensor) -> Tensor: return x * scale", names, name=operator.__name__)
    assert operator(torch.ones(1)).tolist() == [3]


def test_another_process_gets_it_back_from_a_pickle(cell, tmp_path):
    import math

    operator = cell("def NAME(x: Tensor) -> Tensor: return x * math.pi * scale", {"math": math, "scale": 2.0})
    saved = tmp_path / "operator"
    saved.write_bytes(pickle.dumps({"operator": operator}))
    code = (
        "import pickle, sys, torch, gaudi_lab\n"
        f"operator = pickle.load(open({str(saved)!r}, 'rb'))['operator']\n"
        f"assert torch.ops.gaudi_lab_user.{operator.__name__} is not None\n"
        "print(operator(torch.ones(1, device='hpu')).item())"
    )
    out = run_forked(code)
    assert not out.returncode, out.stderr
    assert float(out.stdout) == pytest.approx(2 * math.pi)


def test_an_operator_of_functions(new_name):
    scale = 3.0

    @gaudi_lab.custom_op(name=new_name(), reference=lambda x: 3.0 * x)
    def times(x: torch.Tensor) -> torch.Tensor:
        return x * scale

    assert times(torch.ones(1)).tolist() == [3]
    assert times.definition.names["scale"] == 3.0
    assert times.check(torch.randn(5)).of("float64 reference").passed
    assert pickle.loads(pickle.dumps(times)) is times


def twice(function):
    @functools.wraps(function)
    def wrapper(*args):
        return 2 * function(*args)

    return wrapper


def test_a_decorator_below_is_a_part_of_it(new_name):
    @gaudi_lab.custom_op(name=new_name(), reference=twice(lambda x: 3.0 * x))
    @twice
    def by_call(x: torch.Tensor) -> torch.Tensor:
        return x * 3

    @twice
    def reference(x):
        return 3.0 * x

    @gaudi_lab.custom_op(name=new_name(), reference=reference)
    @twice
    def by_name(x: torch.Tensor) -> torch.Tensor:
        return x * 3

    assert by_name(torch.ones(1)).tolist() == [6]
    again = by_name.definition.make()
    assert again["body"](torch.ones(1)).tolist() == again["reference"](torch.ones(1)).tolist() == [6]
    # What wraps a function elsewhere is not in its source.
    assert by_call(torch.ones(1)).tolist() == [6]
    assert by_call.definition is None


def test_a_decorator_that_cannot_be_had_makes_the_source_unknown(new_name):
    def local(function):
        return twice(function)

    @gaudi_lab.custom_op(name=new_name())
    @local
    def times(x: torch.Tensor) -> torch.Tensor:
        return x * 3

    assert times(torch.ones(1)).tolist() == [6]
    assert times.definition is None


def test_without_a_source_it_works_and_is_not_pickled(new_name):
    scope = {"torch": torch}
    exec("def made(x: torch.Tensor) -> torch.Tensor: return x + 1", scope)
    operator = gaudi_lab.custom_op(scope["made"], name=new_name())
    assert operator(torch.ones(1)).tolist() == [2]
    with pytest.raises(LabError, match="source of its functions is not known"):
        pickle.dumps(operator)


def test_an_argument_that_it_writes_into(cell):
    operator = cell("def NAME(x: Tensor) -> Tensor:\n    x.add_(1)\n    return x * 2", mutates=("x",))
    for lazy in (False, True):
        with bridge.in_mode(lazy=lazy):
            x = torch.ones(2, device="hpu")
            assert operator(x).tolist() == [4, 4]
            assert x.tolist() == [2, 2]
    checks = operator.check()
    assert checks.passed
    assert checks.of("eager").passed
    assert checks.of("lazy").passed
    with pytest.raises(LabValueError, match="which it has not"):
        cell("def NAME(x: Tensor) -> Tensor: return x + 1", mutates=("y",))


def test_gradients_on_the_device(cell):
    operator = cell(GELU)
    x = torch.randn(3, 4)
    host = x.clone().requires_grad_()
    torch.nn.functional.gelu(host).mul(2.0).sum().backward()
    for lazy in (False, True):
        with bridge.in_mode(lazy=lazy):
            device = x.to("hpu").requires_grad_()
            operator(device, 2.0).sum().backward()
            torch.testing.assert_close(device.grad.cpu(), host.grad)


def test_counts_are_the_users_own_calls(cell):
    operator = cell(GELU)
    operator(torch.ones(2))
    operator.check()
    assert operator.calls == 1
    assert operator.seconds > 0
    (listed,) = [listed for listed in define.listing() if listed.name == operator.__name__]
    assert (listed.calls, listed.bodies) == (1, ("Python",))


def test_checks_hold_for_many_sizes_and_many_bodies(cell):
    operator = cell("def NAME(x: Tensor) -> Tensor: return x + 1")
    for number in range(10):  # more than PyTorch compiles one function for
        assert operator.check(torch.randn(number + 1, 3)).of("compile").passed
        cell(f"def NAME(x: Tensor) -> Tensor: return x + {number}", name=operator.__name__)
        assert operator.check(torch.randn(2, 3)).of("compile").passed
