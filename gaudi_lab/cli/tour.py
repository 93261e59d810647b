"""The tutorials: where they are, opening them, and running them without a browser."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from gaudi_lab.cli.foreground import run_in_foreground

FIRST = "01_execution_modes.ipynb"


def notebooks_folder() -> Path:
    """Return the folder of the tutorials: of the checkout, else below the present folder.

    Raises
    ------
    FileNotFoundError
        There are no tutorials in either place.
    """
    for folder in (Path(__file__).resolve().parents[2] / "notebooks", Path("notebooks")):
        if folder.is_dir() and any(folder.glob("*.ipynb")):
            return folder
    raise FileNotFoundError(
        "No tutorials here: they are in the folder `notebooks` of a checkout. Run gaudi-lab from there."
    )


def open_lab(notebook: str | None = None) -> int:
    """Open JupyterLab on a tutorial, the first by default, and return its exit code."""
    path = Path(notebook) if notebook else notebooks_folder() / FIRST
    return run_in_foreground([sys.executable, "-m", "jupyter", "lab", str(path)])


def run_notebooks(notebooks: Sequence[Path], out: Path) -> int:
    """Run the tutorials in real kernels, write each as HTML into `out`, and return 0 if none failed."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    from gaudi_lab.cli.pages import PageExporter

    out.mkdir(parents=True, exist_ok=True)
    failed = []
    for path in notebooks or sorted(notebooks_folder().glob("*.ipynb")):
        print(f"{path.name} ...", end=" ", flush=True)
        notebook = nbformat.read(path, as_version=4)
        client = NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(path.parent)}})
        try:
            client.execute()
            print("done", end=" ")
        except CellExecutionError as error:
            failed.append(path.name)
            print(f"failed: {error.ename}: {error.evalue}", end=" ")
        page, _ = PageExporter().from_notebook_node(notebook)
        target = out / path.with_suffix(".html").name
        target.write_text(page, encoding="utf-8")
        print(f"-> {target}")
    return 1 if failed else 0
