"""What a compile-only warm-up leaves on a model is reported, with the line that made it."""

import warnings

import pytest
import torch
from torch import nn

import gaudi_lab
from gaudi_lab import bridge
from gaudi_lab.instruments.uncomputed import watch_uncomputed


class Keeps(nn.Module):
    """Sets a buffer and an attribute anew, and writes another buffer in place."""

    last = None

    def __init__(self):
        super().__init__()
        self.register_buffer("total", torch.zeros(3))
        self.register_buffer("written", torch.zeros(3))
        self.register_buffer("given", torch.zeros(3))

    def forward(self, x):
        self.total = self.total + x
        self.last = x.mean()
        self.written.add_(x)
        self.given = torch.ones(3).to("hpu")
        self.count = 4
        return self.total * 2


FIRST = Keeps.forward.__code__.co_firstlineno


@pytest.fixture
def keeps(workbench):
    bridge.set_lazy(True)
    return Keeps().to("hpu")


def warm_up(module, x):
    from habana_frameworks.torch.core import mark_step
    from habana_frameworks.torch.internal import bridge_config

    mark_step()  # what is pending now would not be computed either
    with bridge_config.env_setting("PT_COMPILE_ONLY_MODE", True), torch.no_grad():
        result = module(x)
        mark_step()
    return result


def test_results_that_nothing_computed_are_seen(keeps):
    x = torch.ones(3, device="hpu")
    result = warm_up(keeps, x)
    assert result.isnan().all()
    assert keeps.written.tolist() == [0.0] * 3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.complex64])
def test_whatever_dtype_has_nan_shows_it(workbench, dtype):
    bridge.set_lazy(True)
    x = torch.ones(2, 3, dtype=dtype, device="hpu")
    found = warm_up(lambda x: (x + 1, (x[:1] * 2).expand(4, 3), x[:0] + 1), x)
    assert all(y.isnan().all() for y in found)
    assert [tuple(y.shape) for y in found] == [(2, 3), (4, 3), (0, 3)]


def test_a_lasting_write_is_named_with_its_line_before_it_is_used(keeps):
    x = torch.ones(3, device="hpu")
    with watch_uncomputed(keeps) as watch:
        warm_up(keeps, x)
        values = {value.name: value.line for value in watch.values}
        assert values == {"total": f"{__file__}:{FIRST + 1}", "last": f"{__file__}:{FIRST + 2}"}
        with pytest.warns(UserWarning, match="never computed") as told:
            keeps(x)
        assert len(told) == 2
        assert f"total holds a value that was never computed, made in {__file__}:{FIRST + 1}" in str(
            told[0].message
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            keeps(x)  # once is enough


def test_what_was_set_back_is_not_reported(keeps):
    x = torch.ones(3, device="hpu")
    with watch_uncomputed(keeps) as watch:
        warm_up(keeps, x)
        keeps.total, keeps.last = torch.zeros(3, device="hpu"), None
        assert watch.values == ()
        assert keeps(x).tolist() == [2.0] * 3


def test_what_was_recorded_meanwhile_and_computed_later_is_not_reported(keeps):
    """Lazy mode computes when a value is read, and that may be after the mode is off again."""
    from habana_frameworks.torch.internal import bridge_config

    with watch_uncomputed(keeps) as watch, torch.no_grad():
        with bridge_config.env_setting("PT_COMPILE_ONLY_MODE", True):
            keeps(torch.ones(3, device="hpu"))
        assert watch.values == ()
        assert keeps.total.tolist() == [1.0] * 3


def test_a_model_that_keeps_nothing_is_left_in_peace(net, workbench):
    bridge.set_lazy(True)
    before = dict(vars(net))
    with watch_uncomputed(net) as watch:
        warm_up(net, torch.ones(3, 4, device="hpu"))
        assert watch.values == ()
        assert net(torch.ones(3, 4, device="hpu")).isfinite().all()
    assert vars(net) == before


@pytest.mark.parametrize("graphs", [False, True])
@pytest.mark.filterwarnings("ignore:Gaudi Lab. a call of .* runs without a graph")
def test_the_status_of_an_attached_model_shows_it(keeps, workbench, graphs):
    workbench.attach(keeps, "keeps")
    if graphs:
        gaudi_lab.hpu_graphs("keeps")
    warm_up(keeps, torch.ones(3, device="hpu"))
    names = [value.name for value in workbench.status().models[0].uncomputed]
    assert sorted(names) == ["last", "total"]
    assert "keeps: total holds a value that was never computed" in repr(workbench.status())
    before = workbench.detach("keeps")
    assert before
    assert "_compiled_call_impl" not in vars(keeps)
