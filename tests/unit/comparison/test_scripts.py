"""The scripts that a comparison writes run, and have the settings that won."""

from __future__ import annotations

import os

import pytest

from gaudi_lab.comparison.candidates import Candidate
from gaudi_lab.comparison.result import Comparison
from gaudi_lab.comparison.row import RESIDENT, Row
from gaudi_lab.errors import LabError
from gaudi_lab.settings import Mode, Settings
from tests.unit.forked import run_forked

ATTENTION = """
import torch
torch.manual_seed(0)
model = torch.nn.MultiheadAttention(16, 2, batch_first=True).eval().to("hpu")
x = torch.ones(2, 6, 16).to("hpu")
"""
MODEL = """
import torch
from transformers import BertConfig, BertModel
torch.manual_seed(0)
config = BertConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
model = BertModel(config).eval().to("hpu")
batch = {"input_ids": torch.arange(12).reshape(2, 6).to("hpu")}
"""
LLAMA = """
import torch
from transformers import LlamaConfig, LlamaForCausalLM
torch.manual_seed(0)
sizes = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
model = LlamaForCausalLM(LlamaConfig(**sizes, intermediate_size=32)).eval().requires_grad_(False).to("hpu")
batch = {"input_ids": torch.arange(6)[None].to("hpu")}
"""
TRAINER = """
import torch
from transformers import BertConfig, BertForSequenceClassification
from gaudi_lab.transformers import GaudiTrainer, GaudiTrainingArguments
torch.manual_seed(0)
config = BertConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
data = [{"input_ids": torch.arange(i, i + 6), "labels": i % 2} for i in range(10)]
trainer = GaudiTrainer(
    model=BertForSequenceClassification(config).eval(),
    args=GaudiTrainingArguments(use_habana=True, output_dir="out", per_device_eval_batch_size=4, report_to="none"),
    eval_dataset=data,
)
"""
OPTIONS = (("inference", False),)
WINS = Settings(Mode.LAZY, hpu_graphs=True, fused_sdpa=True)


def compared(kind, source, setup, settings=WINS, models=(), **values):
    row = Row(Candidate(settings, tuple(values.items())), RESIDENT, (0.1,), 1, turns=((0, (0.1,) * 5),))
    return Comparison("it", (row,), kind=kind, source=source, setup=setup, models=models)


def run(code, folder, *, more="", path=""):
    """Run a script as a program of its own on the emulated bridge, and return what it printed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PT_HPU")}
    done = run_forked(
        code + more,
        folder=folder,
        libraries=["transformers.trainer"] if "transformers" in code else [],
        environment={**kept, "PYTHONPATH": path, "GAUDI_LAB_EMULATE": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_for_gaudi_lab(tmp_path):
    call = "model(x, x, x, need_weights=False)"
    code = compared("model", call, ATTENTION, dtype="bfloat16").to_code()
    assert code.index('os.environ["PT_HPU_LAZY_MODE"] = "1"') < code.index("import torch")
    more = "\nprint(gaudi_lab.status().models[0].settings, result[0].dtype)\n"
    assert run(code, tmp_path, more=more).endswith("lazy + HPU graphs + FusedSDPA torch.bfloat16\n")


def test_options_of_a_switch_are_in_the_script(tmp_path):
    settings = Settings(Mode.COMPILE, fused_sdpa=True, recompute=False, dynamic=True, backend_options=OPTIONS)
    call = "model(x, x, x, need_weights=False)"
    switches = {**settings.switches, "mode": "compile"}
    more = "\nprint(gaudi_lab.status().models[0].settings == gaudi_lab.Settings(**"
    code = compared("model", call, ATTENTION, settings).to_code()
    assert run(code, tmp_path, more=f"{more}{switches!r}))\n").endswith("True\n")
    plain = compared("model", call, ATTENTION, settings.replace(fused_sdpa=False, recompute=None))
    code = plain.to_code("habana_frameworks")
    assert "model.compile(backend=\"hpu_backend\", dynamic=True, options={'inference': False})" in code
    run(code, tmp_path)


@pytest.mark.parametrize(
    ("kind", "source", "values", "call"),
    [
        ("trainer", "trainer", {}, "trainer.evaluate()"),
        ("trainer", "trainer.evaluate", {}, "trainer.evaluate()"),
        ("trainer", "trainer(data)", {}, "trainer.evaluate(data)"),
        ("pipeline", "pipe", {"batch_size": 2}, "pipe(batch_size=2)"),
        ("function", "work", {"sizes": [1, (2, 3)], "word": "é"}, "work(sizes=[1, (2, 3)], word='é')"),
        ("function", "work(1) + 2", {}, "work(1) + 2"),
    ],
)
def test_what_was_compared_by_its_name_is_called_with_what_was_varied(kind, source, values, call):
    made = compared(kind, source, "import my_own", Settings(Mode.LAZY), **values)
    assert f"\nresult = {call}\n" in made.to_code()


def test_operators_go_on_after_a_call_that_they_are_established_by(tmp_path):
    settings = Settings(Mode.EAGER, operators=("rms_norm",))
    code = compared("model", "model(**batch)", LLAMA, settings).to_code()
    more = "\nprint(gaudi_lab.status().models[0].settings)\n"
    assert run(code, tmp_path, more=more).endswith("eager + operators (rms_norm)\n")


def test_a_function_has_the_models_that_were_attached(tmp_path):
    setup = f"{ATTENTION}\ndef work():\n    return model(x, x, x, need_weights=False)\n"
    code = compared("function", "work()", setup, models=("model",)).to_code()
    assert code.count("import torch\n") == 1
    more = "\nprint(gaudi_lab.status().models[0].settings)\n"
    assert run(code, tmp_path, more=more).endswith("lazy + HPU graphs + FusedSDPA\n")


def test_for_the_plain_bridge(tmp_path):
    code = compared("model", "model(**batch)", MODEL).to_code("habana_frameworks")
    assert "gaudi_lab" not in code
    more = """
import torch
reference = BertModel(config).eval()
reference.load_state_dict({name: value.cpu() for name, value in model.state_dict().items()})
with torch.no_grad():
    expected = reference(batch["input_ids"].cpu()).last_hidden_state
print(bridge.utils.internal.is_lazy(), model.config._attn_implementation)
print(torch.allclose(expected, result.last_hidden_state.cpu(), atol=1e-5))
"""
    printed = run(code, tmp_path, more=more)
    assert printed.endswith("True fused_sdpa_of_the_bridge\nTrue\n")


def test_for_optimum_habana(tmp_path):
    """The names are optimum-habana's; ours stand in for them, which have the same."""
    package = tmp_path / "names" / "optimum" / "habana"
    package.mkdir(parents=True)
    names = "from gaudi_lab import GaudiConfig, GaudiTrainer, GaudiTrainingArguments\n"
    (package / "__init__.py").write_text(names)
    code = compared("trainer", "trainer.evaluate()", TRAINER, batch_size=5).to_code("optimum-habana")
    assert "gaudi_lab" not in code
    # Without one optimum-habana asks the hub for it.
    assert code.count("gaudi_config=GaudiConfig()") == 2
    more = """
args = trainer.args
print(args.eval_batch_size, args.use_hpu_graphs_for_inference, len(trainer.warmup.iterations))
print(trainer.model.config._attn_implementation)
"""
    printed = run(code, tmp_path, more=more, path=str(tmp_path / "names"))
    assert printed.endswith("5 True 2\nfused_sdpa_of_the_bridge\n")


def test_a_gaudi_config_is_added_wherever_there_is_none():
    setup = """
first = GaudiTrainer()
second = optimum.habana.GaudiTrainer(model, args=make(GaudiTrainer(model, **rest)),  # a comment
)
third = GaudiTrainer(model, gaudi_config=config, args="é"); fourth = GaudiTrainer("é")
"""
    code = compared("trainer", "third.evaluate()", setup).to_code("optimum-habana")
    assert "first = GaudiTrainer(gaudi_config=GaudiConfig())" in code
    assert "args=make(GaudiTrainer(model, **rest)), gaudi_config=GaudiConfig(),  # a comment" in code
    assert 'args="é"); fourth = GaudiTrainer("é", gaudi_config=GaudiConfig())' in code


def test_options_of_the_fused_attention_reach_the_kernel_in_its_order():
    settings = Settings(Mode.EAGER, fused_sdpa=True, recompute=True)
    code = compared("model", "model(**batch)", MODEL, settings).to_code("habana_frameworks")
    assert 'dropout, causal, scaling, "None", True)' in code
    code = compared("model", "model(**batch)", MODEL, settings.replace(softmax="fast")).to_code(
        "habana_frameworks"
    )
    assert 'dropout, causal, scaling, "fast", True)' in code


@pytest.mark.parametrize(
    ("comparison", "form", "text"),
    [
        (compared("model", "model(**batch)", MODEL), "pytorch", "no form"),
        (compared("model", "", ""), "gaudi_lab", "as objects and not as code"),
        (compared("model", "model(**batch)", MODEL), "optimum-habana", "for a Trainer"),
        (compared("function", "work()", MODEL), "habana_frameworks", "for a model"),
        (compared("function", "work()", MODEL, models=("net",)), "gaudi_lab", "those of net, which none"),
        (
            compared("model", "model(**batch)", MODEL, WINS.replace(verify=True)),
            "habana_frameworks",
            "without verify",
        ),
        (
            compared(
                "trainer", "trainer.evaluate()", TRAINER, Settings(Mode.COMPILE, backend_options=OPTIONS)
            ),
            "optimum-habana",
            "no argument for inference=False",
        ),
        (
            compared("model", "model(**batch)", MODEL, Settings(operators=("rms_norm",))),
            "habana_frameworks",
            r"without operators \(rms_norm\)",
        ),
        (
            compared("trainer", "trainer.evaluate()", TRAINER, Settings(operators=("rms_norm",))),
            "optimum-habana",
            r"without operators \(rms_norm\)",
        ),
        (
            compared("trainer", "trainer.evaluate()", TRAINER, Settings(), dtype="float16"),
            "optimum-habana",
            "no argument for float16",
        ),
    ],
)
def test_what_has_no_script_is_refused(comparison, form, text):
    with pytest.raises(LabError, match=text):
        comparison.to_code(form)
