"""OpenVINO as the compiler of recorded programs: its parameters are constants, until somebody writes to them."""

import copy
import gc
import os
import subprocess
import sys
import weakref

import pytest
import torch
from torch import nn

pytest.importorskip("openvino")

from gaudi_lab.emulator.device.memory import ledger
from gaudi_lab.emulator.lazy import agreement, compilers
from gaudi_lab.emulator.lazy.openvino import infer_request


def make_net(seed=0, width=12):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, width), nn.GELU(), nn.LayerNorm(width), nn.Linear(width, 3)).eval()


@torch.no_grad()
def test_results_agree_and_the_parameters_are_constants(compiled):
    net = make_net(width=11)
    on_hpu, x = copy.deepcopy(net).to("hpu"), torch.randn(4, 5)
    for _ in range(3):
        x = x + 1
        torch.testing.assert_close(on_hpu(x.to("hpu")).cpu(), net(x), rtol=1e-5, atol=1e-5)
    assert compiled == [6]
    assert not compilers.passed_over
    assert not agreement.disagreements


def add_in_place(net):
    for p in net.parameters():
        p.add_(0.25)


def load(net):
    net.load_state_dict({name: x + 0.25 for name, x in net.state_dict().items()})


def assign_data(net):
    for p in net.parameters():
        p.data = p.data + 0.25


def write_through_data(net):
    for p in net.parameters():
        p.data.add_(0.25)


def write_through_a_view(net):
    for p in net.parameters():
        p.view(-1)[1:].add_(0.25)


def take_a_step(net):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    for p in net.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()


WRITES = [add_in_place, load, write_through_data, write_through_a_view, take_a_step]


# A graph goes on reading the memory that it was captured with, as on hardware: what is assigned it does not see.
@pytest.mark.parametrize(
    ("write", "under_graphs"),
    [*((write, under) for write in WRITES for under in (False, True)), (assign_data, False)],
)
@torch.no_grad()
def test_a_written_parameter_shows_in_the_next_call(write, under_graphs, compiled):
    from habana_frameworks.torch.hpu import wrap_in_hpu_graph

    net = make_net()
    on_hpu, x = copy.deepcopy(net).to("hpu"), torch.randn(4, 5)
    called = wrap_in_hpu_graph(on_hpu) if under_graphs else on_hpu
    for _ in range(3):
        called(x.to("hpu")).cpu()
    assert compiled.count(6) == 1
    for _ in range(4):
        write(net)
        write(on_hpu)
        torch.testing.assert_close(called(x.to("hpu")).cpu(), net(x), rtol=1e-5, atol=1e-5)
    assert compiled.count(6) == 1, "what changes at each call is not compiled each time"
    for _ in range(3):
        torch.testing.assert_close(called(x.to("hpu")).cpu(), net(x), rtol=1e-5, atol=1e-5)
    assert compiled.count(6) == 2, "and what stays is compiled anew"


@torch.no_grad()
def test_models_of_one_build_each_have_their_own_constants(compiled):
    nets = [make_net(seed, width=13) for seed in range(2)]
    on_hpu = [copy.deepcopy(net).to("hpu") for net in nets]
    x = torch.randn(2, 5)
    for _ in range(3):
        for net, moved in zip(nets, on_hpu, strict=True):
            torch.testing.assert_close(moved(x.to("hpu")).cpu(), net(x), rtol=1e-5, atol=1e-5)
    for net, moved in zip(nets, on_hpu, strict=True):
        for _ in range(3):
            torch.testing.assert_close(moved(x.to("hpu")).cpu(), net(x), rtol=1e-5, atol=1e-5)
    assert len(compiled) == 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_a_row_that_sees_nothing_is_zeros_in_a_later_call_too(dtype, compiled):
    query = torch.randn(1, 2, 4, 8, dtype=dtype)
    seen = torch.ones(4, 4, dtype=torch.bool)
    hidden = seen.clone()
    hidden[2] = False
    for mask in (seen, seen, hidden):
        bias = torch.zeros(4, 4, dtype=dtype).masked_fill(~mask, -torch.inf)
        found = nn.functional.scaled_dot_product_attention(
            *[query.to("hpu")] * 3, attn_mask=bias.to("hpu")
        ).cpu()
        expected = nn.functional.scaled_dot_product_attention(query, query, query, attn_mask=bias)
        torch.testing.assert_close(found, expected.nan_to_num(), rtol=2e-2, atol=2e-2)
    assert compiled


@torch.no_grad()
def test_results_that_share_memory_go_on_sharing_it(compiled):
    x = torch.randn(3, 4)
    for _ in range(2):
        y = x.to("hpu").exp()
        z = y.t()[1:]
        y.cpu()
        z.add_(1)
        torch.testing.assert_close(y.cpu()[:, 1:], x.exp()[:, 1:] + 1)
    assert compiled


@torch.no_grad()
def test_results_that_share_memory_in_two_dtypes_are_computed_step_by_step():
    x = torch.randn(3, dtype=torch.complex64)
    for _ in range(2):
        torch.testing.assert_close(torch.view_as_real(x.to("hpu")).cpu(), torch.view_as_real(x))
    assert [reason.reason for reason in compilers.passed_over] == ["its results share memory in two dtypes"]


@torch.no_grad()
def test_what_it_cannot_take_runs_step_by_step_and_is_named(compiled):
    x = torch.randn(3, 4).to("hpu")
    assert torch.rand_like(x).cpu().shape == (3, 4)
    assert (x.double() * 2).cpu().dtype is torch.float64
    assert torch.gcd(torch.tensor([12, 18]).to("hpu"), torch.tensor([8, 27]).to("hpu")).tolist() == [4, 9]
    assert [reason.reason for reason in compilers.passed_over] == [
        "aten.rand_like.default draws random numbers",
        "it computes in torch.float64",
        "aten.gcd.default ends the process there",
    ]
    assert "runs step by step and not by OpenVINO" in str(compilers.passed_over[0])
    assert not compiled


@torch.no_grad()
def test_wrong_results_are_not_believed(monkeypatch):
    run = infer_request._Output.copy
    monkeypatch.setattr(infer_request._Output, "copy", lambda self: run(self) + 1)
    net = make_net(width=14)
    on_hpu, x = copy.deepcopy(net).to("hpu"), torch.randn(4, 5)
    with pytest.warns(UserWarning, match="compiled by OpenVINO, whose results differ"):
        on_hpu(x.to("hpu")).cpu()
    torch.testing.assert_close(on_hpu(x.to("hpu")).cpu(), net(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_sixteen_bits_agree_within_their_rounding(dtype, compiled):
    net = make_net(width=15).to(dtype)
    on_hpu, x = copy.deepcopy(net).to("hpu"), torch.randn(4, 5).to(dtype)
    for _ in range(2):
        found = on_hpu(x.to("hpu")).cpu()
    assert found.dtype is dtype
    largest = net(x).abs().max()
    assert (found - net(x)).abs().max() <= agreement.TOLERANCE[dtype] * largest
    assert compiled


PROGRAM = """
import sys
import torch, gaudi_lab
from habana_frameworks.torch.hpu.metrics import metric_global
from gaudi_lab.emulator.lazy import compilers
from gaudi_lab.emulator.lazy.compile import CompiledProgram
traced, trace = [], CompiledProgram.as_values
CompiledProgram.as_values = lambda self, *given: traced.append(self) or trace(self, *given)
net = torch.nn.Linear(4, 3).eval()
torch.nn.init.constant_(net.weight, 0.5), torch.nn.init.constant_(net.bias, 0.25)
with torch.no_grad():
    out = net.to("hpu")(torch.ones(2, 4).to("hpu")).cpu()
assert torch.equal(out, torch.full((2, 3), 2.25)), out
assert not compilers.passed_over, compilers.passed_over
print(dict(metric_global("graph_compilation").stats())["TotalNumber"], len(traced), "openvino_telemetry" in sys.modules)
"""


def test_the_recipe_cache_keeps_what_it_compiled_and_nothing_is_reported_home(tmp_path):
    environment = os.environ | {
        "PT_HPU_LAZY_MODE": "1",
        "GAUDI_LAB_COMPILER": "openvino",
        "PT_HPU_RECIPE_CACHE_CONFIG": f"{tmp_path},false,1024",
    }
    found = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    ]
    assert min(map(int, found[0].split()[:2])) > 0
    assert found[1].split() == ["0", "0", "False"], "nothing is compiled or traced again"


@torch.no_grad()
def test_what_is_written_into_an_input_is_there_after_each_call(compiled):
    cache, host = torch.zeros(2, 6).to("hpu"), torch.zeros(2, 6)
    view, host_view = cache[:, 2:], host[:, 2:]
    cache.cpu()
    for number in range(4):
        x = torch.full((2, 1), 1.5 + number)
        for held, new in ((cache, x.to("hpu")), (host, x)):
            held.index_copy_(1, torch.tensor([number], device=held.device), new)
            held[0].mul_(2)
        torch.testing.assert_close(cache.cpu(), host)
        torch.testing.assert_close(view.cpu(), host_view)
    assert compiled
    assert not compilers.passed_over
    assert not agreement.disagreements


@torch.no_grad()
def test_inputs_that_share_memory_are_written_step_by_step(compiled):
    def double_and_add(x, y):
        x.mul_(2)
        return y + x.sum()

    apart = [torch.ones(4).to("hpu"), torch.ones(4).to("hpu")]
    for factor in (2, 4):
        assert double_and_add(*apart).cpu().tolist() == [1.0 + 4 * factor] * 4
    assert compiled
    shared = torch.ones(4).to("hpu")
    other = shared.view(4)
    other.cpu()
    for factor in (2, 4):
        assert double_and_add(shared, other).cpu().tolist() == [5.0 * factor] * 4


@torch.no_grad()
def test_what_writes_into_parameters_is_not_compiled(compiled):
    net = nn.Linear(3, 2).to("hpu")
    for _ in range(2):
        net.weight.add_(1.0)
        net.weight.cpu()
    assert [reason.reason for reason in compilers.passed_over] == ["it writes into parameters"]


def test_a_signal_finds_the_thread_as_it_was_after_programs_have_gone():
    # A second OpenVINO in a process remembers the signal stack that the first has made, and puts it back when that one
    # is gone: the next signal then ends the process.
    program = """
import faulthandler, gc, signal, time
faulthandler.enable()  # as ipykernel does
import torch
import habana_frameworks.torch as ht
for size in (2, 3):
    (torch.ones(size).to("hpu") * 2).cpu()
from gaudi_lab.emulator.lazy.record import tape, trie
trie.clear()
tape.restart()
gc.collect()
signal.signal(signal.SIGALRM, lambda *_: print("the signal is handled"))
signal.setitimer(signal.ITIMER_REAL, 0.01)
time.sleep(0.1)
"""
    environment = os.environ | {
        "GAUDI_LAB_EMULATE": "1",
        "PT_HPU_LAZY_MODE": "1",
        "GAUDI_LAB_COMPILER": "openvino",
    }
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.stdout.strip() == "the signal is handled", (ran.returncode, ran.stderr)


@torch.no_grad()
def test_a_model_that_is_gone_leaves_nothing_and_the_next_is_compiled(compiled):
    x = torch.randn(2, 5)
    gc.collect()
    held = ledger.in_use
    for seed in range(6):
        net = make_net(seed, width=16)
        on_hpu = copy.deepcopy(net).to("hpu")
        memories = [weakref.ref(p._cell.host) for p in on_hpu.parameters()]
        for _ in range(3):
            torch.testing.assert_close(on_hpu(x.to("hpu")).cpu(), net(x), rtol=1e-5, atol=1e-5)
        assert compiled.count(6) == 1 + seed, "the fifth is compiled too"
        del on_hpu
        gc.collect()
        assert [memory() for memory in memories] == [None] * 6
    assert ledger.in_use <= held


@torch.no_grad()
def test_what_was_compiled_for_a_model_goes_with_it(monkeypatch):
    made = []
    make = infer_request.InferRequest.__init__

    def noting(self, *args):
        make(self, *args)
        made.append(weakref.ref(self))

    monkeypatch.setattr(infer_request.InferRequest, "__init__", noting)
    on_hpu = make_net(width=17).to("hpu")
    on_hpu(torch.randn(2, 5).to("hpu")).cpu()
    assert [request() is None for request in made] == [False]
    del on_hpu
    gc.collect()
    assert made[0]() is None
