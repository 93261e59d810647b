"""What README.md shows and promises of the tutorials is what they show and need."""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path

import gaudi_lab

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NOTEBOOKS = ROOT / "notebooks"

OF_OTHER_NAMES = {"sklearn": "scikit_learn"}
BESIDE_THEM = {"gaudi_lab", "digits_diffusion"}


def read_lines_shown(number):
    """Return the lines that a tutorial's outputs show, with single spaces between words."""
    (path,) = NOTEBOOKS.glob(f"{number}_*.ipynb")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = [
        "".join(output.get("text") or output.get("data", {}).get("text/plain", ""))
        for cell in cells
        for output in cell.get("outputs", ())
    ]
    return {" ".join(line.split()) for text in texts for line in text.splitlines()}


def test_rows_of_a_tutorial_are_those_that_it_shows():
    blocks = re.findall(r"rows of tutorial (\d+).*\n((?:.+\n)+?)```", README)
    assert blocks
    for number, rows in blocks:
        shown = read_lines_shown(number)
        assert [row for row in rows.splitlines() if " ".join(row.split()) not in shown] == []


def test_it_names_all_that_there_is_of_optimum_habana():
    ported = [*gaudi_lab.transformers.__all__, *gaudi_lab.diffusers.__all__]
    (said,) = re.findall(r"A script written for optimum-habana.*?\n\n", README, re.DOTALL)
    assert [name for name in ported if f"`{name}`" not in said] == []


def test_what_the_tutorials_import_comes_with_their_extra():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = [*project["dependencies"], *project["optional-dependencies"]["notebooks"]]
    there = {re.match(r"[\w-]+", line)[0].replace("-", "_") for line in required}
    needed = set()
    for path in NOTEBOOKS.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
                needed |= {name.partition(".")[0] for name in names}
        if ".to_frame(" in text:
            needed.add("pandas")
    third_party = needed - BESIDE_THEM - set(sys.stdlib_module_names)
    assert {OF_OTHER_NAMES.get(name, name) for name in third_party} <= there
