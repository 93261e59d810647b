"""What the rooms below need of those above: handed down to them from here, so that none of them reaches up."""

from __future__ import annotations

import types
from typing import Any

from gaudi_lab import warmup
from gaudi_lab.render import mixin


def connect() -> None:
    """Give results their layouts, and the package `warmup` its function. Both are imported when first used."""
    mixin.show_by(_views)
    warmup.__class__ = _CallablePackage


def _views() -> mixin.Views:
    from gaudi_lab.render import views

    return views


class _CallablePackage(types.ModuleType):
    # Importing any module of this package sets `gaudi_lab.warmup` to the package, whatever it was before. So
    # the function that users know by this name has to be the package itself.
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from gaudi_lab import api

        return api.warmup(*args, **kwargs)
