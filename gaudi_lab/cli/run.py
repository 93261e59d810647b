"""Runs a Gaudi script in a process of its own, on the emulated bridge.

The script's environment need not know Gaudi Lab: a folder made for the run holds the package
`habana_frameworks`, the metadata of the distribution `habana-torch-plugin` that programs look for, and the
entry point by which `import torch` loads the bridge.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from gaudi_lab import bridge
from gaudi_lab.cli.foreground import run_in_foreground
from gaudi_lab.emulator.process.mode import LAZY_VARIABLE
from gaudi_lab.emulator.process.release import version

_PACKAGE = Path(__file__).resolve().parent.parent
_COMMANDS = "commands"
_MPIRUN = """#!/bin/sh
echo "mpirun: MPI is not installed here, and not emulated. Start N processes with:" \\
     "python -m torch.distributed.run --nproc_per_node N SCRIPT" >&2
exit 127
"""


def run_script(command: Sequence[str], mode: str | None = None, python: str = sys.executable) -> int:
    """Run `python *command` and return its exit code.

    Parameters
    ----------
    command
        A script and its arguments; or ``-m`` and a module; or ``-c`` and code.
    mode
        ``"lazy"`` or ``"eager"``; None leaves it to the environment and the release's default.
    python
        The interpreter, of this environment or of another one.
    """
    with tempfile.TemporaryDirectory(prefix="gaudi-lab-") as folder:
        site = make_site(Path(folder))
        return run_in_foreground([python, *command], environment(site, mode))


def environment(site: Path, mode: str | None = None, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment in which a process finds the emulated bridge in the folder `site`."""
    made = dict(os.environ if base is None else base)
    made["PYTHONPATH"] = os.pathsep.join(filter(None, [str(site), made.get("PYTHONPATH")]))
    if (site / _COMMANDS).is_dir():  # behind all others: one that is installed wins
        made["PATH"] = os.pathsep.join(filter(None, [made.get("PATH"), str(site / _COMMANDS)]))
    made["GAUDI_LAB_EMULATE"] = "1"
    if mode is not None:
        made[LAZY_VARIABLE] = "1" if mode == "lazy" else "0"
    return made


def make_site(folder: Path) -> Path:
    """Fill `folder` with what a process needs on its path to find the emulated bridge, and return it.

    Where a real bridge is installed the folder offers nothing: the real one shall be found.
    """
    if not bridge.identity().emulated:
        return folder
    _link(folder / "gaudi_lab", _PACKAGE)
    _link(folder / "gaudi_lab_autoload.py", _PACKAGE.parent / "gaudi_lab_autoload.py")
    _link(folder / "habana_frameworks", _PACKAGE / "emulator" / "habana_frameworks")
    info = folder / f"habana_torch_plugin-{version()}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: habana-torch-plugin\nVersion: {version()}\n"
    )
    (info / "INSTALLER").write_text("gaudi-lab\n")
    (info / "RECORD").write_text("")
    mpirun = folder / _COMMANDS / "mpirun"
    mpirun.parent.mkdir()
    mpirun.write_text(_MPIRUN)
    mpirun.chmod(0o755)
    (info / "entry_points.txt").write_text("[torch.backends]\ngaudi_lab = gaudi_lab_autoload:autoload\n")
    return folder


def _link(name: Path, target: Path) -> None:
    name.symlink_to(target, target_is_directory=target.is_dir())
