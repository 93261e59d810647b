"""`gaudi-lab run`: a script in a process of its own, on the emulated bridge."""

import os
import shutil
import subprocess
import sys
import textwrap

import pytest

from gaudi_lab.cli.main import main
from gaudi_lab.cli.run import environment, make_site
from gaudi_lab.emulator.process.release import version


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


def test_a_script_killed_by_a_signal_ends_as_in_a_shell():
    assert main(["run", "-c", "import os; os.kill(os.getpid(), 9)"]) == 128 + 9


def test_a_site_holds_the_bridge_its_metadata_and_the_entry_point_of_torch(tmp_path):
    site = make_site(tmp_path)
    assert site == tmp_path
    assert {path.name for path in site.iterdir()} == {
        "gaudi_lab",
        "commands",
        "gaudi_lab_autoload.py",
        "habana_frameworks",
        f"habana_torch_plugin-{version()}.dist-info",
    }
    assert (site / "habana_frameworks" / "torch" / "__init__.py").exists()
    assert (site / "gaudi_lab" / "bridge.py").exists()
    (info,) = site.glob("*.dist-info")
    assert f"Name: habana-torch-plugin\nVersion: {version()}\n" in (info / "METADATA").read_text()
    assert "gaudi_lab_autoload:autoload" in (info / "entry_points.txt").read_text()


def test_a_start_by_mpi_says_what_to_use_unless_there_is_one(tmp_path):
    (tmp_path / "site").mkdir()
    site = make_site(tmp_path / "site")
    asked = [shutil.which("sh"), "-c", "mpirun -n 2 python x.py"]
    (tmp_path / "empty").mkdir()
    without = environment(site, None, {"PATH": str(tmp_path / "empty")})
    done = subprocess.run(asked, env=without, capture_output=True, text=True, check=False)
    assert done.returncode == 127
    assert "Start N processes with: python -m torch.distributed.run" in done.stderr
    installed = tmp_path / "bin" / "mpirun"
    installed.parent.mkdir()
    installed.write_text("#!/bin/sh\nexit 5\n")
    installed.chmod(0o755)
    with_one = environment(site, None, {"PATH": str(installed.parent)})
    assert subprocess.run(asked, env=with_one, check=False).returncode == 5


def test_where_a_real_bridge_is_the_site_stays_empty(tmp_path, monkeypatch):
    real, site = tmp_path / "real", tmp_path / "site"
    (real / "habana_frameworks").mkdir(parents=True)
    (real / "habana_frameworks" / "__init__.py").touch()
    site.mkdir()
    monkeypatch.syspath_prepend(real)
    monkeypatch.delitem(sys.modules, "habana_frameworks", raising=False)
    assert list(make_site(site).iterdir()) == []


def test_the_environment_puts_the_site_first_and_keeps_the_rest(tmp_path):
    made = environment(tmp_path, "lazy", {"PYTHONPATH": "mine", "HOME": "/home/me"})
    assert made == {
        "PYTHONPATH": f"{tmp_path}{os.pathsep}mine",
        "HOME": "/home/me",
        "GAUDI_LAB_EMULATE": "1",
        "PT_HPU_LAZY_MODE": "1",
    }


def test_the_mode_is_set_only_where_it_is_asked_for(tmp_path):
    assert environment(tmp_path, "eager", {})["PT_HPU_LAZY_MODE"] == "0"
    assert "PT_HPU_LAZY_MODE" not in environment(tmp_path, None, {})
