"""A program that evaluates a classifier and a language model, and prints the metrics: run alone or by a launcher."""

from __future__ import annotations

import json
import sys

import torch
from transformers import BertConfig, BertForSequenceClassification, LlamaConfig, LlamaForCausalLM

from gaudi_lab.transformers import GaudiTrainer, GaudiTrainingArguments

SIZES = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
SIZES |= {"intermediate_size": 32}
OF_RESULTS = ("eval_loss", "eval_count", "eval_sum", "eval_labels")


def summarize(prediction):
    predictions, labels = prediction.predictions, prediction.label_ids
    return {"count": len(labels), "sum": float(predictions.sum()), "labels": int(labels.sum())}


def evaluate(folder, count=125):
    """Return the metrics of both models, and how many batches there were."""
    torch.manual_seed(0)
    models = [
        BertForSequenceClassification(BertConfig(**SIZES, num_labels=3)),
        LlamaForCausalLM(LlamaConfig(**SIZES, use_cache=False)),
    ]
    tokens = torch.randint(1, 50, (count, 6), generator=torch.Generator().manual_seed(0))
    # Batches of a language model have different numbers of tokens that count.
    counted = torch.where(torch.arange(6) < 2 + torch.arange(count)[:, None] % 4, tokens, -100)
    labels = [torch.arange(count) % 3, counted]
    found = []
    for model, own in zip(models, labels, strict=True):
        data = [{"input_ids": x, "labels": y} for x, y in zip(tokens, own, strict=True)]
        arguments = GaudiTrainingArguments(
            use_habana=True,
            output_dir=str(folder),
            per_device_eval_batch_size=8,
            report_to="none",
            disable_tqdm=True,
        )
        trainer = GaudiTrainer(model=model, args=arguments, eval_dataset=data, compute_metrics=summarize)
        metrics = trainer.evaluate()
        assert arguments.average_tokens_across_devices  # as it was
        batches = trainer.warmup.iterations
        # Which batches compile nothing, because none is joined with the others on the device.
        steady = sum(batch.steady for batch in batches)
        found.append(
            {**{name: metrics[name] for name in OF_RESULTS}, "batches": len(batches), "steady": steady > 2}
        )
    return found


def check_two_processes(printed, folder):
    """Check that what two processes printed is what this one finds."""
    import pytest

    (told,) = [json.loads(line) for line in printed.splitlines() if line.startswith('{"backend"')]
    assert (told["backend"], told["processes"]) == ("hccl", 2)
    for two, one in zip(told["told"], evaluate(folder), strict=True):
        assert two["eval_count"] == 125
        assert two == {
            **one,
            "eval_loss": pytest.approx(one["eval_loss"], rel=1e-6),
            "eval_sum": pytest.approx(one["eval_sum"], rel=1e-4),
            "batches": 8,
            "steady": True,
        }
        assert one["batches"] == 16


if __name__ == "__main__":
    import torch.distributed as dist

    told = evaluate(sys.argv[1])
    # By one rank, so that no other's line comes between.
    if dist.get_rank() == 0:
        print(json.dumps({"backend": dist.get_backend(), "processes": dist.get_world_size(), "told": told}))
