"""Print microseconds for each step of a model: the first that the process records, and the same of another length.

Run: python benchmarks/limits/cold_step.py
"""

from __future__ import annotations

import os
import time

os.environ.update(OMP_NUM_THREADS="1", PT_HPU_LAZY_MODE="1", GAUDI_LAB_COMPILER="replay")

import gaudi_lab.emulator

gaudi_lab.emulator.install()

import habana_frameworks.torch.core as htcore
import torch
from transformers import BertConfig, BertModel

from gaudi_lab.emulator.lazy import record


@torch.no_grad()
def main() -> None:
    """Record twelve layers of BERT without a mask: the host reads nothing on the way."""
    sizes = {"num_hidden_layers": 12, "hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 128}
    model = BertModel(BertConfig(**sizes), add_pooling_layer=False).eval().to("hpu")
    (torch.ones(2).to("hpu") + 1).cpu()  # PyTorch imports what it makes fake tensors with
    for length in (16, 24):
        ids = torch.randint(1000, 2000, (1, length)).to("hpu")
        htcore.mark_step()
        recording = record.tape.recording
        started = time.thread_time()
        out = model(input_ids=ids).last_hidden_state
        seconds = time.thread_time() - started
        if record.tape.recording is not recording:
            raise SystemExit("a value was read on the way: more than recording was measured")
        print(seconds / recording.steps * 1e6)
        del out


if __name__ == "__main__":
    main()
