"""The script that writes the ways of docs/design.md."""

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "trace_paths.py"
ADD = "one torch.add, recorded and read"


@pytest.fixture
def script(workbench, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    spec = importlib.util.spec_from_file_location("trace_paths", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_names_the_files_of_one_way_in_the_order_of_their_first_call(script):
    ((name, files),) = script.trace([ADD])
    assert name == ADD
    assert all((script.PACKAGE / file).exists() for file in files)
    assert len(files) == len(set(files))
    names = [Path(file).stem for file in files]
    assert names.index("dispatch") < names.index("transfer") < names.index("compile")
    assert sys.getprofile() is None


def test_a_thread_counts_and_what_is_not_ours_does_not(script):
    from concurrent.futures import ThreadPoolExecutor

    from gaudi_lab.errors import LabError

    error = LabError("It cannot.")

    def act():
        with ThreadPoolExecutor(1) as pool:
            pool.submit(error.for_notebook).result()

    assert script.files_run(act) == ["errors.py"]


def test_it_writes_between_the_markers_and_nowhere_else(script, tmp_path, monkeypatch, capsys):
    document = tmp_path / "design.md"
    document.write_text("before\n<!-- ways -->\nold\n<!-- ways -->\nafter\n")
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), ADD, "--write", str(document)])
    script.main()
    first, mark, line, *rest = document.read_text().splitlines()
    assert (first, mark, rest) == ("before", "<!-- ways -->", ["<!-- ways -->", "after"])
    assert line.startswith(f"- **{ADD}** (")
    assert capsys.readouterr().out.strip() == line


def test_a_change_of_the_mode_runs_no_more_than_twelve_files(script):
    ((_, files),) = script.trace(["%gaudi_mode lazy, to its effect"])
    assert "workbench/lab.py" in files
    assert len(files) <= 12
