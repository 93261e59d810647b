"""Saved folders name stock classes, so that every diffusers can load them, with or without Gaudi Lab."""

from __future__ import annotations

import json
from typing import Any


def as_stock(config: str, kind: type) -> str:
    """Return a config with stock classes in place of those of this package.

    Parameters
    ----------
    config
        JSON as diffusers writes it.
    kind
        The class that it is of.
    """
    values: dict[str, Any] = json.loads(config)
    values["_class_name"] = _find_stock_class(kind).__name__
    for name, value in values.items():
        if isinstance(value, list) and len(value) == 2 and str(value[0]).startswith("gaudi_lab."):
            values[name] = ["diffusers", str(value[1]).removeprefix("Gaudi")]
    return json.dumps(values, indent=2, sort_keys=True) + "\n"


def _find_stock_class(kind: type) -> type:
    return next(base for base in kind.__mro__ if base.__module__.partition(".")[0] == "diffusers")
