import pytest
import torch

import gaudi_lab
from gaudi_lab.errors import LabError
from gaudi_lab.instruments.calls import is_compiled
from gaudi_lab.settings import Mode, Settings


def test_mode_shows_and_sets_and_goes_back(workbench):
    assert gaudi_lab.mode() is Mode.EAGER
    with gaudi_lab.mode("lazy") as handle:
        assert gaudi_lab.mode() is Mode.LAZY
        assert repr(handle).startswith("eager → lazy")
    assert gaudi_lab.mode() is Mode.EAGER


def test_leaving_lazy_inside_compile_goes_back_to_compile(net):
    gaudi_lab.attach(net, "net")
    gaudi_lab.mode("compile")
    with gaudi_lab.mode("lazy"):
        pass
    assert gaudi_lab.mode() is Mode.COMPILE


def test_apply_sets_every_switch_and_goes_back(bert, workbench):
    gaudi_lab.attach(bert, "bert")
    gaudi_lab.mode("compile")
    gaudi_lab.mode("eager")
    with gaudi_lab.apply(Settings(Mode.LAZY, hpu_graphs=True, fused_sdpa=True, recompute=False)):
        assert str(workbench.models["bert"].settings) == "lazy + HPU graphs + FusedSDPA (no recompute)"
    assert workbench.models["bert"].settings == workbench.settings == Settings()


def test_a_switch_attaches_its_model_and_its_handle_moves_only_that_switch_back(bert, workbench):
    gaudi_lab.mode("lazy")
    graphs = gaudi_lab.hpu_graphs(bert)
    fused = gaudi_lab.fused_sdpa(bert, recompute=True)
    (attached,) = workbench.models.values()
    graphs.remove()
    assert (attached.settings.hpu_graphs, attached.settings.fused_sdpa) == (False, True)
    fused.remove()
    assert (attached.settings.fused_sdpa, attached.settings.recompute) == (False, None)


def test_compile_compiles_the_model_in_place(net, workbench):
    with gaudi_lab.compile(net):
        assert workbench.status().models[0].settings.mode is Mode.COMPILE
        assert is_compiled(net)
    assert not is_compiled(net)


def test_without_a_model_a_switch_says_how_to_attach_one(workbench):
    with pytest.raises(LabError, match=r"No model is attached. Run: gaudi_lab.attach\(model\)"):
        gaudi_lab.fused_sdpa()


def test_detaching_takes_a_model_or_its_name(net, workbench):
    gaudi_lab.attach(net, "net")
    gaudi_lab.detach(net)
    gaudi_lab.attach(net, "net")
    gaudi_lab.detach("net")
    assert not workbench.models
    with pytest.raises(LabError, match="This Sequential is not attached"):
        gaudi_lab.detach(net)


def test_warmup_sees_the_attached_models(net, workbench):
    gaudi_lab.attach(net, "net")
    gaudi_lab.mode("lazy")
    batches = [torch.randn(rows, 4, device="hpu") for rows in (3, 3, 2)]
    timeline = gaudi_lab.warmup(net, n=2, over=batches)
    compiled = [iteration.compilations > 0 for iteration in timeline.iterations]
    assert compiled == [True, False, True, False, False, False]
    assert [shape.dims for i in timeline.iterations for shape in i.new_shapes] == [(3, 4), (2, 4)]
    assert timeline.settings == "lazy"
    assert timeline.emulated


def test_what_is_refused_leaves_a_model_off_the_workbench_and_what_it_was_called_with(net, workbench):
    x = torch.ones(1, 4, device="hpu")
    for off in (False, True):
        for switch in (gaudi_lab.hpu_graphs, gaudi_lab.fused_sdpa):
            with pytest.raises(LabError):
                switch(net)
        with pytest.raises(LabError):
            gaudi_lab.use_operator("rms_norm", net, inputs=x)
        assert not workbench.models
        assert (net in workbench.kept_off) is off
        gaudi_lab.attach(net, "net")
        with pytest.raises(LabError):
            gaudi_lab.use_operator("rms_norm", net, inputs=x)
        assert not workbench.models["net"].was_called
        gaudi_lab.detach(net)


def test_what_cannot_be_attached_is_refused_and_stays_off(net, workbench):
    gaudi_lab.attach(net)
    gaudi_lab.detach(net)
    with pytest.raises(LabError, match="on cpu, not on hpu"):
        gaudi_lab.attach(net.to("cpu"))
    assert net in workbench.kept_off
    with pytest.raises(LabError, match="A int is not a model"):
        gaudi_lab.attach(3)


def test_an_operator_that_there_is_not_is_answered_with_those_there_are(workbench):
    with pytest.raises(LabError, match="no operator rmsnorm; there are fused_sdpa, rms_norm, "):
        gaudi_lab.operators()["rmsnorm"]
