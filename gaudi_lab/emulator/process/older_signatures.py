"""Functions as an older release has them: with fewer parameters, or with other defaults."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from typing import Any


def narrow_signature(
    func: Callable[..., Any], without: Collection[str] = (), **defaults: Any
) -> Callable[..., Any]:
    """Return `func` without some of its parameters, and with other defaults for others.

    A call with what the older release does not take raises TypeError, and `inspect.signature` shows its signature.
    """
    signature = inspect.signature(func)
    parameters = [
        parameter.replace(default=defaults.get(name, parameter.default))
        for name, parameter in signature.parameters.items()
        if name not in without
    ]
    narrow = signature.replace(parameters=parameters)

    @functools.wraps(func)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            bound = narrow.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{func.__qualname__}() {error}") from None
        bound.apply_defaults()
        return func(*bound.args, **bound.kwargs)

    call.__signature__ = narrow  # type: ignore[attr-defined]
    return call
