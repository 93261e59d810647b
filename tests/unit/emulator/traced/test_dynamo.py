"""`torch.compile(backend="hpu_backend")` on the emulated device."""

import importlib
import inspect
import pkgutil

import pytest
import torch

import gaudi_lab.emulator
from gaudi_lab import bridge


@pytest.fixture(autouse=True)
def eager_mode(stock_compile):
    bridge.load()
    gaudi_lab.emulator.set_lazy(False)
    torch._dynamo.reset()
    yield
    gaudi_lab.emulator.set_lazy(False)
    torch._dynamo.reset()


def compiles():
    return dict(torch.hpu.metric_global("graph_compilation").stats())["TotalNumber"]


def test_a_compiled_function_agrees_with_the_cpu_and_is_counted():
    def f(a, b):
        return (a @ b).relu() + torch.arange(3, device=a.device)

    a, b = torch.randn(3, 3), torch.randn(3, 3)
    compiled = torch.compile(f, backend="hpu_backend", dynamic=False)
    before = compiles()
    torch.testing.assert_close(compiled(a.to("hpu"), b.to("hpu")).cpu(), f(a, b))
    assert compiles() == before + 1
    compiled(a.to("hpu"), b.to("hpu"))
    assert compiles() == before + 1


def test_dynamo_knows_the_device():
    from torch._dynamo.device_interface import get_interface_for_device

    known = get_interface_for_device("hpu")
    assert known.is_available()
    assert (known.device_count(), known.current_device()) == (torch.hpu.device_count(), 0)
    assert known.get_device_properties().name == known.Worker.get_device_properties().name == "GAUDI2"
    assert not known.is_triton_capable()
    with known.device(0):
        assert known.exchange_device(0) == 0


def test_gradients_flow_through_compiled_code():
    on_cpu = torch.nn.Linear(4, 2)
    x = torch.randn(3, 4)
    on_cpu(x).square().sum().backward()
    expected = on_cpu.weight.grad.clone()

    on_hpu = torch.nn.Linear(4, 2)
    on_hpu.load_state_dict(on_cpu.state_dict())
    on_hpu = on_hpu.to("hpu")
    torch.compile(on_hpu, backend="hpu_backend")(x.to("hpu")).square().sum().backward()
    torch.testing.assert_close(on_hpu.weight.grad.cpu(), expected)


def test_dynamo_does_not_trace_the_emulator_itself():
    # Dynamo skips the frame of a container made of torch's own modules, and looks for one further down.
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU()).eval().requires_grad_(False).to("hpu")
    x = torch.randn(2, 4).to("hpu")
    expected = model(x).cpu()
    model.compile(backend="hpu_backend")
    torch.testing.assert_close(model(x).cpu(), expected)


def test_a_model_that_asks_for_the_mode_or_marks_a_step_is_one_graph():
    import habana_frameworks.torch.core as htcore
    from habana_frameworks.torch.utils.internal import is_lazy

    def function(x):
        htcore.mark_step()
        return x + 1 if is_lazy() else x + 2

    compiled = torch.compile(function, backend="hpu_backend", fullgraph=True)
    assert compiled(torch.ones(2, device="hpu")).tolist() == [3.0, 3.0]


def test_a_fused_kernel_is_part_of_the_graph():
    from habana_frameworks.torch.hpex.kernels import FusedSDPA

    q = torch.randn(1, 2, 4, 8)
    compiled = torch.compile(lambda x: FusedSDPA.apply(x, x, x), backend="hpu_backend", fullgraph=True)
    expected = torch.nn.functional.scaled_dot_product_attention(q, q, q)
    torch.testing.assert_close(compiled(q.to("hpu")).cpu(), expected)


def test_in_lazy_mode_there_is_no_such_backend():
    gaudi_lab.emulator.set_lazy(True)
    compiled = torch.compile(lambda x: x + 1, backend="hpu_backend")
    with pytest.raises(Exception, match="Invalid backend: 'hpu_backend'"):
        compiled(torch.ones(2, device="hpu"))


@pytest.mark.parametrize("gradients", [False, True])
def test_every_output_and_gradient_lies_where_it_was_traced(gradients):
    @torch.compile(backend="hpu_backend")
    def f(on_hpu, on_cpu):
        return on_hpu * 2, on_cpu * 3, on_hpu.cpu() + on_cpu

    on_cpu = torch.randn(3)
    on_hpu = torch.randn(3).to("hpu").requires_grad_(gradients)
    on_cpu.requires_grad_(gradients)
    outputs = f(on_hpu, on_cpu)
    assert [x.device.type for x in outputs] == ["hpu", "cpu", "cpu"]
    torch.testing.assert_close(outputs[2], on_hpu.cpu() + on_cpu)
    if gradients:
        (outputs[0].cpu() + outputs[1] + outputs[2]).sum().backward()
        torch.testing.assert_close(on_hpu.grad.cpu(), torch.full((3,), 3.0))
        torch.testing.assert_close(on_cpu.grad, torch.full((3,), 4.0))


@pytest.mark.parametrize("lazy", [False, True], ids=["eager", "lazy"])
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_backends_of_pytorch_trace_in_both_modes(lazy, backend):
    def f(x):
        return torch.where(x > 0, x, torch.tensor(-1.0, device=x.device)).exp().sum()

    gaudi_lab.emulator.set_lazy(lazy)
    x = torch.randn(4)
    on_hpu = x.to("hpu").requires_grad_()
    loss = torch.compile(f, backend=backend)(on_hpu)
    torch.testing.assert_close(loss.cpu(), f(x))
    loss.backward()
    torch.testing.assert_close(on_hpu.grad.cpu(), torch.where(x > 0, x.exp(), torch.zeros(4)))


def test_views_of_changing_shapes_compile():
    from torch.nn.attention.flex_attention import flex_attention

    compiled = torch.compile(flex_attention, backend="hpu_backend")
    for batch, length, heads, width in ((2, 16, 4, 16), (3, 20, 4, 16), (3, 24, 5, 32)):
        x = torch.randn(batch, length, heads * width)
        on_hpu = x.to("hpu").requires_grad_()
        q, expected = [t.view(batch, length, heads, width).transpose(1, 2) for t in (on_hpu, x)]
        out = compiled(q, q, q)
        torch.testing.assert_close(
            out.cpu(), torch.nn.functional.scaled_dot_product_attention(expected, expected, expected)
        )
        out.sum().backward()
        assert on_hpu.grad.shape == x.shape


def test_what_inductor_cannot_compile_on_a_cpu_runs_as_traced_and_says_so(monkeypatch):
    from torch.nn.attention.flex_attention import flex_attention

    monkeypatch.setenv("GAUDI_LAB_COMPILER", "inductor")
    x = torch.randn(1, 2, 16, 8)
    on_hpu = x.to("hpu").requires_grad_()
    with pytest.warns(UserWarning, match=r"Inductor cannot compile this graph, it runs as traced: .*CPU"):
        out = torch.compile(flex_attention, backend="hpu_backend")(on_hpu, on_hpu, on_hpu)
    torch.testing.assert_close(out.cpu(), torch.nn.functional.scaled_dot_product_attention(x, x, x))


def test_dynamo_can_show_its_arguments_when_it_fails():
    @torch.compile(backend="hpu_backend", fullgraph=True)
    def f(x):
        return x @ x

    with pytest.raises(
        Exception, match=r"tensor\(\.\.\., device='hpu:0', size=\(2, 3\), dtype=torch.float32\)"
    ):
        f(torch.randn(2, 3, device="hpu"))


# A model asks for it, and is one graph all the same.
OPEN_MODE = "gaudi_lab.emulator.process.mode"


def closed_modules():
    """Yield the modules of the emulator that Dynamo must not trace, by walking its folders."""
    for top in pkgutil.iter_modules(gaudi_lab.emulator.__path__, "gaudi_lab.emulator."):
        if top.name.rpartition(".")[2] not in ("habana_frameworks", "kernels"):
            module = importlib.import_module(top.name)
            yield module
            for inner in pkgutil.walk_packages(getattr(module, "__path__", []), f"{top.name}."):
                if inner.name != OPEN_MODE:
                    yield importlib.import_module(inner.name)


def functions_of(module):
    found = [x for x in vars(module).values() if getattr(x, "__module__", None) == module.__name__]
    methods = [y for x in found if isinstance(x, type) for y in vars(x).values()]
    # What a dataclass or a protocol is given has no file of ours.
    return [
        x for x in [*found, *methods] if inspect.isfunction(x) and x.__code__.co_filename == module.__file__
    ]


def test_dynamo_skips_every_function_of_the_emulator_but_those_of_the_open_packages():
    from habana_frameworks.torch.hpex.kernels import FusedSDPA
    from torch._dynamo import trace_rules

    from gaudi_lab.emulator.kernels import sdpa

    modules = list(closed_modules())
    traced = {
        f"{m.__name__}.{f.__name__}" for m in modules for f in functions_of(m) if not trace_rules.check(f)
    }
    assert not traced
    assert len(modules) > 40
    assert not trace_rules.check(FusedSDPA.forward)
    assert not any(trace_rules.check(function) for function in functions_of(sdpa))


def test_autocast_of_the_device_holds_in_compiled_code():
    def inside(x):
        with torch.autocast("hpu", dtype=torch.bfloat16):
            return x @ x, x.exp()

    x = torch.randn(4, 4, device="hpu", requires_grad=True)
    product, exponential = torch.compile(inside, backend="hpu_backend", dynamic=False)(x)
    assert (product.dtype, exponential.dtype) == (torch.bfloat16, torch.float32)
    (grad,) = torch.autograd.grad(product.float().sum(), x)
    assert grad.dtype is torch.float32
    compiled = torch.compile(lambda x: x @ x, backend="hpu_backend", dynamic=False)
    with torch.autocast("hpu"):
        outer = compiled(x.detach())
    assert outer.dtype is torch.bfloat16
    assert torch.equal(outer.cpu(), product.detach().cpu())
    assert compiled(x.detach()).dtype is torch.float32


def test_constants_and_empty_tensors_in_compiled_code():
    def f(x):
        return x + torch.tensor(2.0).to("hpu")

    compiled = torch.compile(f, backend="hpu_backend", fullgraph=True, dynamic=False)
    assert compiled(torch.ones(2, device="hpu")).tolist() == [3.0, 3.0]
    found = torch.compile(lambda x: x.all(), backend="hpu_backend", dynamic=False)(
        torch.ones(0, 2, device="hpu")
    )
    assert found.item() is True


def test_a_log_says_of_what_a_graph_consists():
    from habana_frameworks.torch.dynamo.compile_backend.passes import logger as graphs
    from habana_frameworks.torch.dynamo.compile_backend.shared_layer import logger as fallbacks

    for logger in (graphs, fallbacks):
        logger.set_store_data(True)
    try:
        x = torch.randn(2, 3, device="hpu", requires_grad=True)
        torch.compile(lambda x: x.add(1).relu_().mode(0)[0].sum(), backend="hpu_backend", dynamic=False)(
            x
        ).backward()
        lines = "\n".join(graphs.data)
        assert "aten::add()" in lines
        assert "aten::relu()" in lines  # functional: nothing is written in place
        assert "aten::threshold_backward()" in lines
        assert "[PT_COMPILE] Node: relu requires fallback: False" in fallbacks.data
        assert "[PT_COMPILE] Node: mode requires fallback: True" in fallbacks.data
    finally:
        for logger in (graphs, fallbacks):
            logger.set_store_data(False)
    assert graphs.data == []


def test_gradients_of_the_hosts_own_tensors():
    x, w = torch.randn(2, 3, requires_grad=True), torch.randn(3, device="hpu", requires_grad=True)
    compiled = torch.compile(lambda x: x.square().sum(), backend="hpu_backend", dynamic=False)
    compiled(x).backward()
    torch.testing.assert_close(x.grad, 2 * x.detach())
    assert x.grad.device.type == "cpu"
    compiled(w).backward()
    torch.testing.assert_close(w.grad.cpu(), 2 * w.detach().cpu())


def squares(x):
    return x.square() * x


def test_gradients_can_be_asked_for_again_if_the_graph_is_retained():
    x = torch.randn(3, device="hpu", requires_grad=True)
    loss = torch.compile(squares, backend="hpu_backend")(x).sum()
    expected = 3 * x.detach().cpu().square()
    for number in (1, 2):
        loss.backward(retain_graph=number == 1)
        torch.testing.assert_close(x.grad.cpu(), number * expected)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        loss.backward()


@pytest.mark.parametrize(
    "ask", [lambda g, x: g.sum().backward(), lambda g, x: torch.autograd.grad(g.sum(), x)]
)
def test_a_second_derivative_is_refused_and_not_left_out(ask):
    x = torch.randn(3, device="hpu", requires_grad=True)
    out = torch.compile(squares, backend="hpu_backend")(x)
    (grad,) = torch.autograd.grad(out.sum(), x, create_graph=True)
    torch.testing.assert_close(grad.detach().cpu(), 3 * x.detach().cpu().square())
    with pytest.raises(RuntimeError, match="does not support double backward"):
        ask(grad, x)


def test_an_input_that_is_written_after_it_was_used_keeps_its_gradient():
    net = torch.nn.Linear(2, 2).to("hpu")
    loss = torch.compile(net, backend="hpu_backend")(torch.ones(1, 2, device="hpu")).sum()
    with torch.no_grad():
        net.bias.add_(1)
    loss.backward()
    assert net.bias.grad.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("gradients", [False, True])
def test_a_graph_draws_from_the_generator_of_the_device(gradients):
    draw = torch.compile(lambda x: x + torch.rand_like(x), backend="hpu_backend")
    x = torch.zeros(3, device="hpu", requires_grad=gradients)
    torch.hpu.manual_seed(3)
    before = torch.get_rng_state()
    found = [draw(x).detach().cpu() for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), before)
    generator = torch.Generator().manual_seed(3)
    for got in found:
        assert torch.equal(got, torch.rand(3, generator=generator))


def test_a_write_into_an_output_that_is_a_view_of_an_input_has_its_gradient():
    take_row = torch.compile(lambda x: (x[0], x * 3), backend="hpu_backend")
    for _ in range(2):
        weight = torch.ones(2, 2, device="hpu", requires_grad=True)
        x = weight * 1
        row, other = take_row(x)
        row.mul_(2)
        (x.sum() + other.sum()).backward()
        assert x.tolist() == [[2.0, 2.0], [1.0, 1.0]]
        assert weight.grad.tolist() == [[5.0, 5.0], [4.0, 4.0]]
