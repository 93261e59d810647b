"""A Trainer evaluating 200 batches, with the panel open and without. `overhead.py` runs this in a kernel.

Only in a kernel does the panel send. What is measured is CPU time of all threads, which a busy machine
disturbs less than the clock on the wall; and, because even that varies by more than the panel costs, the
panel's own two parts apart.
"""

import json
import threading
import time

import gaudi_lab

gaudi_lab.mode("eager")

import torch
from transformers import BertConfig, BertForSequenceClassification

BATCHES = 200

judge = BertForSequenceClassification(
    BertConfig(
        vocab_size=1000,
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
    )
).eval()
trainer = gaudi_lab.GaudiTrainer(
    model=judge,
    args=gaudi_lab.GaudiTrainingArguments(
        output_dir="out",
        use_habana=True,
        use_lazy_mode=False,
        per_device_eval_batch_size=1,
        report_to="none",
        disable_tqdm=True,
    ),
)
rows = [{"input_ids": list(range(16)), "labels": 0}] * BATCHES
gaudi_lab.attach(trainer, "trainer")

times: dict[str, list[float]] = {
    "no panel": [],
    "panel open": [],
    "  watching the calls": [],
    "  sending": [],
}


class Nothing(torch.nn.Module):
    """A model whose calls take no time, so that what is left is the watching."""

    def forward(self, input_ids: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the inputs."""
        return input_ids, labels


def evaluate(with_panel: bool) -> float:
    """Return the CPU seconds of one evaluation, and note those of the thread that sends."""
    panel = gaudi_lab.panel() if with_panel else None
    started = time.process_time()
    trainer.evaluate(rows)
    spent = time.process_time() - started
    if panel is not None:
        (thread,) = (t for t in threading.enumerate() if t.name == "gaudi-lab-panel")
        times["  sending"].append(time.clock_gettime(time.pthread_getcpuclockid(thread.ident)))
        panel.close()
    return spent


def watching() -> float:
    """Return the CPU seconds that watching so many calls takes."""
    nothing, ids = Nothing(), torch.ones(1, 16, device="hpu")

    def calls() -> float:
        started = time.process_time()
        for _ in range(BATCHES):
            nothing(input_ids=ids, labels=ids)
        return time.process_time() - started

    unwatched = calls()
    with gaudi_lab.attach(nothing, "nothing"):
        panel = gaudi_lab.panel("nothing")
        watched = calls()
        panel.close()
    return watched - unwatched


def measure(rounds: int) -> str:
    """Return the seconds of each round as JSON; one round before them warms up."""
    for number in range(rounds + 1):
        # The order turns around each time, so that a slow drift favours neither.
        for with_panel in (False, True) if number % 2 else (True, False):
            times["panel open" if with_panel else "no panel"].append(evaluate(with_panel))
        times["  watching the calls"].append(watching())
    return json.dumps({name: seconds[-rounds:] for name, seconds in times.items()})
