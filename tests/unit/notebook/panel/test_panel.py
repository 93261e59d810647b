"""The panel's kernel side: what it shows, what it does, and that it leaves no trace."""

import html

import pytest
import torch

import gaudi_lab
from gaudi_lab import api
from gaudi_lab.errors import LabValueError
from gaudi_lab.instruments.calls import watch
from gaudi_lab.instruments.guard.graph_check import CHECKS
from gaudi_lab.notebook.panel import trial
from gaudi_lab.settings import Mode, Settings


def ask(panel, **request):
    """Do what the front end does; return what it would show as an error."""
    panel.receive(panel, {"id": "1", **request}, [])
    return panel.outcome["trouble"]


def switch(panel, name, of=0):
    return next(s for s in panel.settings["models"][of]["switches"] if s["value"] == name)


def mode(panel, name):
    return next(m for m in panel.settings["modes"] if m["value"] == name)


IDS = torch.arange(12).reshape(2, 6)


def test_requests_move_the_switches_of_the_workbench(panel, workbench):
    assert ask(panel, do="mode", value="lazy") == ""
    assert workbench.mode is Mode.LAZY
    ask(panel, do="hpu_graphs", model="bert", value=True)
    ask(panel, do="fused_sdpa", model="bert", value=True)
    ask(panel, do="recompute", model="bert", value="off")
    ask(panel, do="softmax", model="bert", value="fast")
    assert workbench.models["bert"].settings == Settings(Mode.LAZY, True, True, False, "fast")
    ask(panel, do="recompute", model="bert", value="")
    ask(panel, do="softmax", model="bert", value="")
    assert workbench.models["bert"].settings == Settings(Mode.LAZY, True, True)
    assert panel.settings["mode"] == "lazy"
    assert panel.settings["models"][0]["attention"][0]["text"] == "FusedSDPA"


def test_compiling_one_model_leaves_the_others(panel, net, workbench):
    workbench.attach(net, "net")
    ask(panel, do="compile", model="net", value=True)
    assert workbench.models["net"].settings.mode is Mode.COMPILE
    assert workbench.models["bert"].settings.mode is Mode.EAGER
    assert (switch(panel, "compile", 1)["on"], switch(panel, "compile", 0)["on"]) == (True, False)
    ask(panel, do="compile", model="net", value=False)
    assert workbench.models["net"].settings.mode is Mode.EAGER


def test_the_panel_follows_what_others_change(panel, net, workbench):
    gaudi_lab.mode("lazy")
    assert mode(panel, "lazy")["on"]
    workbench.attach(net, "net")
    assert [model["name"] for model in panel.settings["models"]] == ["bert", "net"]
    workbench.detach("net")
    assert [model["name"] for model in panel.settings["models"]] == ["bert"]


def test_two_panels_agree(panel, workbench):
    other = gaudi_lab.panel("bert")
    ask(other, do="fused_sdpa", model="bert", value=True)
    assert switch(panel, "fused_sdpa")["on"]
    assert panel.settings["models"] == other.settings["models"]
    other.close()


def test_a_panel_of_some_models_shows_no_others(panel, net, workbench):
    workbench.attach(net, "net")
    some = gaudi_lab.panel(net)
    assert [model["name"] for model in some.settings["models"]] == ["net"]
    assert "bert" not in repr(some)
    some.close()


def test_an_unknown_name_is_refused():
    with pytest.raises(LabValueError, match="nobody"):
        gaudi_lab.panel("nobody")


def test_what_cannot_be_switched_says_why_with_the_line_to_run(panel, net, workbench):
    workbench.attach(net, "net")
    assert switch(panel, "hpu_graphs")["reason"].endswith("Run: %gaudi_mode lazy")
    assert "no attention" in switch(panel, "fused_sdpa", 1)["reason"]
    reasons = {option["name"]: option["reason"] for option in panel.settings["models"][0]["options"]}
    assert "FusedSDPA is off" in reasons["recompute"]
    assert "HPU graphs is off" in reasons["verify"]
    assert "torch.compile is off" in reasons["dynamic"]
    assert "backend_options" not in reasons
    gaudi_lab.mode("lazy")
    assert switch(panel, "compile")["reason"].endswith("Run: %gaudi_mode eager")
    assert not mode(panel, "compile")["reason"]


def test_a_mode_of_another_process_says_so_beforehand_and_what_it_carries(panel):
    assert "a Gaudi needs a fresh process" in mode(panel, "lazy")["note"]
    gaudi_lab.mode("lazy")
    gaudi_lab.hpu_graphs("bert")
    assert "HPU graphs of bert go off and come back" in mode(panel, "eager")["note"]
    gaudi_lab.mode("eager")
    assert "HPU graphs of bert come back" in mode(panel, "lazy")["note"]


def test_where_the_bridge_keeps_its_mode_the_panel_asks_before_it_takes_a_fresh_process(panel, monkeypatch):
    from gaudi_lab import bridge
    from gaudi_lab.bridge import Identity
    from gaudi_lab.handover import survey
    from gaudi_lab.handover.snapshot import Left

    monkeypatch.setattr(bridge, "identity", lambda: Identity(False, "1.23.0"))
    sock = Left("sock", "sock is an open socket", "sock")
    bound = Left("b", "b is bound up with sock by objects that they share", "sock", because_of="sock")
    monkeypatch.setattr(survey, "survey", lambda *_: survey.Survey(("a", "b"), (sock, bound), ("sock",)))
    ask(panel, do="free", model="bert")
    assert panel.settings["badge"] == {"emulated": False, "text": "Intel Gaudi · bridge 1.23.0"}
    assert "In a fresh process" in mode(panel, "lazy")["note"]
    assert ask(panel, do="mode", value="lazy") == ""
    question = panel.settings["question"]
    assert question["title"] == "eager → lazy takes a fresh process"
    assert question["keeps"] == "2 names come along: a, b."
    assert question["left"] == ("sock is an open socket.",)
    assert question["go"] == "Go over without sock"
    assert mode(panel, "eager")["on"]
    asked = []
    monkeypatch.setattr(api, "mode", lambda *names, **options: asked.append((*names, options)))
    ask(panel, do="stay")
    assert panel.settings["question"] is None
    ask(panel, do="go")
    assert not asked
    ask(panel, do="mode", value="lazy")
    ask(panel, do="go")
    assert asked == [("lazy", {"drop": ("sock",)})]


@pytest.mark.parametrize(
    ("request_", "trouble"),
    [
        ({"do": "hpu_graphs", "model": "bert", "value": True}, "Run: %gaudi_mode lazy"),
        ({"do": "try", "model": "bert"}, "no input to try"),
        ({"do": "dance"}, "'dance'"),
        ({"do": "recompute", "model": "bert", "value": "maybe"}, "there are on, off"),
    ],
)
def test_what_fails_is_shown_and_changes_nothing(panel, workbench, request_, trouble):
    before = workbench.models["bert"].settings
    assert trouble in ask(panel, **request_)
    assert workbench.models["bert"].settings == before
    assert ask(panel, do="mode", value="eager") == ""


def test_calls_are_logged_with_what_was_new(panel, bert):
    gaudi_lab.mode("lazy")
    from habana_frameworks.torch.utils import debug

    debug._bridge_cleanup()  # another test may have compiled something close
    for rows in (2, 2, 1):
        bert(IDS[:rows].to("hpu")).pooler_output.cpu()
    panel.controller.end_cell()
    first, second, third = panel.calls
    assert (first["steady"], second["steady"], third["steady"]) == (False, True, False)
    assert first["shapes"] == "2×6"
    assert first["causes"].startswith("first call: ")
    assert 0 < first["compile"] <= first["wall"]
    assert first["compile"] + first["inside"] <= first["wall"] * 1.001
    assert panel.live["total"] == 3


def test_calls_go_out_once_each_while_a_cell_runs(panel, bert, monkeypatch):
    sent = []
    monkeypatch.setattr(panel, "send", sent.append)
    for _ in range(3):
        bert(IDS.to("hpu"))
        panel.controller.refresh()
    # The last call's time is open until the next one or the end of the cell.
    assert [row["n"] for message in sent for row in message["rows"]] == [1, 2]


def test_a_call_keeps_the_settings_it_was_made_with(panel, bert):
    bert(IDS.to("hpu"))
    gaudi_lab.mode("lazy")
    bert(IDS.to("hpu"))
    panel.controller.end_cell()
    first, second = panel.calls
    assert (first["settings"], second["settings"]) == ("eager", "lazy")
    assert second["causes"] == "first time with lazy"


def test_a_call_that_captures_says_so_once(panel, bert):
    gaudi_lab.mode("lazy")
    bert(IDS.to("hpu"))
    gaudi_lab.hpu_graphs("bert")
    bert(IDS.to("hpu"))
    panel.controller.end_cell()
    assert panel.calls[1]["causes"] == "first HPU graph"


def test_a_call_that_raises_is_not_logged(panel, bert):
    with pytest.raises(ValueError, match="input_ids"):
        bert()
    bert(IDS.to("hpu"))
    panel.controller.end_cell()
    assert [call["n"] for call in panel.calls] == [1]


def test_graphs_are_told_by_shape_and_freed(panel, bert, workbench):
    gaudi_lab.mode("lazy")
    gaudi_lab.hpu_graphs("bert")
    for _ in range(3):
        bert(IDS.to("hpu"))
    panel.controller.refresh()
    (graph,) = panel.live["graphs"]["bert"]
    assert (graph["shapes"], graph["replays"]) == ("2×6", 2)
    assert graph["size"] not in ("–", "0 B")
    ask(panel, do="free", model="bert")
    assert panel.live["graphs"]["bert"] == []
    assert workbench.models["bert"].settings.hpu_graphs


@pytest.mark.parametrize(("before", "after"), [("lazy", "compile"), ("compile", "lazy"), ("eager", "lazy")])
def test_trying_goes_back_and_forth_and_leaves_everything_as_it_was(
    panel, bert, net, workbench, before, after
):
    workbench.attach(net, "net")
    bert(IDS.to("hpu"))
    for settings in (before, after):
        gaudi_lab.mode("eager")
        gaudi_lab.mode(settings)
    # Before is what the model was in when this setting came on.
    panel.controller.previous["bert"] = Settings(Mode(before))
    were = {name: (a.settings, a.requested) for name, a in workbench.models.items()}
    logged = panel.controller.log.total
    assert ask(panel, do="try", model="bert") == ""
    trial = panel.settings["models"][0]["trial"]
    assert [row["settings"] for row in trial["rows"]] == [after, before]
    assert float(trial["difference"]) < 1e-4
    assert trial["caution"].startswith("emulated on CPU")
    assert {name: (a.settings, a.requested) for name, a in workbench.models.items()} == were
    assert panel.controller.log.total == logged


def test_a_call_that_changes_its_cache_is_not_made_again(panel, workbench):
    from transformers import DynamicCache

    class Caching(torch.nn.Linear):
        def forward(self, x, past_key_values=None):
            if past_key_values is not None:
                past_key_values.update(torch.ones(1, 1, 1, 2), torch.ones(1, 1, 1, 2), 0)
            return super().forward(x)

    model, cache = Caching(2, 2).requires_grad_(False).eval().to("hpu"), DynamicCache()
    workbench.attach(model, "caching")
    cache.update(torch.ones(1, 1, 1, 2), torch.ones(1, 1, 1, 2), 0)
    x = torch.ones(1, 2, device="hpu")
    model(x, past_key_values=cache)
    assert "no input to try: it was called with DynamicCache" in ask(panel, do="try", model="caching")
    model(x)
    model(x, past_key_values=cache)
    assert ask(panel, do="try", model="caching") == ""
    assert cache.get_seq_length() == 3


def test_settings_that_the_model_does_not_run_with_are_told_as_such(panel, workbench):
    class NotEager(torch.nn.Linear):
        def forward(self, x):
            if workbench.mode is Mode.EAGER:
                raise LabValueError("This needs lazy mode.")
            return super().forward(x)

    model = NotEager(2, 2).requires_grad_(False).eval().to("hpu")
    gaudi_lab.mode("lazy")
    workbench.attach(model, "model")
    model(torch.ones(1, 2, device="hpu"))
    panel.controller.previous["model"] = Settings()
    assert ask(panel, do="try", model="model") == ""
    tried = panel.settings["models"][1]["trial"]
    assert tried["note"] == "eager does not run here. This needs lazy mode."
    assert [row["settings"] for row in tried["rows"]] == ["lazy"]


def test_calls_that_verify_a_graph_are_not_among_the_times(panel, net, workbench):
    gaudi_lab.mode("lazy")
    workbench.attach(net, "net")
    workbench.change(["net"], hpu_graphs=True, verify=True)
    net(torch.ones(1, 4, device="hpu"))
    made = []
    with watch(net, lambda *_: made.append(1)):
        result = trial.run(workbench, workbench.get("net"), {}, None)
    assert len(made) == 1 + CHECKS + len(result.now.runs)


def test_an_interrupt_while_it_tries_is_answered(panel, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(panel.controller, "_act", interrupt)
    assert ask(panel, do="try", model="bert") == "Interrupted."


def test_without_a_front_end_the_same_facts_are_text_and_html(panel, bert):
    gaudi_lab.mode("lazy")
    for rows in (1, 2):
        bert(IDS[:rows].to("hpu")).pooler_output.cpu()
    panel.controller.end_cell()
    data, _ = panel._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    for form in (data["text/plain"], data["text/html"]):
        for fact in ("lazy mode", "bert", "emulated on CPU", "sdpa", "1×6 → 2×6"):
            assert fact in form


def test_closing_the_last_panel_leaves_no_trace(bert, workbench):
    workbench.attach(bert, "bert")
    before = len(vars(bert)["_compiled_call_impl"].watchers)
    panel = gaudi_lab.panel()
    assert len(vars(bert)["_compiled_call_impl"].watchers) == before + 1
    panel.close()
    assert len(vars(bert)["_compiled_call_impl"].watchers) == before
    assert not workbench._subscribers


def test_the_magic_shows_the_models_it_names(shell, bert, workbench):
    shell.run_line_magic("load_ext", "gaudi_lab")
    shell.user_ns["bert"] = bert
    panel = shell.run_cell("%gaudi_panel bert").result
    assert panel.names == ("bert",)
    assert not panel.controller.busy
    panel.close()
    shell.run_line_magic("unload_ext", "gaudi_lab")


def test_a_panel_that_is_open_ends_with_the_extension(shell, bert, workbench):
    before = {name: list(called) for name, called in shell.events.callbacks.items()}
    shell.run_line_magic("load_ext", "gaudi_lab")
    shell.user_ns["bert"] = bert
    panel = shell.run_cell("%gaudi_panel bert").result
    shell.run_line_magic("unload_ext", "gaudi_lab")
    assert shell.events.callbacks == before
    assert ask(panel, do="mode", value="lazy").endswith("Run: %load_ext gaudi_lab")
    assert workbench.mode is Mode.EAGER
    panel.close()


def test_a_remedy_is_told_with_its_cause_in_every_form(panel, bert):
    gaudi_lab.mode("lazy")
    ids = torch.arange(15).reshape(3, 5)  # no other test has compiled for these sizes
    for rows in (3, 2):
        bert(ids[:rows].to("hpu")).pooler_output.cpu()
    panel.controller.end_cell()
    second = panel.calls[1]
    assert second["causes"] == "input_ids 3×5 → 2×5"
    assert "drop_last=True" in second["remedy"]
    for form in (repr(panel), html.unescape(panel.last_html)):
        assert second["causes"] in form
        assert f"→ {second['remedy']}" in form


def test_the_last_state_is_kept_for_a_saved_notebook(panel, bert):
    gaudi_lab.mode("lazy")
    bert(IDS.to("hpu")).pooler_output.cpu()
    panel.controller.end_cell()
    assert "lazy mode" in panel.last_html
    bert(torch.arange(20).reshape(2, 10).to("hpu")).pooler_output.cpu()
    assert "2×10" not in panel.last_html
    panel.controller.end_cell()
    assert "2×10" in panel.last_html
    assert "last_html" in panel.keys


def test_an_operator_is_a_switch_of_its_own_once_the_model_was_called(panel, workbench):
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.RMSNorm(4)).to("hpu")
    workbench.attach(model.requires_grad_(False).eval(), "norm")
    name = "use_operator-rms_norm"
    assert "Call the model once" in switch(panel, name, of=1)["reason"]
    model(torch.ones(2, 4).to("hpu"))
    assert ask(panel, do=name, model="norm", value=True) == ""
    assert (switch(panel, name, of=1)["on"], switch(panel, name, of=1)["reason"]) == (True, "")
    assert workbench.models["norm"].settings.operators == ("rms_norm",)
    code = {part["title"]: part["lines"] for part in panel.settings["export"]}
    assert "%gaudi_ops on rms_norm norm" in code["Notebook"]
    assert 'gaudi_lab.use_operator("rms_norm", norm, inputs=batch)' in code["Python"]
    assert ask(panel, do=name, model="norm", value=False) == ""
    assert workbench.models["norm"].settings.operators == ()
    # A model without a place for any has no such switches.
    assert [s["value"] for s in panel.settings["models"][0]["switches"]] == [
        "hpu_graphs",
        "fused_sdpa",
        "compile",
    ]
