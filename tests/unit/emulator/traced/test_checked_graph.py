"""A compiled graph is believed only once it agrees with the graph run step by step, gradients included."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import gaudi_lab
from gaudi_lab import bridge, emulator
from gaudi_lab.emulator.lazy import agreement
from gaudi_lab.emulator.lazy.compilers import has_cpp_compiler
from gaudi_lab.emulator.traced import dynamo
from gaudi_lab.emulator.traced.by_node import TracedRun

DIFFERS = r"compiled_\d+ was compiled by Inductor, whose results differ"


@pytest.fixture(autouse=True)
def eager_mode(stock_compile, monkeypatch):
    monkeypatch.setenv("GAUDI_LAB_COMPILER", "inductor")
    emulator.set_lazy(False)
    torch._dynamo.reset()
    agreement.disagreements.clear()
    yield
    agreement.disagreements.clear()
    torch._dynamo.reset()


class Compiler:
    """Stands in for Inductor: runs the graph as traced and changes what it returns."""

    def __init__(self, change):
        self.change = change
        self.runs = 0

    def __call__(self, graph_module, example_inputs):
        def run(*hosts):
            self.runs += 1
            return tuple([self.change(x) for x in graph_module(*hosts)])

        return run


@pytest.fixture
def put_in(monkeypatch):
    """Put a compiler of traced graphs in Inductor's place."""

    def put(change):
        compiler = Compiler(change)
        monkeypatch.setattr(dynamo, "_inductor", compiler)
        return compiler

    return put


class NoGradient(torch.autograd.Function):
    """The right value and a gradient of zeros, as of a wrong backward pass."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad * 0


@pytest.fixture
def runs(monkeypatch):
    """Count how often graphs run step by step."""
    counted = []
    run = TracedRun.__call__

    def count(self, *inputs):
        counted.append(self)
        return run(self, *inputs)

    monkeypatch.setattr(TracedRun, "__call__", count)
    return counted


def models(*layers):
    """Return a model on the CPU, its copy on the device, and the copy's compiled form."""
    on_cpu = nn.Sequential(*layers)
    on_hpu = copy.deepcopy(on_cpu).to("hpu")
    return on_cpu, on_hpu, torch.compile(on_hpu, backend="hpu_backend")


def train(model, x, seed=3):
    model.zero_grad()
    torch.manual_seed(seed)
    loss = model(x).square().sum()
    loss.backward()
    return loss.detach().cpu()


def assert_same(on_hpu, on_cpu):
    for one, other in zip(on_hpu.parameters(), on_cpu.parameters(), strict=True):
        torch.testing.assert_close(one.grad.cpu(), other.grad)
    for one, other in zip(on_hpu.buffers(), on_cpu.buffers(), strict=True):
        torch.testing.assert_close(one.cpu(), other)


def test_a_graph_that_agrees_is_believed_and_compared_once(put_in, runs):
    compiler = put_in(lambda x: x * (1 + 1e-6))
    on_cpu, on_hpu, compiled = models(nn.Linear(4, 2))
    x = torch.randn(3, 4)
    for number in (1, 2, 3):
        train(on_cpu, x)
        train(compiled, x.to("hpu"))
        assert_same(on_hpu, on_cpu)
        # Forward, and forward with backward at the first backward pass.
        assert (compiler.runs, len(runs)) == (number, 2)
    assert not agreement.disagreements


@pytest.mark.parametrize("gradients", [False, True])
def test_wrong_results_are_replaced_from_the_first_call_on(put_in, gradients):
    compiler = put_in(lambda x: x * 2)
    compiled = torch.compile(lambda x: x.exp(), backend="hpu_backend")
    x = torch.randn(3)
    on_hpu = x.to("hpu").requires_grad_(gradients)
    before = bridge.counters()
    with pytest.warns(UserWarning, match=DIFFERS):
        first = compiled(on_hpu)
    second = compiled(on_hpu)
    torch.testing.assert_close(first.detach().cpu(), x.exp())
    torch.testing.assert_close(second.detach().cpu(), x.exp())
    assert compiler.runs == 1
    assert len(bridge.counters().since(before).miscompiled) == 1
    if gradients:
        (first + second).sum().backward()
        torch.testing.assert_close(on_hpu.grad.cpu(), 2 * x.exp())


def test_a_wrong_backward_pass_alone_is_replaced_too(put_in):
    compiler = put_in(NoGradient.apply)
    on_cpu, on_hpu, compiled = models(nn.Linear(4, 4), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 2))
    x = torch.randn(3, 4)
    for number in range(3):
        train(on_cpu, x)
        if number == 0:
            with pytest.warns(UserWarning, match=DIFFERS + r".*gradient \d of \d by 1 of its largest value"):
                train(compiled, x.to("hpu"))
        else:
            train(compiled, x.to("hpu"))
        assert_same(on_hpu, on_cpu)
    assert compiler.runs == 1


def test_calls_made_before_the_first_backward_pass_get_right_gradients_too(put_in):
    put_in(NoGradient.apply)
    on_cpu, on_hpu, compiled = models(nn.Linear(4, 2), nn.BatchNorm1d(2), nn.Dropout(0.5))
    x, y = torch.randn(5, 4), torch.randn(5, 4)
    for model, device in ((on_cpu, "cpu"), (compiled, "hpu")):
        torch.manual_seed(3)
        loss = model(x.to(device)).square().sum() + 3 * model(y.to(device)).square().sum()
        if device == "cpu":
            loss.backward()
        else:
            with pytest.warns(UserWarning, match=DIFFERS):
                loss.backward()
    # The bias before a batch normalisation has a gradient of rounding.
    torch.testing.assert_close(on_hpu[0].weight.grad.cpu(), on_cpu[0].weight.grad)
    torch.testing.assert_close(on_hpu[1].bias.grad.cpu(), on_cpu[1].bias.grad)
    torch.testing.assert_close(on_hpu[1].running_var.cpu(), on_cpu[1].running_var)


def test_inputs_written_into_before_the_backward_pass_are_not_computed_with(put_in):
    put_in(NoGradient.apply)
    compiled = torch.compile(lambda x, c: (x + c).exp(), backend="hpu_backend")
    x = torch.randn(3).to("hpu").requires_grad_()
    c = torch.zeros(3, device="hpu")
    first, second = compiled(x, c), compiled(x, c)
    with pytest.warns(UserWarning, match=DIFFERS):
        second.sum().backward()
    c.add_(1)
    with pytest.raises(RuntimeError, match="its inputs were written into since"):
        first.sum().backward()


@pytest.mark.parametrize("change", [lambda x: x * (1 + 1e-6), lambda x: x * 2], ids=["right", "wrong"])
@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.filterwarnings("ignore:compiled_")
def test_what_a_graph_writes_into_its_inputs_is_written_once(put_in, change, gradients):
    compiler = put_in(change)
    on_cpu, on_hpu, compiled = models(nn.Linear(4, 3), nn.BatchNorm1d(3, affine=False))
    x = torch.randn(5, 4)
    with torch.set_grad_enabled(gradients):
        for _ in range(2):
            torch.testing.assert_close(compiled(x.to("hpu")).cpu(), on_cpu(x), atol=1e-4, rtol=1e-4)
            for one, other in zip(on_hpu.buffers(), on_cpu.buffers(), strict=True):
                torch.testing.assert_close(one.cpu(), other)
    assert compiler.runs == (2 if not agreement.disagreements else 1)


def test_a_wrong_write_into_an_input_is_found_and_put_right(monkeypatch):
    def compile_wrongly(graph_module, example_inputs):
        def run(*hosts):
            out = graph_module(*hosts)
            for host in hosts:
                host.add_(1)
            return out

        return run

    monkeypatch.setattr(dynamo, "_inductor", compile_wrongly)

    @torch.compile(backend="hpu_backend")
    def f(x):
        x.mul_(2)
        return x.sum()

    x = torch.ones(3, device="hpu")
    with pytest.warns(UserWarning, match=DIFFERS):
        assert f(x).item() == 6
    assert x.cpu().tolist() == [2.0] * 3
    assert f(x).item() == 12


def test_random_numbers_are_drawn_once(put_in):
    put_in(lambda x: x * 1)
    compiled = torch.compile(lambda x: nn.functional.dropout(x, 0.5), backend="hpu_backend")
    x = torch.ones(64)
    torch.manual_seed(7)
    on_hpu = [compiled(x.to("hpu")).cpu() for _ in range(3)]
    torch.manual_seed(7)
    for found in on_hpu:
        torch.testing.assert_close(found, nn.functional.dropout(x, 0.5))
    assert not agreement.disagreements


def test_nan_agrees_with_nan(put_in):
    put_in(lambda x: x * 1)
    compiled = torch.compile(lambda x: x.log(), backend="hpu_backend")
    x = torch.tensor([-1.0, 0.0, 1.0])
    on_hpu = x.to("hpu").requires_grad_()
    out = compiled(on_hpu)
    out.sum().backward()
    torch.testing.assert_close(out.detach().cpu(), x.log(), equal_nan=True)
    assert not agreement.disagreements


def test_status_and_warm_up_name_the_graph(put_in):
    put_in(lambda x: x * 2)
    compiled = torch.compile(lambda x: x + 1, backend="hpu_backend")
    x = torch.ones(3, device="hpu")
    with pytest.warns(UserWarning, match=DIFFERS):
        timeline = gaudi_lab.warmup(lambda: compiled(x), n=2)
    first, second = timeline.iterations
    assert [cause.kind for cause in first.causes] == ["compiler"]
    assert second.steady
    for shown in (repr(timeline), repr(gaudi_lab.status())):
        assert (
            "compiled by Inductor, whose results differ from the step-by-step run (result 1 of 1 by 1"
            in shown
        )
        assert "it runs step by step" in shown


@pytest.mark.inductor
@pytest.mark.skipif(not has_cpp_compiler(), reason="no C++ compiler")
@pytest.mark.filterwarnings("ignore:compiled_")
def test_gradients_behind_a_max_pool_are_the_cpus():
    # Inductor of PyTorch 2.13 makes those before the pool zero.
    layers = [nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(3, 2)]
    on_cpu, on_hpu, compiled = models(*layers, nn.Flatten(), nn.Linear(64 * 11 * 11, 128))
    x = torch.randn(16, 1, 28, 28)
    for _ in range(2):
        torch.testing.assert_close(train(compiled, x.to("hpu")), train(on_cpu, x), rtol=1e-4, atol=1e-4)
        for one, other in zip(on_hpu.parameters(), on_cpu.parameters(), strict=True):
            torch.testing.assert_close(one.grad.cpu(), other.grad, rtol=1e-3, atol=1e-3)


@pytest.mark.inductor
@pytest.mark.skipif(not has_cpp_compiler(), reason="no C++ compiler")
def test_dropout_and_running_statistics_are_those_of_the_cpu_and_inductor_is_believed():
    on_cpu, on_hpu, compiled = models(
        nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Dropout(0.3), nn.GELU(), nn.Linear(16, 4), nn.Dropout(0.5)
    )
    x = torch.randn(9, 8)
    for _ in range(2):
        torch.testing.assert_close(train(compiled, x.to("hpu")), train(on_cpu, x), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(on_hpu[1].running_var.cpu(), on_cpu[1].running_var)
    assert not agreement.disagreements
