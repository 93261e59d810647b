"""Traces which files of `gaudi_lab` run on five ways through it, from the start of an act to its end.

    python tools/trace_paths.py [WAY ...] [--write docs/design.md]

Prints each way as one line: how many files, how many of them lie outside the emulator, and their names in the order
of their first call. Every way is gone once before it is traced, so that what an import runs is not counted; threads
are. `--write` puts the lines into a document, between the two markers `<!-- ways -->`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType

# Before torch: replay needs no C++ compiler, and the way is the same with one thread as with many.
os.environ.setdefault("GAUDI_LAB_COMPILER", "replay")
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "unit" / "diffusers"))  # the tiny pipeline of the tests

import gaudi_lab

PACKAGE = Path(gaudi_lab.__file__).parent
MARKER = "<!-- ways -->"

Act = Callable[[], object]
"""What is traced. A way is a function that prepares everything and returns it."""


def files_run(act: Act) -> list[str]:
    """Run `act` and return the files of `gaudi_lab` of which a function ran, in the order of their first call."""
    seen: dict[CodeType, None] = {}  # in order, and quick: this is called for every function of every library

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            seen.setdefault(frame.f_code)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            act()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    # A module's own code runs when it is imported, which is not a call.
    paths = [Path(code.co_filename) for code in seen if code.co_name != "<module>"]
    inside = [path.relative_to(PACKAGE).as_posix() for path in paths if path.is_relative_to(PACKAGE)]
    return list(dict.fromkeys(inside))


def mode_lazy() -> Act:
    """Run `%gaudi_mode lazy` in a notebook with one model, until the answer is shown."""
    from IPython import get_ipython

    shell = get_ipython()
    gaudi_lab.mode("eager")
    shell.user_ns["model"] = _classifier().to("hpu")
    shell.run_line_magic("gaudi_attach", "model")
    return lambda: shell.run_line_magic("gaudi_mode", "lazy")


def mode_lazy_effect() -> Act:
    """Run the same until the switches have moved and the workbench tells who wants to know."""
    from gaudi_lab.workbench import lab

    act = mode_lazy()
    subscription = lab.current().subscribe(lambda _: sys.setprofile(None))

    def act_until_told() -> None:
        act()
        subscription.remove()

    return act_until_told


def one_add() -> Act:
    """Add two tensors in lazy mode: recorded for the first time, compiled, run, and the sum read."""
    import torch

    gaudi_lab.mode("lazy")
    size = next(_NEW_SIZES)
    left, right = torch.ones(size).to("hpu"), torch.ones(size).to("hpu")
    return lambda: torch.add(left, right).cpu()


_NEW_SIZES = itertools.count(1)  # of which nothing is compiled yet


def captured_call() -> Act:
    """Call a module with HPU graphs: its capture, and its replay."""
    import torch

    gaudi_lab.mode("lazy")
    module = torch.nn.Linear(4, 2).eval().requires_grad_(False).to("hpu")
    inputs = torch.ones(3, 4).to("hpu")
    gaudi_lab.hpu_graphs(module)

    def act() -> None:
        for _ in range(2):
            module(inputs).cpu()

    return act


def evaluate() -> Act:
    """Evaluate a tiny classifier with `GaudiTrainer` in lazy mode, and show the table of its batches."""
    import torch

    from gaudi_lab.transformers import GaudiTrainer, GaudiTrainingArguments

    class Samples(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
        def __len__(self) -> int:
            return 8

        def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
            return {"input_ids": torch.full((8,), index + 1), "labels": torch.tensor(index % 3)}

    gaudi_lab.mode("lazy")
    options = {"per_device_eval_batch_size": 4, "report_to": "none"}
    args = GaudiTrainingArguments(output_dir=tempfile.mkdtemp(), use_habana=True, **options)
    trainer = GaudiTrainer(model=_classifier(), args=args, eval_dataset=Samples())
    return lambda: (trainer.evaluate(), repr(trainer.warmup))


def images() -> Act:
    """Draw images of a prompt, with a tiny Stable Diffusion in lazy mode."""
    import tiny

    from gaudi_lab.diffusers import GaudiDDIMScheduler, GaudiStableDiffusionPipeline

    gaudi_lab.mode("lazy")
    pipeline = GaudiStableDiffusionPipeline(**tiny.parts(GaudiDDIMScheduler), use_habana=True)
    return lambda: pipeline("a red seven", num_inference_steps=2, height=16, width=16)


def _classifier() -> object:
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 32, "max_position_embeddings": 32}
    config = BertConfig(num_hidden_layers=1, num_attention_heads=2, num_labels=3, **sizes)
    return BertForSequenceClassification(config).eval().requires_grad_(False)


WAYS = {
    "%gaudi_mode lazy, to its effect": mode_lazy_effect,
    "%gaudi_mode lazy, to its answer": mode_lazy,
    "one torch.add, recorded and read": one_add,
    "a captured call and its replay": captured_call,
    "GaudiTrainer.evaluate(), to its table": evaluate,
    "a prompt to images": images,
}


def trace(names: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Go each way once, and again under the tracer; yield its name and the files that ran."""
    for name in names:
        with _notebook():
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                WAYS[name]()()
                act = WAYS[name]()
            yield name, files_run(act)


@contextlib.contextmanager
def _notebook() -> Iterator[None]:
    """Have a shell with the extension, and leave nothing of it to the next way."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    gaudi_lab.load_ipython_extension(shell)
    try:
        yield
    finally:
        gaudi_lab.unload_ipython_extension(shell)
        InteractiveShell.clear_instance()


def _line(name: str, files: list[str]) -> str:
    outside = sum(not file.startswith("emulator/") for file in files)
    return f"- **{name}** ({len(files)} files, {outside} outside the emulator): {' · '.join(files)}"


def main() -> None:
    """Print the ways, or write them into a document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ways", nargs="*", default=[], metavar="WAY", help=f"of: {', '.join(WAYS)}")
    parser.add_argument("--write", type=Path, help="a document with two markers")
    options = parser.parse_args()
    lines = [_line(name, files) for name, files in trace(options.ways or [*WAYS])]
    print("\n".join(lines))
    if options.write:
        before, _, after = options.write.read_text().split(MARKER)
        options.write.write_text("\n".join([before + MARKER, *lines, MARKER + after]))


if __name__ == "__main__":
    main()
