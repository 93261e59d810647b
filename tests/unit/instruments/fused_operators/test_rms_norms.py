import pytest
import torch
from torch import nn

from gaudi_lab import bridge
from gaudi_lab.instruments.fused_operators.class_layers import StandIns
from gaudi_lab.instruments.fused_operators.place import NOT_CALLED, NOT_REACHED
from gaudi_lab.instruments.fused_operators.rms_norms import RMS_NORM

pytestmark = pytest.mark.usefixtures("workbench")


class Norm(nn.Module):
    """Root mean square normalisation, with what may differ from it."""

    def __init__(self, eps=1e-5, more=0.0, power=2, mean=False, size=8):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(size))
        self.small, self.more, self.power, self.mean = eps, more, power, mean

    def forward(self, x):
        wide = x.float()
        if self.mean:
            wide = wide - wide.mean(-1, keepdim=True)
        wide = wide * torch.rsqrt(wide.abs().pow(self.power).mean(-1, keepdim=True) + self.small)
        return (wide * (self.more + self.weight.float())).to(x.dtype)


class Model(nn.Module):
    def __init__(self, norm):
        super().__init__()
        self.first, self.norm, self.unused = nn.Linear(8, 8), norm, Norm()

    def forward(self, x):
        return self.norm(self.first(x))


X = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0))


def find(norm, dtype=torch.float32, x=X):
    model = Model(norm).eval().to(dtype).to("hpu")
    data = x.to("hpu", dtype)

    def run():
        with torch.no_grad():
            return model(data)

    found = {place.path: place for place in RMS_NORM.find(model, run)}
    return model, run, found


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("eps", "more"), [(1e-5, 0.0), (1e-6, 1.0), (0.05, 0.0)])
def test_it_is_recognised_by_what_it_computes(dtype, eps, more):
    model, run, found = find(Norm(eps, more), dtype)
    layer = found["norm"].layer
    assert (layer.epsilon, layer.more, layer.gradients) == (eps, more, True)
    assert found["unused"].reason == NOT_REACHED
    before = run().float().cpu()
    with StandIns().put(model.norm, layer):
        after = run().float().cpu()
    torch.testing.assert_close(after, before, rtol=2 * torch.finfo(dtype).eps, atol=0)


def test_torch_s_own_is_recognised_with_an_epsilon_and_without():
    _, _, found = find(nn.RMSNorm(8, eps=1e-5))
    assert found["norm"].layer.epsilon == 1e-5
    _, _, found = find(nn.RMSNorm(8))
    assert found["norm"].layer is not None


@pytest.mark.parametrize(
    "norm", [Norm(power=3), Norm(mean=True), Norm(more=0.5), nn.LayerNorm(8, bias=False), nn.PReLU(3)]
)
def test_what_computes_something_else_is_no_place(norm):
    _, _, found = find(norm)
    assert found.keys() == {"unused"}


def test_a_lie_of_its_attributes_is_found_out():
    class Lying(Norm):
        def forward(self, x):
            return super().forward(x) * (1 + 1e-3)

    _, _, found = find(Lying())
    assert "norm" not in found


def test_a_formula_that_holds_for_this_input_only_is_no_place():
    class Clamping(Norm):
        def forward(self, x):
            return super().forward(x.clamp(-20, 20))

    _, _, found = find(Clamping())
    assert "norm" not in found


def test_nothing_is_established_without_a_run():
    model = Model(Norm()).to("hpu")
    assert {place.reason for place in RMS_NORM.find(model, None)} == {NOT_CALLED}


def test_a_forward_replaced_on_the_module_is_refused():
    norm = Norm()
    norm.forward = lambda x: x
    _, _, found = find(norm)
    assert "replaced" in found["norm"].reason


def test_finding_leaves_the_model_as_it_was():
    model, run, _ = find(Norm())
    state = {name: value.cpu().clone() for name, value in model.state_dict().items()}
    names = {path: sorted(vars(part)) for path, part in model.named_modules()}
    hooks = {path: len(part._forward_pre_hooks) for path, part in model.named_modules()}
    RMS_NORM.find(model, run)
    assert all(torch.equal(value.cpu(), state[name]) for name, value in model.state_dict().items())
    assert names == {path: sorted(vars(part)) for path, part in model.named_modules()}
    assert hooks == {path: len(part._forward_pre_hooks) for path, part in model.named_modules()}


def test_gradients_are_those_of_the_module():
    model, _, found = find(Norm(more=1.0))

    def gradients():
        model.zero_grad()
        model(X.to("hpu")).square().sum().backward()
        return [p.grad.cpu() for p in model.parameters() if p.grad is not None]

    before = gradients()
    with StandIns().put(model.norm, found["norm"].layer):
        after = gradients()
    assert len(before) == 3
    for a, b in zip(after, before, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (torch.ones(0, 8), "empty"),
        (torch.ones(2, 8, dtype=torch.bfloat16), "one dtype"),
        (torch.ones(2, 8, dtype=torch.float16), "one dtype"),
    ],
)
def test_a_call_that_does_not_suit_runs_as_before(data, reason):
    model, _, found = find(Norm())
    data, stand_ins = data.to("hpu"), StandIns()
    before = model.norm(data)
    with stand_ins.put(model.norm, found["norm"].layer):
        after = model.norm(data)
    assert after.dtype == before.dtype
    assert torch.equal(after.cpu(), before.cpu())
    ((operator, told),) = stand_ins.plain_calls
    assert operator == "rms_norm"
    assert reason in told


def test_a_call_under_autocast_runs_as_before():
    model, _, found = find(Norm())
    stand_ins = StandIns()
    with stand_ins.put(model.norm, found["norm"].layer), torch.autocast("hpu", torch.bfloat16):
        model.norm(X.to("hpu"))
    assert [reason for _, reason in stand_ins.plain_calls] == ["under autocast it was not established"]


def test_the_kernel_is_really_called(monkeypatch):
    model, run, found = find(Norm())
    kernel, calls = bridge.fused_rms_norm(), []

    class Noting:
        @staticmethod
        def apply(*args):
            calls.append(args)
            return kernel.apply(*args)

    monkeypatch.setattr(bridge, "fused_rms_norm", lambda: Noting)
    with StandIns().put(model.norm, found["norm"].layer):
        run()
    assert len(calls) == 1


def test_a_bridge_without_it_says_so(monkeypatch):
    def missing():
        raise AttributeError("no FusedRMSNorm here")

    monkeypatch.setattr(bridge, "fused_rms_norm", missing)
    assert "no FusedRMSNorm here" in RMS_NORM.why_missing()
