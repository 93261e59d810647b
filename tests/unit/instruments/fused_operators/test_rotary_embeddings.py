import pytest
import torch
from torch import nn

from gaudi_lab.instruments.fused_operators.class_layers import StandIns
from gaudi_lab.instruments.fused_operators.place import NOT_CALLED
from gaudi_lab.instruments.fused_operators.rotary_embeddings import HALVES, NEIGHBOURS, ROTARY

pytestmark = pytest.mark.usefixtures("workbench")


def half_turned(x):
    first, second = x.chunk(2, -1)
    return torch.cat((-second, first), -1)


def by_halves(query, key, cos, sin):
    cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
    return query * cos + half_turned(query) * sin, key * cos + half_turned(key) * sin


def neighbour_turned(x):
    return torch.stack((-x[..., 1::2], x[..., ::2]), -1).flatten(-2)


def by_neighbours(query, key, cos, sin):
    cos, sin = cos.unsqueeze(2), sin.unsqueeze(2)
    return query * cos + neighbour_turned(query) * sin, key * cos + neighbour_turned(key) * sin


def backwards(query, key, cos, sin):
    cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
    return query * cos - half_turned(query) * sin, key * cos - half_turned(key) * sin


class Halves(nn.Module):
    def forward(self, query, key, cos, sin):
        return by_halves(query, key, cos, sin)


class Neighbours(nn.Module):
    def forward(self, query, key, cos, sin):
        return by_neighbours(query.transpose(1, 2), key.transpose(1, 2), cos, sin)


class Backwards(nn.Module):
    def forward(self, query, key, cos, sin):
        return backwards(query, key, cos, sin)


def data(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, 4, 3, 8), (2, 2, 3, 8), (2, 3, 8), (2, 3, 8)]
    return [torch.randn(shape, generator=generator).to("hpu", dtype) for shape in shapes]


def find(module, dtype=torch.float32):
    model = nn.ModuleDict({"a": module, "b": type(module)()})
    return ROTARY.find(model, lambda: model["a"](*data(dtype)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("module", "heads_at", "pairs"), [(Halves(), 1, HALVES), (Neighbours(), 2, NEIGHBOURS)]
)
def test_it_is_recognised_by_what_it_computes(module, heads_at, pairs, dtype):
    places = find(module, dtype)
    layer = places[0].layer
    assert (layer.heads_at, layer.pairs, layer.gradients) == (heads_at, pairs, True)
    assert "do not reach it" in places[1].reason
    before = module(*data(dtype))
    with StandIns().put(module, layer):
        after = module(*data(dtype))
    for a, b in zip(after, before, strict=True):
        torch.testing.assert_close(a.cpu(), b.cpu(), rtol=0, atol=4 * torch.finfo(dtype).eps)


def test_what_computes_something_else_is_refused():
    places = find(Backwards())
    assert [place.layer for place in places] == [None, None]
    assert "something else" in places[0].reason


def test_nothing_is_established_without_a_run():
    (place,) = ROTARY.find(nn.ModuleDict({"a": Halves()}), None)
    assert place.reason == NOT_CALLED


def test_only_the_switched_module_calls_the_kernel(monkeypatch):
    from gaudi_lab import bridge

    kernel, modes = bridge.fused_rotary()
    calls = []

    def noting(*args):
        calls.append(args)
        return kernel(*args)

    one, other = Halves(), Halves()
    (place, *_) = find(one)
    monkeypatch.setattr(bridge, "fused_rotary", lambda: (noting, modes))
    with StandIns().put(one, place.layer):
        other(*data())
        assert not calls
        one(*data())
        assert len(calls) == 2
    one(*data())
    assert len(calls) == 2
    assert by_halves in Halves.forward.__globals__.values()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda q, k, c, s: (q[:0], k[:0], c[:0], s[:0]), "empty"),
        (lambda q, k, c, s: (q.to(torch.bfloat16), k, c, s), "one dtype"),
        (lambda q, k, c, s: (q, k, c[:, :1], s[:, :1]), "another batch or length"),
    ],
)
def test_a_call_that_does_not_suit_runs_as_before(change, reason):
    module, stand_ins = Halves(), StandIns()
    (place, *_) = find(module)
    given = change(*data())
    before = module(*given)
    with stand_ins.put(module, place.layer):
        after = module(*given)
    assert all(
        torch.equal(a.cpu(), b.cpu()) and a.dtype == b.dtype for a, b in zip(after, before, strict=True)
    )
    assert [reason in told for _, told in stand_ins.plain_calls] == [True]


def test_gradients_are_those_of_the_function():
    module = Halves()
    (place, *_) = find(module)

    def gradients():
        query, key, cos, sin = data()
        query.requires_grad_()
        turned, _ = module(query, key, cos, sin)
        return torch.autograd.grad(turned.square().sum(), query)[0].cpu()

    before = gradients()
    with StandIns().put(module, place.layer):
        torch.testing.assert_close(gradients(), before, rtol=1e-5, atol=1e-5)
