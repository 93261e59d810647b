"""OpenVINO, imported without what it reports home: nothing goes over the network because a model runs."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

_TELEMETRY = "openvino_telemetry"


def import_openvino() -> ModuleType:
    """Return the module `openvino`. If this is its first import, it finds no telemetry, and does without."""
    if "openvino" in sys.modules:
        return sys.modules["openvino"]
    before = sys.modules.get(_TELEMETRY)
    vars(sys)["modules"][_TELEMETRY] = None  # so that importing it fails
    try:
        return importlib.import_module("openvino")
    finally:
        if before is None:
            del sys.modules[_TELEMETRY]
        else:
            sys.modules[_TELEMETRY] = before
