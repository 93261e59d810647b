"""Writes the list of PyTorch's operators that the bridge has kernels for, from the bridge's own table of them.

    python tools/device_operators.py SUITES/gaudi-pytorch-bridge 1.19.0

The table is `scripts/hpu_op.yaml` of the bridge's source. Only the names are taken.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

TARGET = Path(__file__).parents[1] / "gaudi_lab" / "emulator" / "device" / "device_operators.txt"
_KEY = re.compile(r"^([A-Za-z_]\w*(?:\.\w+)?):\s*$", re.MULTILINE)


def names(source: Path) -> list[str]:
    """Return the operators in the table of the bridge's source, such as ``clamp.out``."""
    table = (source / "scripts" / "hpu_op.yaml").read_text()
    return sorted(set(_KEY.findall(table)))


def main(source: str, release: str) -> None:
    """Write the list."""
    found = names(Path(source))
    head = (
        f"# Operators with a kernel in the bridge's source {release}. Written by tools/device_operators.py.\n"
    )
    TARGET.write_text(head + "\n".join(found) + "\n")
    print(f"{len(found)} operators")


if __name__ == "__main__":
    main(*sys.argv[1:])
