import pytest
import torch
from torch import nn

from gaudi_lab import bridge
from gaudi_lab.errors import LabError, LabValueError
from gaudi_lab.instruments.calls import is_compiled
from gaudi_lab.settings import COMPILE, Mode, Settings, combinations


def visible(module):
    """What the issue promises to leave as it was: attributes, forward, state."""
    return (
        set(vars(module)),
        module.forward,
        {name: id(t) for name, t in module.state_dict(keep_vars=True).items()},
    )


def test_every_valid_combination_gives_the_same_answer(bert, workbench):
    ids = torch.arange(12).reshape(2, 6)
    expected = bert(ids.to("hpu")).pooler_output.cpu()
    workbench.attach(bert, "bert")
    # Eager in between, since compile is not reached from lazy.
    for settings in sorted(combinations(), key=lambda s: s.mode is Mode.LAZY):
        workbench.apply(settings)
        assert workbench.models["bert"].settings == settings
        torch.testing.assert_close(bert(ids.to("hpu")).pooler_output.cpu(), expected, atol=1e-5, rtol=0)


def test_closing_leaves_the_model_as_it_was(bert, workbench):
    before, config = visible(bert), dict(vars(bert.config))
    workbench.attach(bert, "bert")
    workbench.apply(Settings(Mode.LAZY, hpu_graphs=True, fused_sdpa=True))
    bert(torch.arange(6)[None].to("hpu"))
    assert visible(bert) != before
    workbench.close()
    assert visible(bert) == before
    assert vars(bert.config) == config
    assert not workbench.models


def test_graphs_go_off_with_lazy_mode_and_come_back_with_it(net, workbench):
    workbench.attach(net, "net")
    workbench.apply(Settings(Mode.LAZY, hpu_graphs=True))
    left = workbench.change(mode=Mode.EAGER).change
    assert not workbench.models["net"].settings.hpu_graphs
    assert "clear_cache" not in vars(net)
    assert "net: HPU graphs off until lazy mode returns" in str(left)
    workbench.change(mode=Mode.LAZY)
    assert workbench.models["net"].settings.hpu_graphs
    assert "clear_cache" in vars(net)


def test_graphs_taken_off_meanwhile_stay_off(net, workbench):
    workbench.attach(net, "net")
    workbench.apply(Settings(Mode.LAZY, hpu_graphs=True))
    workbench.change(mode=Mode.EAGER)
    workbench.change(hpu_graphs=False)
    workbench.change(mode=Mode.LAZY)
    assert not workbench.models["net"].settings.hpu_graphs


@pytest.mark.parametrize("mode", [Mode.EAGER, Mode.COMPILE])
def test_graphs_outside_lazy_mode_are_refused_and_nothing_changes(net, workbench, mode):
    workbench.attach(net, "net")
    workbench.change(mode=mode)
    before, attributes = workbench.models["net"].settings, set(vars(net))
    with pytest.raises(LabError, match="only in lazy mode"):
        workbench.change(hpu_graphs=True)
    assert workbench.models["net"].settings == before
    assert set(vars(net)) == attributes
    workbench.change(mode=Mode.EAGER)
    workbench.change(mode=Mode.LAZY)
    assert not workbench.models["net"].settings.hpu_graphs


def test_compile_is_one_step_from_lazy_mode_and_back(net, workbench):
    workbench.attach(net, "net")
    workbench.change(mode=Mode.LAZY, hpu_graphs=True)
    handle = workbench.change(mode=Mode.COMPILE)
    assert workbench.mode is Mode.COMPILE
    assert not bridge.is_lazy()
    assert workbench.models["net"].settings == Settings(Mode.COMPILE)
    handle.remove()
    assert bridge.is_lazy()
    assert workbench.models["net"].settings == Settings(Mode.LAZY, hpu_graphs=True)


def test_compile_of_one_model_takes_the_others_out_of_lazy_mode_and_no_further(net, bert, workbench):
    workbench.attach(net, "net")
    workbench.attach(bert, "bert")
    workbench.change(mode=Mode.LAZY)
    workbench.change(["net"], mode=Mode.COMPILE)
    assert {name: m.settings.mode for name, m in workbench.models.items()} == {
        "net": Mode.COMPILE,
        "bert": Mode.EAGER,
    }


def test_the_switch_of_compile_is_refused_in_lazy_mode_and_nothing_changes(net, workbench):
    workbench.attach(net, "net")
    workbench.change(mode=Mode.LAZY)
    with pytest.raises(LabError, match="needs eager mode"):
        workbench.switch(COMPILE, True)
    assert workbench.mode is Mode.LAZY
    assert bridge.is_lazy()


def test_a_change_that_fails_half_way_is_taken_back(net, bert, workbench, monkeypatch):
    workbench.attach(net, "net")
    workbench.attach(bert, "bert")
    before = {name: (a.settings, set(vars(a.model))) for name, a in workbench.models.items()}
    put_on = type(workbench.models["bert"]).put_on

    def failing(attached, settings):
        if attached.name == "bert" and settings.hpu_graphs:
            raise RuntimeError("no room")
        put_on(attached, settings)

    monkeypatch.setattr(type(workbench.models["bert"]), "put_on", failing)
    with pytest.raises(RuntimeError, match="no room"):
        workbench.apply(Settings(Mode.LAZY, hpu_graphs=True))
    assert {name: (a.settings, set(vars(a.model))) for name, a in workbench.models.items()} == before
    assert workbench.mode is Mode.EAGER
    assert not bridge.is_lazy()


def test_switches_of_one_model_leave_the_others_alone(net, bert, workbench):
    workbench.attach(net, "net")
    workbench.attach(bert, "bert")
    workbench.change(mode=Mode.LAZY)
    workbench.change(["net"], hpu_graphs=True)
    assert workbench.models["net"].settings.hpu_graphs
    assert not workbench.models["bert"].settings.hpu_graphs


def test_a_model_attached_later_gets_the_switches_of_all(net, bert, workbench):
    workbench.attach(bert, "bert")
    workbench.apply(Settings(Mode.LAZY, hpu_graphs=True, fused_sdpa=True))
    workbench.attach(net, "net")
    # It has no attention to switch.
    assert workbench.models["net"].settings == Settings(Mode.LAZY, hpu_graphs=True)


def test_a_switch_that_is_refused_leaves_captured_graphs(net, workbench):
    workbench.attach(net, "net")
    workbench.apply(Settings(Mode.LAZY, hpu_graphs=True))
    net(torch.randn(2, 4).to("hpu")).cpu()
    captured = workbench.models["net"].captured()
    assert captured
    with pytest.raises(LabError, match="net has no attention that can be switched"):
        workbench.change(fused_sdpa=True)
    assert workbench.models["net"].captured() == captured


def test_models_without_attention_are_left_out_and_named(net, bert, workbench):
    workbench.attach(net, "net")
    workbench.attach(bert, "bert")
    change = workbench.change(fused_sdpa=True).change
    assert "net has no attention to switch" in change.notes
    assert workbench.models["bert"].settings.fused_sdpa
    with pytest.raises(LabError, match="no attention that can be switched"):
        workbench.change(["net"], fused_sdpa=True)
    assert not workbench.models["net"].settings.fused_sdpa


def test_graphs_are_captured_anew_when_attention_changes(bert, workbench):
    ids = torch.arange(6)[None].to("hpu")
    workbench.attach(bert, "bert")
    workbench.apply(Settings(Mode.LAZY, hpu_graphs=True))
    bert(ids)
    assert len(workbench.models["bert"].captured()) == 1
    workbench.change(fused_sdpa=True)
    assert workbench.models["bert"].captured() == ()


def test_a_graph_captured_without_padding_respects_padding_later(bert, workbench):
    ids = torch.arange(12).reshape(2, 6).to("hpu")
    full, padded = torch.ones(2, 6, dtype=torch.long), torch.ones(2, 6, dtype=torch.long)
    padded[0, 3:] = 0
    expected = bert(ids, attention_mask=padded.to("hpu")).pooler_output.cpu()
    workbench.attach(bert, "bert")
    workbench.apply(Settings(Mode.LAZY, hpu_graphs=True))
    bert(ids, attention_mask=full.to("hpu"))
    found = bert(ids, attention_mask=padded.to("hpu")).pooler_output.cpu()
    assert workbench.models["bert"].captured()[0].replays == 1
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_softmax_on_a_float_model_is_on_but_said_to_wait_for_autocast(bert, workbench):
    workbench.attach(bert, "bert")
    change = workbench.change(fused_sdpa=True, softmax="fast").change
    assert any("takes effect under autocast only" in note for note in change.notes)


def test_subscribers_hear_of_every_change_until_they_leave(net, workbench):
    heard = []
    subscription = workbench.subscribe(heard.append)
    workbench.attach(net, "net")
    workbench.change(mode=Mode.LAZY)
    workbench.change(mode=Mode.LAZY)  # changes nothing
    subscription.remove()
    workbench.change(mode=Mode.EAGER)
    assert [(c.before, c.after, [m.name for m in c.models]) for c in heard] == [
        (Mode.EAGER, Mode.EAGER, ["net"]),
        (Mode.EAGER, Mode.LAZY, ["net"]),
    ]


def test_an_unknown_name_lists_those_attached(net, workbench):
    workbench.attach(net, "net")
    with pytest.raises(LabValueError, match=r"No attached model is called 'nett' \(attached: net\)"):
        workbench.change(["nett"], hpu_graphs=False)


def test_a_model_not_on_the_device_is_refused_and_not_attached(workbench):
    with pytest.raises(LabError, match=r'judge is on cpu, not on hpu. Run: judge.to\("hpu"\)'):
        workbench.attach(nn.Linear(2, 2), "judge")
    assert not workbench.models


def test_a_name_given_again_detaches_what_had_it(net, bert, workbench):
    workbench.attach(net, "model")
    workbench.apply(Settings(Mode.LAZY, hpu_graphs=True))
    workbench.attach(bert, "model")
    assert workbench.models["model"].model is bert
    assert "forward" not in vars(net)


def test_a_model_that_is_named_anew_keeps_its_switches_and_its_handles(net, bert, workbench):
    workbench.change(mode=Mode.LAZY)
    attached, other = workbench.attach(net), workbench.attach(bert, "net")
    graphs = workbench.change(["sequential"], hpu_graphs=True)
    named = workbench.attach(net, "net")
    assert "sequential is called net now" in str(named)
    assert {name: m.model for name, m in workbench.models.items()} == {"net": net}
    assert workbench.models["net"].settings.hpu_graphs
    named.remove()
    assert list(workbench.models) == ["sequential"]
    assert workbench.models["sequential"].settings.hpu_graphs
    workbench.attach(net, "net")
    graphs.remove()
    other.remove()
    assert workbench.models["net"].settings == Settings(Mode.LAZY)
    attached.remove()
    assert not workbench.models
    assert "forward" not in vars(net)


def test_names_are_made_up_from_the_class(net, workbench):
    workbench.attach(net)
    workbench.attach(nn.Sequential(nn.Linear(2, 2)).to("hpu"))
    assert list(workbench.models) == ["sequential", "sequential_2"]


def test_status_tells_graphs_by_shape_with_their_replays(net, workbench):
    workbench.attach(net, "net")
    workbench.apply(Settings(Mode.LAZY, hpu_graphs=True))
    for rows in (3, 3, 2):
        net(torch.randn(rows, 4, device="hpu"))
    status = workbench.status()
    (model,) = status.models
    assert (model.name, model.kind, model.device, model.parameters) == ("net", "Sequential", "hpu", 58)
    assert [(g.shapes[0].dims, g.replays) for g in model.graphs] == [((3, 4), 1), ((2, 4), 0)]
    assert status.emulated
    assert status.mode is Mode.LAZY


def test_a_model_has_the_switches_of_one_at_a_time(net, workbench):
    """What was attached first would put a second graph around the same module."""
    workbench.attach(net, "net")
    workbench.apply(Settings(Mode.LAZY, hpu_graphs=True))
    holder = type("Trainer", (), {"model": net})()
    workbench.attach(holder, "holder")
    assert list(workbench.models) == ["holder"]
    net(torch.randn(3, 4, device="hpu"))
    assert len(workbench.models["holder"].captured()) == 1
    workbench.detach("holder")
    assert "forward" not in vars(net)


def test_notes_are_told_although_nothing_changed(net, bert, workbench):
    workbench.attach(bert, "bert")
    workbench.change(fused_sdpa=True)
    workbench.attach(net, "net")
    heard = []
    with workbench.subscribe(heard.append):
        change = workbench.change(fused_sdpa=True).change
    assert change
    assert heard == [change]
    assert "net has no attention to switch" in str(change)


def test_models_that_went_along_with_a_flip_come_back_as_they_were(net, bert, workbench):
    workbench.attach(net, "net")
    workbench.attach(bert, "bert")
    workbench.change(["bert"], mode=Mode.COMPILE)
    with workbench.change(["net"], mode=Mode.LAZY):
        assert workbench.models["bert"].settings.mode is Mode.LAZY
    assert workbench.models["bert"].settings.mode is Mode.COMPILE
    assert workbench.models["net"].settings.mode is Mode.EAGER


def test_compile_off_in_lazy_mode_does_not_end_it(net, workbench):
    workbench.attach(net, "net")
    workbench.change(mode=Mode.LAZY)
    assert not workbench.switch(COMPILE, False).change
    assert workbench.mode is Mode.LAZY


def test_a_flip_of_the_mode_reads_the_mode_once(net, workbench, monkeypatch):
    workbench.attach(net, "net")
    read, is_lazy = [], bridge.is_lazy
    monkeypatch.setattr(bridge, "is_lazy", lambda: read.append(1) or is_lazy())
    workbench.change(mode=Mode.LAZY)
    assert len(read) == 1


def test_options_of_compile_come_back_when_another_mode_is_taken_back(net, workbench):
    workbench.attach(net, "net")
    workbench.change(mode=Mode.COMPILE, dynamic=True)
    with workbench.change(mode=Mode.EAGER):
        assert workbench.models["net"].settings == Settings(Mode.EAGER)
    assert workbench.models["net"].settings == Settings(Mode.COMPILE, dynamic=True)
    with workbench.change(mode=Mode.LAZY):
        assert workbench.models["net"].settings == Settings(Mode.LAZY)
    assert workbench.models["net"].settings == Settings(Mode.COMPILE, dynamic=True)


def test_an_option_that_the_backend_does_not_have_changes_nothing(net, workbench):
    workbench.attach(net, "net")
    workbench.change(mode=Mode.COMPILE, backend_options={"inference": True})
    with pytest.raises(LabError, match="no option speed"):
        workbench.change(["net"], backend_options=(("speed", 1),))
    expected = Settings(Mode.COMPILE, backend_options={"inference": True})
    assert workbench.models["net"].settings == expected
    assert is_compiled(net)


def test_the_switches_of_all_are_not_touched_by_those_of_one_in_another_mode(net, workbench):
    workbench.attach(net, "net")
    workbench.change(mode=Mode.COMPILE, dynamic=True)
    with workbench.change(["net"], mode=Mode.LAZY), workbench.change(["net"], hpu_graphs=True):
        assert workbench.mode is Mode.LAZY
    assert workbench.settings == Settings(Mode.COMPILE, dynamic=True)


def test_a_mode_changed_for_no_model_comes_back_too(workbench):
    with workbench.change([], mode=Mode.LAZY):
        assert bridge.is_lazy()
    assert not bridge.is_lazy()


def test_what_makes_way_for_a_while_comes_back_under_its_name_with_its_switches(net, bert, workbench):
    workbench.attach(net, "net")
    workbench.attach(bert, "bert")
    workbench.change(mode=Mode.LAZY)
    workbench.change(["net"], hpu_graphs=True)
    before = {name: (a.model, a.settings) for name, a in workbench.models.items()}
    holder = type("Trainer", (), {"model": net})()
    with workbench.attached(holder, "bert") as name:
        assert set(workbench.models) == {"bert", name}
        assert workbench.models[name].model is holder
    assert {name: (a.model, a.settings) for name, a in workbench.models.items()} == before
    workbench.detach("net")
    assert "forward" not in vars(net)


def test_what_is_no_position_of_the_switches_is_refused_with_one_that_is(workbench):
    with pytest.raises(
        LabValueError, match=r"'lazy' is not a position of all switches. Run: gaudi_lab.apply\("
    ):
        workbench.apply("lazy")
