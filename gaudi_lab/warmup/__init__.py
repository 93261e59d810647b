"""Warm-up: where the first seconds went. `gaudi_lab.warmup(function)` measures it."""

from __future__ import annotations

import sys
import types
from typing import Any


class _CallablePackage(types.ModuleType):
    # Importing any module of this package sets `gaudi_lab.warmup` to the package, whatever it was before. So
    # the function that users know by this name has to be the package itself.
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from gaudi_lab import api

        return api.warmup(*args, **kwargs)


sys.modules[__name__].__class__ = _CallablePackage
