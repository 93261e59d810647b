"""The side of the process that tries one candidate once."""

from __future__ import annotations

import json
import os
import pickle
import sys
from pathlib import Path
from typing import Any, NoReturn


def main() -> NoReturn:
    """Try what the folder asks for whose path is the one argument; it ends the process."""
    try_once(Path(sys.argv[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    # Nothing is taken down at the end: that could run anything, and is not what was asked.
    os._exit(0)


def try_once(folder: Path) -> None:
    """Try what is asked for, and write down what came of it."""
    sys.path[:] = json.loads(sys.stdin.read())["path"]
    import torch

    from gaudi_lab import bridge
    from gaudi_lab.comparison.methods import fresh
    from gaudi_lab.comparison.methods.attempt import attempt
    from gaudi_lab.comparison.records import Journal
    from gaudi_lab.comparison.row import FRESH

    bridge.load()
    (folder / fresh.STARTED).touch()
    kept = folder / fresh.REFERENCE
    candidate, number, plan = pickle.loads((folder / fresh.ASKED).read_bytes())

    def reference() -> Any:
        return torch.load(kept, weights_only=False) if kept.exists() else None

    outputs = attempt(
        lambda: fresh.unpacked(folder),
        candidate,
        number,
        plan,
        Journal(folder / fresh.RECORDS),
        FRESH,
        reference,
    )
    if outputs is not None and not kept.exists():
        made = kept.with_suffix(".part")
        torch.save(outputs, made)
        os.replace(made, kept)
