"""GaudiTrainer evaluates a tiny BERT; prints the metrics that do not depend on time as JSON.

python trainer_evaluation.py {cpu,eager,lazy,graphs}
"""

from __future__ import annotations

import json
import sys
import tempfile

import torch
from optimum.habana import GaudiConfig, GaudiTrainer, GaudiTrainingArguments
from transformers import BertConfig, BertForSequenceClassification


class Sentences(torch.utils.data.Dataset):
    """Twenty-two random sentences: the last batch of four is smaller."""

    def __len__(self) -> int:
        return 22

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(index)
        return {
            "input_ids": torch.randint(0, 100, (16,), generator=generator),
            "attention_mask": torch.ones(16, dtype=torch.long),
            "labels": torch.tensor(index % 2),
        }


def main(mode: str) -> None:
    """Evaluate twice."""
    device = (
        {"use_habana": False, "use_lazy_mode": False, "use_cpu": True}
        if mode == "cpu"
        else {
            "use_habana": True,
            "use_lazy_mode": mode in ("lazy", "graphs"),
            "use_hpu_graphs_for_inference": mode == "graphs",
        }
    )
    arguments = GaudiTrainingArguments(
        output_dir=tempfile.mkdtemp(),
        per_device_eval_batch_size=4,
        report_to="none",
        throughput_warmup_steps=2,
        disable_tqdm=True,
        **device,
    )
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=100,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        num_labels=2,
    )
    trainer = GaudiTrainer(
        model=BertForSequenceClassification(config).eval(),
        gaudi_config=GaudiConfig(),
        args=arguments,
        eval_dataset=Sentences(),
        compute_metrics=lambda p: {"accuracy": float((p.predictions.argmax(-1) == p.label_ids).mean())},
    )
    results = [trainer.evaluate() for _ in range(2)]
    assert mode == "cpu" or trainer.args.device.type == "hpu"
    print("RESULT", json.dumps([[x["eval_loss"], x["eval_accuracy"]] for x in results]))


if __name__ == "__main__":
    main(sys.argv[1])
