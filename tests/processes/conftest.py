"""Programs as a user starts them, each in real processes: by Python, by a launcher, by pytest, by a notebook's kernel.

What can be shown in the process of a test, or in one that is forked, is a unit test and stands in `tests/unit`.
"""

from __future__ import annotations

import os

# They inherit it. Replay needs no C++ compiler, and one thread does not fight the other test workers for cores.
os.environ.setdefault("GAUDI_LAB_COMPILER", "replay")
os.environ.setdefault("OMP_NUM_THREADS", "1")
