"""Programs in processes of their own, forked from one that has imported PyTorch, which takes most of their time.

They find torch and the libraries that are asked for imported, and nothing of ours: `gaudi_lab`, the bridge and the mode
are as in any fresh process. Not for a program that is about how Python starts or in which order something is imported,
nor for one that is to share nothing with all others: seeds of hashes and addresses of libraries are the same in all
that are not forked apart.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
_TIMEOUT = 300.0

# What is forked returns from `_serve` and runs its program as Python runs one, to the functions of `atexit`.
_SERVER = """
def _serve():
    import importlib, json, os, sys

    for line in sys.stdin:
        asked = json.loads(line)
        for name in asked["libraries"]:
            importlib.import_module(name)
        child = os.fork()
        if not child:
            break
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    else:
        os._exit(0)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    for number, name in enumerate((os.devnull, asked["out"], asked["err"])):
        os.dup2(os.open(name, os.O_RDWR), number)
    sys.argv = ["-c", *asked["arguments"]]
    sys.path[:0] = [x for x in os.environ.get("PYTHONPATH", "").split(os.pathsep) if x and x not in sys.path]
    if asked["quiet"]:
        import warnings
        warnings.simplefilter("ignore")
    if os.environ.get("GAUDI_LAB_EMULATE", "0") not in ("", "0"):
        import gaudi_lab_autoload
        gaudi_lab_autoload.install()
    return compile(asked["code"], "<string>", "exec", dont_inherit=True)
_code = _serve()
exec(globals().pop("_code"))
"""


def run_forked(
    code: str,
    *arguments: str,
    libraries: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    quiet: bool = False,
    apart: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run a program as `python -c` does, and return how it ended and what it printed.

    Parameters
    ----------
    libraries
        What else to have imported before.
    environment
        Its variables; those of this process if not given.
    quiet
        Show no warnings.
    apart
        Fork it from another process, with which those that are not forked apart share nothing.
    """
    server = _server(apart)
    assert server.stdin is not None
    assert server.stdout is not None
    with tempfile.NamedTemporaryFile("r") as out, tempfile.NamedTemporaryFile("r") as err:
        asked = {
            "code": code,
            "arguments": arguments,
            "libraries": ["torch", *libraries],
            "environment": dict(os.environ if environment is None else environment),
            "folder": str(folder or Path.cwd()),
            "quiet": quiet,
            "out": out.name,
            "err": err.name,
        }
        server.stdin.write(json.dumps(asked) + "\n")
        server.stdin.flush()
        if not select.select([server.stdout], [], [], _TIMEOUT)[0]:
            server.kill()
            _server.cache_clear()
            raise TimeoutError(
                f"The program did not end within {_TIMEOUT:.0f} s:\n{out.read()}\n{err.read()}"
            )
        ended = server.stdout.readline()
        return subprocess.CompletedProcess(list(arguments), int(ended), out.read(), err.read())


@cache
def _server(apart: bool) -> subprocess.Popen[str]:
    mine = ("GAUDI_LAB_", "PT_HPU_", "PYTHONHASHSEED")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(mine)}
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        env=kept | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(server.communicate)  # its end: nothing more is asked
    return server
