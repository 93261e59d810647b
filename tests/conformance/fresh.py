"""Programs in a process of their own: the mode and the release are fixed when the bridge loads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from typing import Any

_ASKS = "from gaudi_lab import emulator\nemulator.install()\n"
# As Python starts where `GAUDI_LAB_EMULATE=1`: the program itself does not import `gaudi_lab`.
_DOES_NOT_ASK = "import gaudi_lab_autoload\ngaudi_lab_autoload.install()\n"
_BEGIN = "import json\nresult = {}\n"
_END = "\nprint('RESULT' + json.dumps(result))\n"
_MINE = ("PT_HPU_", "GAUDI_LAB_", "PT_COMPILE_ONLY_MODE", "TORCHINDUCTOR_CACHE_DIR")


def run(code: str, *, asks: bool = True, **environment: str) -> dict[str, Any]:
    """Run `code` with the emulated bridge at hand, and return what it put into the dictionary `result`.

    With `asks` the program has imported `gaudi_lab`, and the bridge loads with torch; without, by its own rule.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_MINE)}
    done = subprocess.run(
        [sys.executable, "-c", _BEGIN + (_ASKS if asks else _DOES_NOT_ASK) + textwrap.dedent(code) + _END],
        env=kept | {"GAUDI_LAB_COMPILER": "replay", "OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.rpartition("RESULT")[2])
    return result | {"stderr": done.stderr}
