"""The script that writes the ways of docs/design.md."""

import importlib.util
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "tools" / "trace_paths.py"
ADD = "one torch.add, recorded and read"


def test_it_names_the_files_of_one_way_in_the_order_of_their_first_call(workbench, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    spec = importlib.util.spec_from_file_location("trace_paths", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    ((name, files),) = script.trace([ADD])
    assert name == ADD
    assert all((script.PACKAGE / file).exists() for file in files)
    assert len(files) == len(set(files))
    names = [Path(file).stem for file in files]
    assert names.index("dispatch") < names.index("transfer") < names.index("compile")
    assert sys.getprofile() is None


def test_it_writes_between_the_markers_and_nowhere_else(tmp_path):
    document = tmp_path / "design.md"
    document.write_text("before\n<!-- ways -->\nold\n<!-- ways -->\nafter\n")
    subprocess.run([sys.executable, SCRIPT, ADD, "--write", document], check=True, capture_output=True)
    first, mark, line, *rest = document.read_text().splitlines()
    assert (first, mark, rest) == ("before", "<!-- ways -->", ["<!-- ways -->", "after"])
    assert line.startswith(f"- **{ADD}** (")
