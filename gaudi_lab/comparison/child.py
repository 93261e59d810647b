"""The side of the process that tries one candidate once: ``python -m gaudi_lab.comparison.child FOLDER``."""

from __future__ import annotations

import json
import os
import pickle
import sys
from pathlib import Path
from typing import Any


def main(folder: Path) -> None:
    """Try what is asked for, and write down what came of it."""
    sys.path[:] = json.loads(sys.stdin.read())["path"]
    import torch

    from gaudi_lab import bridge
    from gaudi_lab.comparison import fresh
    from gaudi_lab.comparison.measuring import Turn, first_line
    from gaudi_lab.comparison.records import Journal
    from gaudi_lab.comparison.row import FRESH

    asked: Any = pickle.loads((folder / fresh.ASKED).read_bytes())
    candidate, number, plan = asked
    journal = Journal(folder / fresh.RECORDS)
    try:
        bridge.load()
        subject = pickle.loads((folder / fresh.SUBJECT).read_bytes())
        turn = Turn(subject, candidate, number, plan, journal, FRESH)
        kept = folder / fresh.REFERENCE
        with subject.put(candidate):
            turn.warm_up(first=True)
            outputs = turn.outputs()
            reference = torch.load(kept, weights_only=False) if kept.exists() else None
            same = turn.show_evidence(reference, outputs)
            if reference is None:
                made = kept.with_suffix(".part")
                torch.save(outputs, made)
                os.replace(made, kept)
            if same:
                turn.time()
    except Exception as error:
        journal.add("error", candidate=str(candidate), method=FRESH, error=first_line(error))


if __name__ == "__main__":
    # Nothing is taken down at the end: that could run anything, and is not what was asked.
    main(Path(sys.argv[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
