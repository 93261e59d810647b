import copy

import cloudpickle
import pytest
import torch

from gaudi_lab import api, bridge
from gaudi_lab.settings import Mode
from gaudi_lab.workbench import lab
from gaudi_lab.workbench.travelling import WorkbenchTravels, unpack


def switches(workbench):
    return {name: (m.settings, m.requested) for name, m in workbench.models.items()}


@pytest.fixture
def lazy_with_graphs(workbench, net):
    bridge.set_lazy(True)
    api.attach(net, "net")
    api.hpu_graphs("net")
    return net


def test_packing_leaves_nothing_on_the_model_and_staying_brings_it_back(workbench, lazy_with_graphs, net):
    net_before = dict(vars(lazy_with_graphs))
    before = switches(workbench)
    travels = WorkbenchTravels()
    packed = travels.pack()
    assert not workbench.models
    assert "forward" not in vars(lazy_with_graphs)
    assert {"the workbench", "the switches of net"} == packed.keys()
    travels.stay()
    assert switches(workbench) == before
    assert vars(lazy_with_graphs).keys() == net_before.keys()


def test_a_model_that_is_given_up_stays_and_the_others_come(workbench, net):
    other = copy.deepcopy(net)
    api.attach(net, "net")
    api.attach(other, "other")
    travels = WorkbenchTravels()
    packed = travels.pack(given_up=[net])
    assert {"the workbench", "the switches of other"} == packed.keys()
    travels.stay()
    assert list(workbench.models) == ["net", "other"]


def test_an_interrupt_while_it_is_packed_takes_nothing_off(workbench, lazy_with_graphs, net, monkeypatch):
    api.attach(other := copy.deepcopy(net), "other")
    before = switches(workbench)
    entry, cleared = workbench.get("other"), []

    def interrupted():
        cleared.append(entry)
        if len(cleared) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(entry, "clear", interrupted)
    travels = WorkbenchTravels()
    with pytest.raises(KeyboardInterrupt):
        travels.pack()
    travels.stay()
    assert switches(workbench) == before
    assert workbench.get("other").model is other


def test_what_another_mode_has_not_waits_for_its_mode(workbench, lazy_with_graphs):
    packed = WorkbenchTravels(Mode.EAGER).pack()
    bridge.set_lazy(False)
    told = unpack(packed)
    assert told == ["net: HPU graphs off until lazy mode returns"]
    assert not workbench.get("net").settings.hpu_graphs
    packed = WorkbenchTravels(Mode.LAZY).pack()
    bridge.set_lazy(True)
    assert unpack(packed) == ["net: HPU graphs on"]


def test_what_a_model_asked_for_before_it_was_attached_comes_back_when_it_is_detached(workbench, net):
    entered = workbench.entries.enter(net)
    workbench.entries.request(entered, api.FUSED_SDPA, on=False)
    api.attach(net, "net")
    api.compile("net")
    travels = WorkbenchTravels()
    travels.pack()
    travels.stay()
    assert workbench.mode is Mode.EAGER
    assert workbench.get("net").settings.mode is Mode.COMPILE
    workbench.detach("net")
    assert entered.requested.mode is Mode.EAGER


def test_freezing_comes_along(workbench, net):
    api.attach(net, "net")
    api.freeze()
    packed = WorkbenchTravels().pack()
    assert not workbench.compiles.frozen
    unpack(packed)
    assert workbench.compiles.frozen
    api.freeze(on=False)


def test_a_model_that_cannot_be_attached_is_told_and_stops_no_other(workbench, net):
    other = copy.deepcopy(net)
    api.attach(net, "net")
    api.attach(other, "other")
    packed = WorkbenchTravels().pack()
    net.to("cpu")
    (told,) = unpack(packed)
    assert told.startswith("net is not attached any more: ")
    assert list(workbench.models) == ["other"]


def test_a_models_entry_is_saved_without_what_is_installed_and_not_while_something_is(workbench, net):
    api.attach(net, "net")
    entry = workbench.get("net")
    with pytest.raises(RuntimeError, match="net has switches on"):
        cloudpickle.dumps(entry)
    workbench.detach("net")
    entry.model, entry.components = "a model", {}
    copied = cloudpickle.loads(cloudpickle.dumps(entry))
    assert copied.requested == entry.requested
    lab.current().entries.adopt(copied)
    assert torch.is_tensor(net.get_parameter("0.weight"))
