"""`gaudi_lab.compare` on real models of this process."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

import gaudi_lab
from gaudi_lab.errors import LabError, LabValueError
from gaudi_lab.settings import Mode, Settings
from gaudi_lab.workbench.calls_to_compare import EvaluationCall, FunctionCall
from tests.unit import tiny_models


def test_all_settings_of_a_model(bert):
    inputs = {"input_ids": torch.arange(12).reshape(2, 6).to("hpu")}
    found = gaudi_lab.compare(bert, inputs, rounds=1, calls=3, quiet=True)
    assert [str(row.candidate) for row in found.rows] == [
        "eager",
        "lazy",
        "lazy + FusedSDPA",
        "lazy + HPU graphs",
        "lazy + HPU graphs + FusedSDPA",
        "eager + FusedSDPA",
        "compile",
        "compile + FusedSDPA",
    ]
    for row in found.rows:
        assert not row.error
        assert not row.differs
        assert not row.invalid
        assert len(row.times) == 3
        assert row.ran.mode == str(row.candidate.settings.mode)
        assert row.samples == 2
        assert (row.ran.replays > 0) == row.candidate.settings.hpu_graphs
        assert ("used" in row.ran.attention.lower()) == row.candidate.settings.fused_sdpa
    assert found.row("lazy + HPU graphs").captures == 1
    assert found.emulated
    assert "not Gaudi times" in str(found)
    assert len(found.to_frame()) == 8


def test_everything_is_as_it_was_afterwards(net, workbench):
    gaudi_lab.attach(net, "mine")
    gaudi_lab.mode("lazy")
    gaudi_lab.hpu_graphs("mine")
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    gaudi_lab.compare(
        net, torch.ones(2, 4).to("hpu"), settings=["eager", "lazy"], rounds=1, calls=1, quiet=True
    )
    assert torch.equal(torch.rand(1), expected)
    assert list(workbench.models) == ["mine"]
    assert workbench.models["mine"].settings == Settings(Mode.LAZY, hpu_graphs=True)
    gaudi_lab.detach("mine")
    assert "forward" not in vars(net)
    gaudi_lab.compare(net, torch.ones(2, 4).to("hpu"), settings=["eager"], rounds=1, calls=1, quiet=True)
    assert not workbench.models


def test_an_attached_model_of_the_same_class_keeps_its_name_and_its_graphs(net, workbench):
    inputs, options = torch.ones(2, 4).to("hpu"), {"rounds": 1, "calls": 1, "quiet": True}
    other = nn.Sequential(nn.Linear(4, 2)).to("hpu")
    gaudi_lab.mode("lazy")
    gaudi_lab.hpu_graphs(net)
    ((name, attached),) = workbench.models.items()
    found = gaudi_lab.compare(other, inputs, settings=["eager", "lazy"], **options)
    assert [row.error for row in found.rows] == ["", ""]
    assert workbench.models == {name: attached}
    assert attached.settings == Settings(Mode.LAZY, hpu_graphs=True)


def test_the_model_of_a_trainer_that_is_compared_stays_attached(net, workbench):
    x = torch.ones(2, 4).to("hpu")

    class Trainer:
        compute_metrics = eval_dataset = None
        args = SimpleNamespace(disable_tqdm=False, per_device_eval_batch_size=2)
        model = net

        def evaluate(self):
            return {"eval_loss": float(net(x).sum())}

    Trainer.__module__ = "transformers.trainer"
    gaudi_lab.mode("lazy")
    gaudi_lab.attach(net, "net")
    gaudi_lab.hpu_graphs("net")
    found = gaudi_lab.compare(Trainer(), settings=["eager", "lazy"], rounds=1, calls=1, quiet=True)
    assert [row.error for row in found.rows] == ["", ""]
    assert list(workbench.models) == ["net"]
    assert workbench.models["net"].settings == Settings(Mode.LAZY, hpu_graphs=True)


def test_with_nothing_attached_the_mode_is_as_it_was_afterwards(workbench):
    options = {"settings": ["eager", "lazy"], "rounds": 1, "calls": 1, "quiet": True}
    gaudi_lab.compare(lambda: torch.ones(2).to("hpu") + 1, **options)
    assert gaudi_lab.mode() is Mode.EAGER


def test_what_cannot_be_on_is_left_out_with_a_note_or_a_row_if_asked_for(net):
    inputs = torch.ones(2, 4).to("hpu")
    found = gaudi_lab.compare(net, inputs, rounds=1, calls=1, quiet=True)
    assert not any(row.candidate.settings.fused_sdpa for row in found.rows)
    assert "no attention" in found.notes[0]
    asked = gaudi_lab.compare(
        net, inputs, settings=["eager", "eager + FusedSDPA"], rounds=1, calls=1, quiet=True
    )
    assert "attention" in asked.rows[1].error
    assert asked.best() is asked.rows[0]


def test_batch_sizes_are_measured_by_the_sample(net):
    found = gaudi_lab.compare(
        net,
        torch.randn(4, 4).to("hpu"),
        settings=["lazy"],
        over={"batch_size": [4, 64]},
        rounds=2,
        calls=5,
        quiet=True,
    )
    small, large = found.rows
    assert (small.samples, large.samples) == (4, 64)
    assert large.difference.rows == 4
    assert not large.differs
    assert found.cost(large) == pytest.approx(large.median / 16)


def test_a_type_is_computed_in_and_may_be_coarser(net):
    found = gaudi_lab.compare(
        net,
        torch.randn(4, 4).to("hpu"),
        settings=["lazy"],
        over={"dtype": [None, "bfloat16"]},
        rounds=1,
        calls=1,
        quiet=True,
    )
    assert 1e-5 < found.rows[1].difference.relative < 3e-2
    assert not found.rows[1].differs


def test_a_finer_type_may_lie_as_far_from_a_coarser_first(net):
    found = gaudi_lab.compare(
        net,
        torch.randn(4, 4).to("hpu"),
        settings=["lazy"],
        over={"dtype": ["bfloat16", None]},
        rounds=1,
        calls=1,
        quiet=True,
    )
    assert found.rows[1].difference.relative > 1e-3
    assert not found.rows[1].differs


def test_a_function_uses_the_attached_models(net, workbench):
    gaudi_lab.attach(net, "net")
    x = torch.ones(2, 4).to("hpu")
    found = gaudi_lab.compare(
        lambda scale: net(x) * scale,
        settings=["lazy", "lazy + HPU graphs"],
        over={"scale": [1, 2]},
        rounds=1,
        calls=1,
        quiet=True,
    )
    assert [row.differs for row in found.rows] == [False, True, False, True]
    assert found.rows[2].ran.replays > 0
    assert found.models == ("net",)
    with pytest.raises(LabValueError, match="no argument of that name"):
        gaudi_lab.compare(lambda: net(x), over={"scale": [1]}, quiet=True)


def test_what_a_function_returns_is_compared_without_the_times_in_it():
    from transformers.trainer_utils import PredictionOutput

    pictures = SimpleNamespace(images=["one", "two"], throughput=3.0)
    call = FunctionCall(lambda: None)
    assert call.outputs(pictures) == ["one", "two"]
    assert call.samples(pictures, {}) == 2
    metrics = {"eval_loss": 0.5, "eval_runtime": 0.1, "eval_samples_per_second": 80.0}
    assert call.outputs(metrics) == {"eval_loss": 0.5}
    predicted = PredictionOutput("logits", None, metrics)
    assert call.outputs(predicted) == PredictionOutput("logits", None, {"eval_loss": 0.5})
    own = {"memory": 1, "logits": 2}
    assert call.outputs(own) is own


def test_random_numbers_are_the_same_in_every_run(workbench):
    dropout = nn.Dropout(0.5).to("hpu").train()
    found = gaudi_lab.compare(
        dropout, torch.ones(64).to("hpu"), settings=["eager", "lazy"], rounds=1, calls=1, quiet=True
    )
    assert not found.rows[1].differs


def test_random_numbers_of_python_and_numpy_are_the_same_too(net, workbench):
    import random

    import numpy

    gaudi_lab.attach(net, "net")
    x = torch.ones(2, 4).to("hpu")
    random.seed(3)
    expected = random.random()
    random.seed(3)
    found = gaudi_lab.compare(
        lambda: net(x) * random.random() * numpy.random.rand(),
        settings=["eager", "lazy"],
        rounds=1,
        calls=1,
        quiet=True,
    )
    assert not found.rows[1].differs
    assert random.random() == expected


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_limit_that_a_destructor_swallows_comes_again():
    import time

    from gaudi_lab.comparison.measuring import TooLong, limited

    class Slow:
        def __del__(self):
            time.sleep(0.3)

    def stay():
        slow = Slow()
        del slow
        time.sleep(30)

    started = time.monotonic()
    with pytest.raises(TooLong), limited(0.1):
        stay()
    assert time.monotonic() - started < 5


def test_a_call_that_hangs_is_stopped_at_its_limit(net, workbench):
    import time

    x = torch.ones(2, 4).to("hpu")

    def sometimes(slow):
        time.sleep(30 if slow else 0)
        return net(x)

    found = gaudi_lab.compare(
        sometimes,
        settings=["eager"],
        over={"slow": [False, True]},
        rounds=1,
        calls=1,
        limit=1.5,
        quiet=True,
    )
    assert "took longer than 1.5 s" in found.rows[1].error
    assert found.best() is found.rows[0]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"settings": ["fast"]}, "not an execution mode"),
        ({"settings": []}, "no settings"),
        ({"over": {"speed": [1]}}, "cannot be varied"),
        ({"settings": ["eager"], "over": {"dynamic": [True]}}, "none of the settings has that on"),
        ({"over": {"dynamic": ["often"]}}, "not a dynamic mode"),
        ({"over": {"dynamic": True}}, "not a list of values"),
        ({"over": {"dtype": ["bf16"]}}, "'bf16' is no type of torch; there are bfloat16"),
        ({"method": "magic"}, "no method"),
        ({"rounds": 0}, "1 at least"),
        ({"over": {"environment": [{"A": 1}]}, "method": "resident"}, 'process.*Run: .*method="fresh"'),
        ({"resume": "nowhere.jsonl"}, "cannot be read"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_runs(net, options, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LabError, match=text):
        gaudi_lab.compare(net, torch.ones(2, 4).to("hpu"), quiet=True, **options)
    assert not list(tmp_path.iterdir())


def test_a_model_on_the_host_is_moved_with_what_goes_in(net):
    found = gaudi_lab.compare(
        net.cpu(), torch.ones(2, 4), settings=["eager", "lazy"], rounds=1, calls=1, quiet=True
    )
    assert not any(row.error for row in found.rows)
    assert "was moved to hpu" in found.notes[-1]
    assert next(net.parameters()).device.type == "hpu"


def test_what_is_no_model_is_refused(workbench):
    with pytest.raises(LabError, match="no model, Trainer, pipeline or function"):
        gaudi_lab.compare(3)


def test_a_file_is_not_overwritten_and_only_what_is_missing_is_measured(net, tmp_path):
    path, inputs = tmp_path / "a.jsonl", torch.ones(2, 4).to("hpu")
    options = {"rounds": 2, "calls": 2, "quiet": True}
    first = gaudi_lab.compare(net, inputs, settings=["eager"], path=path, **options)
    with pytest.raises(LabError, match="is there already"):
        gaudi_lab.compare(net, inputs, settings=["eager"], path=path, **options)
    more = gaudi_lab.compare(net, inputs, settings=["eager", "lazy"], resume=path, **options)
    assert more.rows[0] == first.rows[0]
    assert len(more.rows[1].times) == 4
    assert more.rows[1].difference is not None
    assert gaudi_lab.open_comparison(path).rows == more.rows


def test_what_is_gone_on_with_is_written_to_another_file_if_one_is_named(net, tmp_path):
    inputs, options = torch.ones(2, 4).to("hpu"), {"rounds": 1, "calls": 1, "quiet": True}
    first = gaudi_lab.compare(net, inputs, settings=["eager"], path=tmp_path / "a.jsonl", **options)
    before = first.path.read_bytes()
    options |= {"settings": ["eager", "lazy"], "resume": first}
    more = gaudi_lab.compare(net, inputs, path=tmp_path / "b.jsonl", **options)
    assert more.path == tmp_path / "b.jsonl"
    assert gaudi_lab.open_comparison(more.path).rows == more.rows
    assert more.rows[0] == first.rows[0]
    assert first.path.read_bytes() == before
    with pytest.raises(LabError, match="is there already"):
        gaudi_lab.compare(net, inputs, path=more.path, **options)


def test_what_is_something_else_is_not_gone_on_with(net):
    small, large = (torch.ones(rows, 4).to("hpu") for rows in (2, 8))
    options = {"settings": ["eager"], "rounds": 1, "calls": 1, "quiet": True}
    found = gaudi_lab.compare(net, small, **options)
    with pytest.raises(LabError, match=r"input 2×4 float32, now 8×4 float32\."):
        gaudi_lab.compare(net, large, resume=found, **options)
    assert gaudi_lab.compare(net, small, resume=found, **options).rows == found.rows
    found = gaudi_lab.compare(lambda: net(small), **options)
    with pytest.raises(LabError, match="its code"):
        gaudi_lab.compare(lambda: net(large), resume=found, **options)
    assert gaudi_lab.compare(lambda: net(small), resume=found, **options).rows == found.rows


def test_a_trainer_is_evaluated(workbench, tmp_path):
    from transformers import BertConfig, BertForSequenceClassification

    from gaudi_lab.transformers import GaudiTrainer, GaudiTrainingArguments

    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = BertForSequenceClassification(BertConfig(**sizes, intermediate_size=32)).eval()
    data = [{"input_ids": torch.arange(i, i + 6), "labels": i % 2} for i in range(10)]
    arguments = GaudiTrainingArguments(
        use_habana=True, output_dir=str(tmp_path), per_device_eval_batch_size=4, report_to="none"
    )
    trainer = GaudiTrainer(
        model=model,
        args=arguments,
        eval_dataset=data,
        compute_metrics=lambda p: {"accuracy": float((p.predictions.argmax(-1) == p.label_ids).mean())},
    )
    compute, size = trainer.compute_metrics, arguments.per_device_eval_batch_size
    found = gaudi_lab.compare(
        trainer.evaluate,
        settings=["lazy", "lazy + HPU graphs + FusedSDPA", "eager"],
        over={"batch_size": [4, 5]},
        rounds=1,
        calls=1,
        quiet=True,
    )
    assert [row.error for row in found.rows] == [""] * 6
    assert not any(row.differs for row in found.rows)
    assert {row.samples for row in found.rows} == {10}
    assert found.kind == "trainer"
    assert (trainer.compute_metrics, arguments.per_device_eval_batch_size) == (compute, size)


@pytest.mark.parametrize(
    ("given", "own", "samples"),
    [
        ({}, [1, 2], 2),
        ({"eval_dataset": None}, [1, 2], 2),
        ({"eval_dataset": [1, 2, 3]}, [1], 3),
        ({}, {"mnli": [1, 2], "sst2": [1]}, 3),
        ({"eval_dataset": "mnli"}, {"mnli": [1, 2], "sst2": [1]}, 2),
        ({"eval_dataset": "mnli"}, None, None),
        ({}, iter([1, 2]), None),
    ],
)
def test_the_samples_of_an_evaluation_are_those_of_its_data_sets(given, own, samples):
    call = EvaluationCall(SimpleNamespace(eval_dataset=own), given)
    assert call.samples(None, {}) == samples


def test_options_of_compile_are_varied_where_it_is_on_and_measured(net):
    found = gaudi_lab.compare(
        net,
        torch.randn(4, 4).to("hpu"),
        settings=["eager", "compile"],
        over={
            "batch_size": [4, 5],
            "dynamic": [False, True],
            "backend_options": [None, {"inference": False}],
        },
        rounds=1,
        calls=1,
        quiet=True,
    )
    assert [str(row.candidate) for row in found.rows][:4] == [
        "eager, batch_size 4",
        "eager, batch_size 5",
        "compile (no dynamic), batch_size 4",
        "compile (no dynamic), batch_size 5",
    ]
    assert len(found.rows) == 10
    assert not any(row.error or row.differs for row in found.rows)
    assert {row.ran.mode for row in found.rows[2:]} == {"compile"}


def test_a_function_whose_argument_has_the_name_of_an_option_gets_it(net, workbench):
    gaudi_lab.attach(net, "net")
    x = torch.ones(2, 4).to("hpu")
    found = gaudi_lab.compare(
        lambda dynamic: net(x) * dynamic,
        settings=["eager"],
        over={"dynamic": [1, 2]},
        rounds=1,
        calls=1,
        quiet=True,
    )
    assert [str(row.candidate) for row in found.rows] == ["eager, dynamic 1", "eager, dynamic 2"]
    assert [row.differs for row in found.rows] == [False, True]


def test_operators_are_established_by_what_is_compared(workbench):
    llama = tiny_models.llama().requires_grad_(False).to("hpu")
    ids = torch.arange(6)[None].to("hpu")
    options = {"rounds": 1, "calls": 1, "quiet": True}
    found = gaudi_lab.compare(
        llama, {"input_ids": ids}, settings=["eager", "eager + operators (rms_norm)"], **options
    )
    assert [(row.error, row.differs) for row in found.rows] == [("", False)] * 2
    gaudi_lab.attach(llama, "llama")
    found = gaudi_lab.compare(lambda: llama(ids).logits, settings=["eager + operators (rms_norm)"], **options)
    assert [row.error for row in found.rows] == [""]


def test_too_few_times_say_nothing_of_who_wins(net):
    found = gaudi_lab.compare(
        net, torch.ones(2, 4).to("hpu"), settings=["eager", "lazy"], rounds=1, calls=2, quiet=True
    )
    assert "nothing is said to win: that takes 5 timed calls of each" in str(found)
