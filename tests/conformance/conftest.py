"""The tests of this folder use modules of the runner, which is no package: each can be run as a script."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "runner"))
