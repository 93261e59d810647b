"""Runs the tutorials anew from their text twins, and writes the notebooks with what they show.

    python tools/run_tutorials.py [NAME ...]

Their outputs hold times, so that the machine should have nothing else to do.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
PATIENCE = 900  # seconds a cell


def run(twin: Path) -> None:
    """Run a tutorial and write its notebook. If a cell fails that may not, nothing is written."""
    path = twin.with_suffix(".ipynb")
    before = nbformat.read(path, as_version=4)
    notebook = jupytext.read(twin)
    notebook.metadata = dict(before.metadata)
    NotebookClient(notebook, timeout=PATIENCE, resources={"metadata": {"path": str(FOLDER)}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # when each cell ran
    if "widgets" not in before.metadata:  # their state is large, and only a panel is worth it
        notebook.metadata.pop("widgets", None)
    nbformat.write(notebook, path)


def main() -> None:
    """Run those that are named, or all."""
    names = sorted(twin.stem for twin in FOLDER.glob("*.py"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(names)}")
    chosen = parser.parse_args().names or names
    if unknown := sorted(set(chosen) - set(names)):
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(names)}")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.pop("PT_HPU_LAZY_MODE", None)
    for name in chosen:
        print(f"running {name} ...", flush=True)
        run(FOLDER / f"{name}.py")


if __name__ == "__main__":
    main()
