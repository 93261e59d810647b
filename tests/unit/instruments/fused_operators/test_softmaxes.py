import threading

import pytest
import torch
from torch import nn
from torch.nn import functional

from gaudi_lab import bridge
from gaudi_lab.instruments.fused_operators.class_layers import StandIns
from gaudi_lab.instruments.fused_operators.softmaxes import SOFTMAX

pytestmark = pytest.mark.usefixtures("workbench")


class Scores(nn.Module):
    def __init__(self, soften):
        super().__init__()
        self.soften = soften

    def forward(self, x):
        return self.soften(x)


WAYS = {
    "functional": lambda x: functional.softmax(x, dim=-1),
    "wider": lambda x: functional.softmax(x, dim=-1, dtype=torch.float32).to(x.dtype),
    "torch": lambda x: torch.softmax(x, 2),
    "method": lambda x: x.softmax(-1),
}
X = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def calls(monkeypatch):
    kernel, made = bridge.fused_softmax(), []

    class Noting:
        @staticmethod
        def apply(*args):
            made.append(args[0].shape)
            return kernel.apply(*args)

    monkeypatch.setattr(bridge, "fused_softmax", lambda: Noting)
    return made


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("way", WAYS)
def test_it_is_found_however_it_is_called(way, dtype, calls):
    model, x = nn.Sequential(nn.Identity(), Scores(WAYS[way])), X.to("hpu", dtype)
    (place,) = SOFTMAX.find(model, lambda: model(x))
    assert (place.path, place.kind, place.layer.gradients) == ("1", "Scores", True)
    before = model(x).cpu()
    calls.clear()
    with StandIns().put(model[1], place.layer):
        after = model(x).cpu()
        assert calls == [X.shape]
    torch.testing.assert_close(after, before)


def test_over_another_dimension_it_is_refused():
    model = Scores(lambda x: torch.softmax(x, 1))
    (place,) = SOFTMAX.find(model, lambda: model(X.to("hpu")))
    assert place.layer is None
    assert "last dimension" in place.reason


def test_a_call_that_does_not_suit_runs_as_before():
    model, stand_ins = Scores(WAYS["functional"]), StandIns()
    (place,) = SOFTMAX.find(model, lambda: model(X.to("hpu")))
    with stand_ins.put(model, place.layer):
        empty = model(X[:0].to("hpu"))
        model(X)
    assert empty.shape == (0, 3, 5)
    assert sorted(reason for _, reason in stand_ins.plain_calls) == [
        "the data are empty",
        "the data are not on hpu",
    ]


def test_other_threads_and_other_modules_do_not_see_it(calls):
    other = Scores(WAYS["functional"])

    def soften(x):
        calls.clear()
        thread = threading.Thread(target=lambda: other(x))
        thread.start()
        thread.join()
        return functional.softmax(x, -1)

    model = Scores(soften)
    (place,) = SOFTMAX.find(model, lambda: model(X.to("hpu")))
    with StandIns().put(model, place.layer):
        model(X.to("hpu"))
        assert len(calls) == 1
        other(X.to("hpu"))
    assert len(calls) == 1


def test_a_model_without_softmax_has_no_place(net):
    assert SOFTMAX.find(net, lambda: net(torch.ones(1, 4).to("hpu"))) == []
