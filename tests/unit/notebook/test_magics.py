import pytest
import torch
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from torch import nn
from traitlets.config import Config

import gaudi_lab
from gaudi_lab import api, bridge
from gaudi_lab.measure.timeline import Timeline
from gaudi_lab.notebook import compared_code
from gaudi_lab.notebook.completion import complete
from gaudi_lab.render.states import switch_cells
from gaudi_lab.settings import OPERATORS, SWITCHES, Mode


@pytest.fixture
def shell(workbench):
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config)
    shell.run_line_magic("load_ext", "gaudi_lab")
    yield shell
    shell.run_line_magic("unload_ext", "gaudi_lab")
    shell.reset(new_session=False)
    InteractiveShell.clear_instance()


def run(shell, cell):
    result = shell.run_cell(cell)
    result.raise_error()
    return result.result


def refused(shell, cell):
    result = shell.run_cell(cell)
    assert isinstance(result.error_in_exec, UsageError)
    return str(result.error_in_exec)


def test_mode_without_an_argument_says_where_things_are(shell, capsys):
    run(shell, "%gaudi_mode")
    assert capsys.readouterr().out.startswith("eager mode · no model attached · emulated on CPU")


def test_mode_sets_and_says_so_in_one_line(shell, capsys):
    run(shell, "%gaudi_mode lazy")
    assert bridge.is_lazy()
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("eager → lazy")


def test_models_are_found_without_being_named(shell, net, workbench):
    shell.user_ns["net"] = net
    run(shell, "%gaudi_mode lazy\n%gaudi_graphs on")
    assert workbench.models["net"].settings.hpu_graphs


@pytest.mark.parametrize(
    ("before", "line", "remedy"),
    [
        ("", "%gaudi_graphs on", "%gaudi_mode lazy"),
        ("%gaudi_mode compile", "%gaudi_graphs on net", "%gaudi_mode lazy"),
        ("%gaudi_mode lazy", "%gaudi_compile on", "%gaudi_mode eager"),
        ("", "%gaudi_graphs off nett", "%gaudi_attach net"),
        ("", "%gaudi_sdpa on elsewhere", 'elsewhere.to("hpu")'),
        ("", "%gaudi_attach elsewhere", 'elsewhere.to("hpu")'),
        ("", "%gaudi_attach --detach elsewhere", "%gaudi_attach model"),
        ("", "%gaudi_sdpa off net --softmax fast", "%gaudi_sdpa on"),
        ("", "%gaudi_forecast batches", "%gaudi_forecast loader model"),
        ("batches = iter([])", "%gaudi_forecast batches", "batches = list(batches)"),
        ("", "%gaudi_attach 'net", "%gaudi_attach -h"),
        ("", "%gaudi_relaunch --env =5", "%gaudi_relaunch --env NAME=5"),
        ("", "%gaudi_relaunch --env NAME", "%gaudi_relaunch --env NAME=1"),
        (
            "",
            "%gaudi_compare --over batch_size=[1, 8] net(x)",
            '%gaudi_compare --over "batch_size=[1, 8]" model(**batch)',
        ),
        (
            "",
            "%gaudi_compare --settings eager; lazy net(x)",
            '%gaudi_compare --settings "eager; lazy" model(**batch)',
        ),
        ("", "%%gaudi_warmup -n 3 x = make()\nnet(x)", "%%gaudi_warmup -n 3"),
        ("", "%gaudi_warmup -n 0 net", "%gaudi_warmup -n 5 net"),
        ("", "%gaudi_warmup", "%gaudi_warmup -n 5 model(**batch)"),
        ("", "%gaudi_ops on", "%gaudi_ops on rms_norm"),
        ("", "%gaudi_ops on rmsnorm net", "%gaudi_ops on rms_norm"),
        ("", "%gaudi_ops onn rms_norm net", "%gaudi_ops on rms_norm net"),
        ("", "%gaudi_ops rotary", "%gaudi_ops on rotary"),
        ("", "%gaudi_ops on rms_norm net", "net(**batch)"),
        ("", "%gaudi_ops nett", "%gaudi_attach net"),
        (
            "import gaudi_lab, torch\n@gaudi_lab.custom_op\ndef own(x: torch.Tensor) -> torch.Tensor:\n    return -x",
            "%gaudi_ops on own",
            "own.stand_in(model, *inputs, for_=nn.GELU)",
        ),
    ],
)
def test_what_cannot_be_done_names_the_line_to_run_and_changes_nothing(
    shell, net, workbench, before, line, remedy
):
    shell.user_ns.update(net=net, elsewhere=nn.Linear(2, 2))
    run(shell, f"{before}\n%gaudi_attach net")
    mode, settings, attributes = workbench.mode, workbench.models["net"].settings, set(vars(net))
    assert refused(shell, line).endswith(f"Run: {remedy}")
    assert (workbench.mode, workbench.models["net"].settings, set(vars(net))) == (mode, settings, attributes)


def test_without_any_model_on_the_device_the_line_moves_the_one_there_is(shell):
    assert refused(shell, "%gaudi_graphs on").endswith('Run: model.to("hpu")')
    shell.user_ns["judge"] = nn.Linear(2, 2)
    assert refused(shell, "%gaudi_graphs on").endswith('Run: judge.to("hpu")')


def test_a_misspelt_choice_lists_the_choices(shell):
    assert "invalid choice: 'lzy' (choose from" in refused(shell, "%gaudi_mode lzy")
    for line, instead in (
        ("%gaudi_mode lzy", "%gaudi_mode lazy"),
        ("%gaudi_graphs On model", "%gaudi_graphs on model"),
        ("%gaudi_graphs o model", "%gaudi_graphs on model"),
        ("%gaudi_mode quick", "%gaudi_mode -h"),
        ("%gaudi_graphs", "%gaudi_graphs -h"),
        ("%gaudi_status everything", "%gaudi_status -h"),
        ("%gaudi_warmup", "%gaudi_warmup -n 5 model(**batch)"),
    ):
        assert refused(shell, line).endswith(f"Run: {instead}")


@pytest.mark.parametrize(
    "magic", ["mode", "attach", "graphs", "sdpa", "ops", "compile", "status", "warmup", "forecast"]
)
def test_help_is_complete_and_names_the_python_function(shell, capsys, magic):
    run(shell, f"%gaudi_{magic} -h")
    printed = capsys.readouterr().out
    assert f"%gaudi_{magic}" in printed
    assert "In Python: gaudi_lab." in printed
    documented = shell.find_line_magic(f"gaudi_{magic}").__doc__
    assert printed.strip() in documented.replace("::", "", 1) or "In Python" in documented


def test_operators_are_shown_switched_and_a_place_in_the_status(shell, workbench, capsys):
    norm = nn.Sequential(nn.Linear(4, 4), nn.RMSNorm(4)).requires_grad_(False).eval().to("hpu")
    shell.user_ns.update(norm=norm, x=torch.ones(2, 4).to("hpu"))
    run(shell, "%gaudi_attach norm\nnorm(x)")
    shown = run(shell, "%gaudi_ops norm")
    assert shown["rms_norm"].established[0].path == "1"
    capsys.readouterr()
    run(shell, "%gaudi_ops on rms_norm norm")
    assert "norm: rms_norm on · norm: FusedRMSNorm in 1 place, outputs" in capsys.readouterr().out
    assert workbench.models["norm"].settings.operators == ("rms_norm",)
    assert "rms_norm" in switch_cells(workbench.status().models[0])
    run(shell, "%gaudi_ops on rms_norm")
    assert "nothing to change" in capsys.readouterr().out
    run(shell, "%gaudi_ops off rms_norm")
    assert workbench.models["norm"].settings.operators == ()
    assert type(norm[1]) is nn.RMSNorm


def test_operators_complete_by_name(shell, net):
    def offered(line):
        return [completion.text for completion in complete(line, {"net": net})["completions"]]

    assert offered("%gaudi_ops ") == ["on", "off", "net"]
    assert offered("%gaudi_ops on r") == ["rms_norm", "rotary"]
    assert offered("%gaudi_ops off rotary ") == ["net"]
    assert offered("%gaudi_ops off rotary net ") == []


def test_sdpa_takes_its_options(shell, bert, workbench):
    shell.user_ns["bert"] = bert
    run(shell, "%gaudi_sdpa on bert --recompute --softmax fast")
    settings = workbench.models["bert"].settings
    assert (settings.fused_sdpa, settings.recompute, settings.softmax) == (True, True, "fast")
    run(shell, "%gaudi_sdpa on bert --no-recompute")
    settings = workbench.models["bert"].settings
    assert (settings.fused_sdpa, settings.recompute, settings.softmax) == (True, False, None)
    run(shell, "%gaudi_sdpa off bert")
    assert not workbench.models["bert"].settings.fused_sdpa


@pytest.mark.parametrize(
    "switch", [x for x in SWITCHES if x is not OPERATORS], ids=lambda switch: switch.name
)
def test_every_switch_has_a_magic_a_function_completion_and_a_place_in_the_status(
    shell, bert, workbench, switch, capsys
):
    shell.user_ns["bert"] = bert
    run(shell, f"%gaudi_mode {switch.needs or 'eager'}\n%{switch.magic} on bert")
    assert switch.is_on(workbench.models["bert"].settings)
    assert f"{switch.label} on" in capsys.readouterr().out
    cells = switch_cells(workbench.status().models[0])
    assert any(cell.startswith((switch.label, "on, none captured")) for cell in cells)
    run(shell, f"%{switch.magic} off bert")
    assert not switch.is_on(workbench.models["bert"].settings)
    with getattr(gaudi_lab, switch.name)(bert):
        assert switch.is_on(workbench.models["bert"].settings)
    assert not switch.is_on(workbench.models["bert"].settings)
    offered = [completion.text for completion in complete(f"%{switch.magic} ", {})["completions"]]
    assert offered == ["on", "off"]


def test_warmup_repeats_the_last_expression_and_keeps_names(shell, net):
    shell.user_ns["net"] = net
    cell = "%%gaudi_warmup -n 3\nimport torch\nx = torch.randn(3, 4).to('hpu')\nnet(x)"
    timeline = run(shell, cell)
    assert isinstance(timeline, Timeline)
    assert [len(i.new_shapes) for i in timeline.iterations] == [1, 0, 0]
    assert shell.user_ns["x"].shape == (3, 4)


def test_forecast_takes_names_and_runs_no_model(shell, net):
    shell.user_ns.update(net=net, sizes=[(3, 4), (3, 4), (2, 4)])
    run(shell, "%gaudi_mode lazy")
    before = gaudi_lab.why()
    forecast = run(shell, "%gaudi_forecast sizes net --epochs 2")
    assert (forecast.model, forecast.batches, forecast.as_is.new_shapes, forecast.epochs) == ("net", 3, 2, 2)
    assert run(shell, "%gaudi_forecast --most 1 sizes").batches == 1
    assert not gaudi_lab.why(since=before).costs


def test_the_line_form_takes_code_with_dashes_and_quotes(shell):
    shell.user_ns["log"] = []
    run(shell, "%gaudi_warmup -n 2 log.append(3 - 1) or log.append('a  b')")
    assert shell.user_ns["log"] == [2, "a  b", 2, "a  b"]


def test_a_model_whose_name_is_gone_is_detached(shell, net, workbench):
    shell.user_ns["net"] = net
    run(shell, "%gaudi_attach net")
    run(shell, "1")
    run(shell, "del net")
    assert not workbench.models


def test_a_model_that_was_detached_stays_off_until_it_is_named(shell, net, workbench):
    shell.user_ns["net"] = net
    run(shell, "%gaudi_attach net")
    run(shell, "%gaudi_attach --detach net\n%gaudi_mode lazy")
    assert not workbench.models
    run(shell, "%gaudi_graphs on net")
    assert workbench.models["net"].settings.hpu_graphs


def test_a_model_that_python_has_detached_stays_off_too(shell, net, workbench):
    shell.user_ns |= {"net": net, "torch": torch}
    run(shell, "%gaudi_status")
    run(shell, "import gaudi_lab\ngaudi_lab.detach(net)\n%gaudi_status")
    assert not workbench.models
    run(shell, "%gaudi_compare --rounds 1 --settings eager net(torch.ones(2, 4).to('hpu'))")
    run(shell, "%gaudi_status")
    assert not workbench.models
    run(shell, "gaudi_lab.fused_sdpa(net, False)")
    assert list(workbench.models) == ["sequential"]


def test_unloading_leaves_everything_as_it_was(shell, bert, workbench):
    before = set(vars(bert)), bert.forward, dict(vars(bert.config)), list(bert.state_dict())
    matchers = list(shell.Completer.custom_matchers)
    shell.user_ns["bert"] = bert
    run(shell, "%gaudi_mode lazy\n%gaudi_graphs on\n%gaudi_sdpa on")
    run(shell, "import torch; bert(torch.arange(6)[None].to('hpu'))")
    run(shell, "%unload_ext gaudi_lab")
    after = set(vars(bert)), bert.forward, dict(vars(bert.config)), list(bert.state_dict())
    assert after == before
    assert len(shell.Completer.custom_matchers) == len(matchers) - 1
    assert shell.find_line_magic("gaudi_mode") is None
    run(shell, "%load_ext gaudi_lab")
    assert workbench.mode is Mode.LAZY


def test_graphs_that_would_lie_are_told_by_the_status(shell, capsys):
    run(shell, "import torch\nfrom torch import nn\n%gaudi_mode lazy")
    run(
        shell, "class Asks(nn.Module):\n    def forward(self, x):\n        return x * 2 if x.sum() > 0 else x"
    )
    run(shell, 'asks = Asks().to("hpu")\n%gaudi_attach asks\n%gaudi_graphs on --verify')
    with pytest.warns(UserWarning, match="runs without a graph"):
        run(shell, 'asks(torch.ones(3, device="hpu"))')
    capsys.readouterr()
    told = str(run(shell, "%gaudi_status").__repr__())
    assert "asks runs without a graph: the host reads a value of the device" in told
    assert "Instead: keep it on the device" in told


def test_compile_takes_its_options(shell, net, workbench, capsys):
    shell.user_ns["net"] = net
    run(
        shell,
        "%gaudi_compile on net --auto-dynamic --option force_static_compile=True --option inference=False",
    )
    settings = workbench.models["net"].settings
    assert (settings.dynamic, dict(settings.backend_options)) == (
        "auto",
        {"force_static_compile": True, "inference": False},
    )
    told = "net: torch.compile (auto dynamic, force_static_compile=True, inference=False) on"
    assert told in capsys.readouterr().out
    assert "Run: %gaudi_compile on --option" in refused(shell, "%gaudi_compile on net --option inference")
    assert "no option speed" in refused(shell, "%gaudi_compile on net --option speed=2")
    assert workbench.models["net"].settings == settings


def test_settings_to_compare_take_options_and_may_vary_them(shell, net):
    shell.user_ns |= {"net": net, "x": torch.ones(2, 4).to("hpu")}
    found = run(
        shell,
        '%gaudi_compare --rounds 1 --settings "eager; compile (inference=True)" --over dynamic=[None,True] net(x)',
    )
    assert [str(row.candidate) for row in found.rows] == [
        "eager",
        "compile (inference=True)",
        "compile (dynamic, inference=True)",
    ]


def test_a_comment_behind_a_magic_is_passed_over(shell, net, workbench, capsys):
    shell.user_ns |= {"net": net, "x": torch.ones(2, 4).to("hpu")}
    run(shell, "%gaudi_mode lazy   # it's one line\n%gaudi_graphs on # here too")
    assert workbench.models["net"].settings.hpu_graphs
    assert len(run(shell, "%%gaudi_warmup -n 2 # twice\nnet(x)").iterations) == 2
    assert run(shell, "%gaudi_ops  # all")
    assert "#nothing" in refused(shell, "%gaudi_attach net#nothing")


def test_words_in_quotes_are_given_without_them(shell, net, monkeypatch):
    given = []
    monkeypatch.setattr(api, "relaunch", lambda *names, **options: given.append((*names, options)))
    run(shell, """%gaudi_relaunch --env "ONE=a b" --env TWO="c" --env THREE= --drop 'thread worker' x""")
    assert given == [
        ({"ONE": "a b", "TWO": "c", "THREE": None}, {"drop": ["thread worker", "x"], "rerun": []})
    ]
    compared = []
    monkeypatch.setattr(
        compared_code, "compare", lambda *what, **options: compared.append((*what[1:], options))
    )
    line = """%gaudi_compare --path "runs.jsonl" --limit '1 min' --over "n=[1, 8]" --over dtype=[a,b] f("#1 # a")"""
    run(shell, line)
    ((code, options),) = compared
    assert code == 'f("#1 # a")'
    assert (options["path"], options["limit"]) == ("runs.jsonl", "1 min")
    assert options["over"] == {"n": [1, 8], "dtype": ["a", "b"]}


def test_several_names_are_given_up_at_once_and_behind_the_mode(shell, capsys):
    assert "Run: %gaudi_mode lazy --drop" in refused(shell, "%gaudi_mode --drop a b lazy")
    assert "There is no notebook kernel" in refused(shell, "%gaudi_mode lazy --relaunch --drop a b")


def test_a_model_that_was_deleted_is_off_the_list_in_the_same_cell(shell, net):
    shell.user_ns["net"] = net
    run(shell, "%gaudi_status")
    assert run(shell, "del net\n%gaudi_status").models == ()


def test_a_model_that_is_attached_and_deleted_in_one_cell_is_detached(shell, net, workbench):
    shell.user_ns |= {"make": lambda: net}
    run(shell, "net = make()\n%gaudi_status\ndel net")
    assert not workbench.models
    other = torch.nn.Linear(2, 2).to("hpu")
    shell.user_ns |= {"net": net, "other": other}
    run(shell, "%gaudi_attach net\ndel net\n%gaudi_attach other\ndel other")
    assert not workbench.models


def test_a_model_goes_by_the_name_of_its_variable_and_keeps_its_switches(shell, net, workbench):
    gaudi_lab.mode("lazy")
    gaudi_lab.hpu_graphs(net)
    shell.user_ns["net"] = net
    run(shell, "%gaudi_ops net")
    assert list(workbench.models) == ["net"]
    run(shell, "again = net\n%gaudi_ops again\n%gaudi_sdpa off again\ndel again")
    assert workbench.models["net"].settings.hpu_graphs


def test_a_model_that_was_taken_off_is_what_a_switch_misses(shell, net):
    shell.user_ns["net"] = net
    run(shell, "%gaudi_attach net\n%gaudi_attach --detach net")
    assert refused(shell, "%gaudi_sdpa on") == "net was taken off the workbench. Run: %gaudi_attach net"


def test_a_script_is_of_what_has_run(shell, net):
    shell.user_ns |= {"make": lambda: net, "torch": torch}
    shell.run_cell("first = 2\nnet = unknown()", store_history=True)
    compared = "%gaudi_compare --rounds 1 --settings eager net(x)"
    cell = f'net = make(); x = torch.ones(first, 4).to("hpu")\n{compared}\nnet = 3'
    shell.run_cell(cell, store_history=True).raise_error()
    (magics,) = [m for m in shell.magics_manager.registry.values() if hasattr(m, "compared")]
    assert magics.compared.setup == 'first = 2\n\nnet = make(); x = torch.ones(first, 4).to("hpu")'


def test_a_model_is_compared_only_with_what_it_can_be_called_with(shell, net):
    shell.user_ns["net"] = net
    said = refused(shell, "%gaudi_compare net")
    assert said.startswith("net cannot be called so: missing")
    assert said.endswith("Run: %gaudi_compare net(**batch)")


def test_a_refused_graph_names_the_cell(shell, workbench):
    cell = """class Reads(torch.nn.Linear):
    def forward(self, x):
        return torch.relu(x) * x.sum().item()
reads = Reads(2, 2).to("hpu")
%gaudi_mode lazy
%gaudi_graphs on
"""
    shell.user_ns |= {"torch": torch, "x": torch.ones(2).to("hpu"), "net": torch.nn.Linear(2, 2).to("hpu")}
    shell.run_cell(cell, store_history=True).raise_error()
    with pytest.warns(UserWarning, match="in cell 1, line 3"):
        shell.run_cell("reads(x)", store_history=True).raise_error()
    assert workbench.models["reads"].refusals()[0].line == "cell 1, line 3"
    with pytest.warns(UserWarning, match=", in cell 3, line 1"):
        shell.run_cell("%gaudi_compare --rounds 1 --settings 'lazy + HPU graphs' net(torch.ones(1, 2))", True)
