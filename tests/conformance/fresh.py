"""Programs in a process of their own: the mode and the release are fixed when the bridge loads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from typing import Any

_BEGIN = "import json\nfrom gaudi_lab import emulator\nemulator.install()\nresult = {}\n"
_END = "\nprint('RESULT' + json.dumps(result))\n"
_MINE = ("PT_HPU_", "GAUDI_LAB_", "PT_COMPILE_ONLY_MODE", "TORCHINDUCTOR_CACHE_DIR")


def run(code: str, **environment: str) -> dict[str, Any]:
    """Run `code` with the emulated bridge at hand, and return what it put into the dictionary `result`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_MINE)}
    done = subprocess.run(
        [sys.executable, "-c", _BEGIN + textwrap.dedent(code) + _END],
        env=kept | {"GAUDI_LAB_COMPILER": "replay", "OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.rpartition("RESULT")[2])
    return result | {"stderr": done.stderr}
