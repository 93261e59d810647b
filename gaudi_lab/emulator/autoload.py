"""The bridge's own rule for loading itself with torch."""

from __future__ import annotations

import os

from . import finder, mode


def autoload() -> None:
    """Load the emulated bridge where the real one would load itself at `import torch`.

    ``PT_HPU_AUTOLOAD`` decides where it is set; otherwise eager mode loads with torch, and lazy mode waits for
    `import habana_frameworks.torch`.
    """
    finder.install()
    rule = os.environ.get("PT_HPU_AUTOLOAD")
    if rule == "1" or (rule is None and not mode.from_environment()):
        import habana_frameworks.torch  # noqa: F401
