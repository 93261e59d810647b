"""The command `gaudi-lab`."""

import textwrap

import pytest

from gaudi_lab.cli import tour
from gaudi_lab.cli.main import main


def test_without_a_command_it_says_which_there_are(capsys):
    with pytest.raises(SystemExit) as exit_:
        main([])
    assert exit_.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


def test_doctor_prints_its_report(capsys):
    assert main(["doctor"]) == 0
    assert "bridge" in capsys.readouterr().out


@pytest.mark.parametrize("mode", ["lazy", "eager"])
def test_run_gives_a_script_the_bridge_the_mode_and_its_arguments(tmp_path, capfd, mode):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
        import sys
        from importlib.metadata import version
        import torch
        import habana_frameworks.torch as ht
        from habana_frameworks.torch.utils.internal import is_lazy
        print("lazy" if is_lazy() else "eager", sys.argv[1:], version("habana-torch-plugin") == ht.__version__)
        print((torch.ones(2, device="hpu") + 1).cpu().tolist())
        sys.exit(3)
        """)
    )
    assert main(["run", "--mode", mode, str(script), "--flag", "value"]) == 3
    out = capfd.readouterr().out
    assert f"{mode} ['--flag', 'value'] True" in out
    assert "[2.0, 2.0]" in out


@pytest.mark.parametrize(
    "command", [["-c", "import sys; sys.exit(len(sys.argv))", "-x"], ["--mode", "lazy", "-m", "this"]]
)
def test_run_takes_code_and_modules_as_python_does(command, capfd):
    assert main(["run", *command]) == (2 if "-c" in command else 0)


def test_tour_runs_a_notebook_and_leaves_html(tmp_path, capsys):
    notebook = _notebook(tmp_path, "print('seen' + ' here')")
    assert main(["tour", str(notebook), "--out", str(tmp_path / "site")]) == 0
    assert "seen here" in (tmp_path / "site" / "small.html").read_text()


def test_tour_fails_and_names_the_error_when_a_cell_fails(tmp_path, capsys):
    notebook = _notebook(tmp_path, "1 / 0")
    assert main(["tour", str(notebook), "--out", str(tmp_path / "site")]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().out
    assert (tmp_path / "site" / "small.html").exists()


def test_tutorials_are_those_of_the_checkout():
    assert (tour.notebooks_folder() / tour.FIRST).exists()


def _notebook(folder, source):
    import nbformat
    from nbformat.v4 import new_code_cell, new_notebook

    path = folder / "small.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(source)]), path)
    return path
