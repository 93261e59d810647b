"""`torch.compile` with OpenVINO: graphs without gradients, and what of them runs as traced."""

import copy

import pytest
import torch
from torch import nn

pytest.importorskip("openvino")

from gaudi_lab.emulator.lazy import agreement, compilers
from gaudi_lab.emulator.lazy.openvino import constant_variants


@pytest.fixture(autouse=True)
def by_openvino(monkeypatch, stock_compile):
    """OpenVINO compiles what Dynamo traces, and each variant that it has made is in the list."""
    monkeypatch.setenv("GAUDI_LAB_COMPILER", "openvino")
    monkeypatch.setattr(agreement, "disagreements", [])
    compilers.passed_over.clear()
    made = []
    make = constant_variants._Variant.__init__

    def noting(self, *args):
        make(self, *args)
        made.append(self)

    monkeypatch.setattr(constant_variants._Variant, "__init__", noting)
    torch.compiler.reset()
    yield made
    torch.compiler.reset()
    compilers.passed_over.clear()


def test_a_model_without_gradients_is_compiled_with_its_parameters_until_they_are_written(by_openvino):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 6), nn.GELU(), nn.Linear(6, 3)).eval()
    on_hpu, x = copy.deepcopy(net).to("hpu"), torch.randn(4, 5)
    compiled = torch.compile(on_hpu, backend="hpu_backend")
    with torch.no_grad():
        for written in range(2):
            for _ in range(3):
                torch.testing.assert_close(compiled(x.to("hpu")).cpu(), net(x), rtol=1e-5, atol=1e-5)
            assert len(by_openvino) == 1 + written
            for module in (net, on_hpu):
                module[0].weight.view(-1)[1:].add_(0.25)
    assert [len(variant._constants) for variant in by_openvino] == [4, 4]
    assert not compilers.passed_over
    compiled(x.to("hpu")).sum().backward()
    net(x).sum().backward()
    torch.testing.assert_close(on_hpu[0].weight.grad.cpu(), net[0].weight.grad)
    assert len(by_openvino) == 2, "a graph with gradients runs as traced"


@torch.no_grad()
def test_what_cannot_be_compared_runs_as_traced_and_is_named(by_openvino):
    @torch.compile(backend="hpu_backend")
    def write(x):
        x.add_(1)
        return x * 2

    @torch.compile(backend="hpu_backend")
    def draw(x):
        return x + torch.rand_like(x)

    x = torch.zeros(3).to("hpu")
    for number in (1, 2, 3):
        assert write(x).tolist() == [2.0 * number] * 3
    assert not torch.equal(draw(x).cpu(), draw(x).cpu())
    assert [told.reason for told in compilers.passed_over] == [
        "it writes into its inputs",
        "aten.rand_like.default draws random numbers",
    ]
    assert not by_openvino


@torch.no_grad()
def test_attention_without_dropout_is_compiled_also_for_rows_that_see_nothing(by_openvino):
    attend = nn.functional.scaled_dot_product_attention

    def one_row_for_each_token(q, mask):
        return attend(q, q, q, attn_mask=mask).transpose(1, 2).reshape(4, 16)

    compiled = torch.compile(one_row_for_each_token, backend="hpu_backend")
    query, seen = torch.randn(1, 2, 4, 8), torch.zeros(4, 4)
    hidden = seen.clone()
    hidden[2] = -torch.inf
    for mask in (seen, hidden):
        found = compiled(query.to("hpu"), mask.to("hpu")).cpu()
        torch.testing.assert_close(found, one_row_for_each_token(query, mask), rtol=1e-5, atol=1e-5)
    assert len(by_openvino) == 1
    assert not compilers.passed_over


@torch.no_grad()
def test_weights_loaded_into_a_model_that_was_made_on_the_device_are_seen(by_openvino):
    torch.manual_seed(0)
    net, on_hpu = [
        nn.Sequential(nn.Linear(5, 6, device=device), nn.GELU(), nn.Linear(6, 3, device=device))
        for device in ("cpu", "hpu")
    ]
    x = torch.randn(4, 5)
    compiled = torch.compile(on_hpu, backend="hpu_backend")
    for _ in range(2):
        compiled(x.to("hpu"))
    assert not by_openvino[0].outdated
    on_hpu.load_state_dict(net.state_dict())
    assert by_openvino[0].outdated, "whether OpenVINO has copied the weights or not"
    torch.testing.assert_close(compiled(x.to("hpu")).cpu(), net(x), rtol=1e-5, atol=1e-5)
