from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.unit.forked import run_forked

ROOT = Path(__file__).parents[3]
LIBRARIES = {"transformers": "transformers.trainer", "diffusers": "diffusers.pipelines.ddim.pipeline_ddim"}
"""What takes long to import of some libraries."""

LOOK = """
def _look(_probe):
    try:
        return repr(eval(_probe))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
"""

TAKE = """
import json as _json
from gaudi_lab.handover.snapshot import take as _take
_private = [name for name in globals() if name.startswith("_")]
_snapshot = _take(globals(), folder={folder!r}, skip=[*_private, "_private"], **{options!r})
import dataclasses as _dataclasses
print("ANSWER", _json.dumps({{
    "path": str(_snapshot.path),
    "names": _snapshot.names,
    "groups": _snapshot.groups,
    "left": {{left.name: left.why for left in _snapshot.left}},
    "where": {{left.name: left.where for left in _snapshot.left}},
    "changed": {{changed.where: changed.how for changed in _snapshot.changed}},
    "probes": {{_name: _look(_probe) for _name, _probe in {probes!r}.items()}},
}}))
"""

LOAD = """
import json as _json
from gaudi_lab.handover.snapshot import load as _load
_loaded = _load({path!r}, globals(), **{options!r})
_answer = {{
    "names": _loaded.names,
    "left": {{left.name: left.why for left in _loaded.left}},
    "differs": _loaded.differs,
    "not_compared": _loaded.not_compared,
    "probes": {{_name: _look(_probe) for _name, _probe in {probes!r}.items()}},
}}
{then}
print("ANSWER", _json.dumps(_answer))
"""


class Carried:
    """What two processes say of one notebook: the one that saved it, and a fresh one that loaded it."""

    def __init__(self, before: dict[str, Any], after: dict[str, Any]) -> None:
        self.before = before
        self.after = after


def run(
    source: str, *, libraries: list[str] | None = None, apart: bool = False, **environment: str
) -> dict[str, Any]:
    """Run a program in a process of its own, and return its answer.

    With `libraries` it is forked, from a process that has imported them and PyTorch. Of two between which something is
    carried one is forked apart, so that it shares nothing with the other.
    """
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    if libraries is not None:
        done = run_forked(source, libraries=libraries, environment=variables, quiet=True, apart=apart)
    else:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", source],
            env=variables,
            capture_output=True,
            text=True,
            timeout=300,
        )
    answers = [line for line in done.stdout.splitlines() if line.startswith("ANSWER")]
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return json.loads(answers[-1].removeprefix("ANSWER ")) if answers else {}


@pytest.fixture
def carry(tmp_path):
    """Save what a program binds, load it in a fresh process, and run another program on it."""

    def carry_over(
        source: str,
        then: str = "",
        *,
        probes: dict[str, str] | None = None,
        take: dict[str, Any] | None = None,
        load: dict[str, Any] | None = None,
        before: dict[str, str] | None = None,
        after: dict[str, str] | None = None,
        apart: bool = False,
    ) -> Carried:
        probes = probes or {}
        saving = TAKE.format(folder=str(tmp_path), options=take or {}, probes=probes)
        libraries = [path for name, path in LIBRARIES.items() if f"from {name} import" in source]
        imported = libraries if "torch" in source else None
        saved = run(f"{LOOK}{textwrap.dedent(source)}\n{saving}", libraries=imported, **(before or {}))
        loading = LOAD.format(
            path=saved["path"], options=load or {}, probes=probes, then=textwrap.dedent(then)
        )
        # What loads finds its libraries imported only where that is asked for.
        again = run(LOOK + loading, libraries=imported if apart else None, apart=True, **(after or {}))
        return Carried(saved, again)

    return carry_over
