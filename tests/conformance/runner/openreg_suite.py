"""PyTorch's own tests of how a device of its PrivateUse1 slot behaves, written for `torch_openreg`, on `hpu`.

They lie in the folder that ``GAUDI_LAB_SUITES`` names, as ``openreg/tests``: the files of PyTorch's
`test/cpp_extensions/open_registration_extension/torch_openreg/tests`. What runs is a copy in which the other device
has our name, by `TRANSLATED` and nothing else; the files themselves are only read. The process sees two devices, as
openreg has two, and is the one that a launcher gave the second: its own may be called `hpu:1` then.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from conformance_table import Row
from foreign_tests import SUITES, run_tests
from known_failures import Verdict

FOLDER = SUITES / "openreg" / "tests"
NAME = "openreg's tests"
MODES = ("eager", "lazy")
# What is replaced, in this order: the compiler has a name of its own, PyTorch's profiler takes a device `hpu` with
# Kineto only, and the device's name is written in three ways.
TRANSLATED = (
    (r'(backend=|CompileCounterWithBackend\()"openreg"', r'\1"hpu_backend"'),
    (r'"openreg"(?=, backends\b)', '"hpu_backend"'),
    ('use_device="openreg"', 'use_device="hpu", use_kineto=True'),
    ("openreg", "hpu"),
    ("OPENREG|OpenReg", "HPU"),
)
# Left out: memory of the device shared by two processes is of a later PyTorch than the device is made for;
# the other tests a process group that openreg has for its own sake, `occl`, and computes nothing.
LEFT_OUT = ("test_ipc.py", "test_distributed.py")
# And in lazy mode the compiler, which the bridge has in eager mode only.
LEFT_OUT_IN: dict[str, tuple[str, ...]] = {"eager": (), "lazy": ("test_compile.py",)}
_DEVICES = {"GAUDI_LAB_EMULATED_DEVICES": "2", "HLS_MODULE_ID": "1"}


def runs(workers: int) -> list[tuple[Row, Verdict | None]]:
    """Run the tests in each mode; return the rows, with what known_failures.toml says of each."""
    if not FOLDER.is_dir():
        return [(Row(NAME, "both", 0, 0, "not run: GAUDI_LAB_SUITES has no openreg"), None)]
    with tempfile.TemporaryDirectory() as scratch:
        names = copy(Path(scratch))
        return [_run(mode, names, Path(scratch)) for mode in MODES]


def _run(mode: str, names: list[str], folder: Path) -> tuple[Row, Verdict]:
    tests = [name for name in names if name not in LEFT_OUT_IN[mode]]
    return run_tests(
        NAME, mode, Path(sys.executable), ["--continue-on-collection-errors", *tests], folder, _DEVICES
    )


def copy(folder: Path) -> list[str]:
    """Write the translated tests to `folder`, with a module to stand in for theirs, and return their names."""
    (folder / "torch_hpu.py").write_text("import habana_frameworks.torch\n")
    tests = [path for path in sorted(FOLDER.glob("test_*.py")) if path.name not in LEFT_OUT]
    for path in tests:
        (folder / path.name).write_text(translated(path.read_text()))
    return [path.name for path in tests]


def translated(source: str) -> str:
    """Return a test's source with our device instead of openreg."""
    for pattern, replacement in TRANSLATED:
        source = re.sub(pattern, replacement, source)
    return source
