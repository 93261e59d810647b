"""Nothing compiles while compiling is frozen, and the model is as it was."""

import pytest
import torch

import gaudi_lab
from gaudi_lab.measure.causes.freeze import Frozen


def switch_on(mode, net):
    gaudi_lab.mode("compile" if mode == "compile" else "lazy")
    gaudi_lab.attach(net, "net")
    if mode == "graphs":
        gaudi_lab.hpu_graphs(net)


@pytest.mark.parametrize(
    ("mode", "layer"), [("lazy", "recipe"), ("graphs", "HPU graph"), ("compile", "Dynamo")]
)
def test_a_compile_after_warm_up_raises_with_its_cause(mode, layer, net, workbench):
    switch_on(mode, net)
    x = torch.randn(6, 4)
    expected = net(x.to("hpu")).cpu()
    net(x.to("hpu")).cpu()
    before = {name: value.cpu() for name, value in net.state_dict().items()}
    with gaudi_lab.no_compiles():
        torch.testing.assert_close(net(x.to("hpu")).cpu(), expected)
        with pytest.raises(Frozen, match="6×4 → 7×4") as refused:
            net(torch.randn(7, 4).to("hpu")).cpu()
        torch.testing.assert_close(net(x.to("hpu")).cpu(), expected)
    assert refused.value.layer == layer
    assert refused.value.cause.differences
    assert {name: value.cpu().tolist() for name, value in net.state_dict().items()} == {
        name: value.tolist() for name, value in before.items()
    }
    assert net(torch.randn(7, 4).to("hpu")).cpu().shape == (7, 2)


def test_the_refusal_says_what_to_change_and_how_to_end_it(net, workbench):
    switch_on("lazy", net)
    net(torch.randn(11, 4).to("hpu")).cpu()
    gaudi_lab.freeze()
    with pytest.raises(Frozen) as refused:
        net(torch.randn(10, 4).to("hpu")).cpu()
    assert "drop_last=True" in str(refused.value)
    assert "gaudi_lab.freeze(False)" in str(refused.value)
    assert "%gaudi_freeze off" in refused.value.for_notebook()
    gaudi_lab.freeze(False)
    net(torch.randn(10, 4).to("hpu")).cpu()


def test_freezing_twice_is_ended_once(net, workbench):
    gaudi_lab.freeze()
    gaudi_lab.freeze()
    gaudi_lab.freeze(False)
    switch_on("lazy", net)
    net(torch.randn(13, 4).to("hpu")).cpu()
