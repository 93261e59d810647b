"""The command `gaudi-lab`: open the lab, run the tour, look the machine over, run a Gaudi script anywhere."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(_with_end_of_options(sys.argv[1:] if argv is None else list(argv)))
    return int(options.run(options))


def _with_end_of_options(argv: list[str]) -> list[str]:
    """Mark where the options of `run` end, so that `-m module` and `-c code` belong to Python, not to us."""
    if argv[:1] != ["run"]:
        return argv
    for position, word in enumerate(argv):
        if word in ("-m", "-c"):
            return [*argv[:position], "--", *argv[position:]]
        if position and not word.startswith("-") and argv[position - 1] not in ("--mode", "--python"):
            break
    return argv


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gaudi-lab", description=__doc__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    lab = commands.add_parser("lab", help="open JupyterLab on a tutorial")
    lab.add_argument("notebook", nargs="?", help="which one (default: the first)")
    lab.set_defaults(run=_lab)

    tour = commands.add_parser("tour", help="run every tutorial without a browser and leave HTML")
    tour.add_argument("notebooks", nargs="*", type=Path, help="which ones (default: all)")
    tour.add_argument(
        "--out", type=Path, default=Path("site"), help="the folder for the HTML (default: site)"
    )
    tour.set_defaults(run=_tour)

    doctor = commands.add_parser("doctor", help="say which bridge is here, and what is missing")
    doctor.set_defaults(run=_doctor)

    new = commands.add_parser("new-op", help="write a folder for an operator of your own")
    new.add_argument("name", help="what to call it")
    new.add_argument("--folder", type=Path, help="where (default: a folder of that name)")
    new.add_argument("--device", default="gaudi2", help="for its TPC kernel: gaudi, gaudi2 or gaudi3")
    new.set_defaults(run=_new_op)

    script = commands.add_parser(
        "run",
        help="run a Gaudi script, on the emulated bridge where there is no Gaudi",
        description="Run a Gaudi script in a fresh process. Where no bridge is installed it finds the emulated one.",
    )
    script.add_argument(
        "--mode", choices=("lazy", "eager"), help="the execution mode (default: the bridge's own)"
    )
    script.add_argument("--python", default=sys.executable, help="another environment's Python")
    script.add_argument("script", help="the script, or -m and a module, or -c and code")
    script.add_argument("args", nargs=argparse.REMAINDER, help="its arguments")
    script.set_defaults(run=_run)
    return parser


def _lab(options: argparse.Namespace) -> int:
    from gaudi_lab.cli.tour import open_lab

    return open_lab(options.notebook)


def _tour(options: argparse.Namespace) -> int:
    from gaudi_lab.cli.tour import run_notebooks

    return run_notebooks(options.notebooks, options.out)


def _doctor(options: argparse.Namespace) -> int:  # noqa: ARG001 - every command takes its options
    from gaudi_lab.cli.doctor import examine

    report = examine()
    print(report)
    return 0 if report.healthy else 1


def _new_op(options: argparse.Namespace) -> int:
    from gaudi_lab.cli.new_op import write_operator
    from gaudi_lab.errors import LabError

    try:
        folder = write_operator(options.name, options.folder, device=options.device)
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{folder} has the operator {options.name}. Run: cd {folder} && pytest")
    return 0


def _run(options: argparse.Namespace) -> int:
    from gaudi_lab.cli.run import run_script

    return run_script([options.script, *options.args], mode=options.mode, python=options.python)


if __name__ == "__main__":
    sys.exit(main())
