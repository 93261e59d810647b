"""The operator library `hpu`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

_library = torch.library.Library("hpu", "FRAGMENT")


def define(
    schema: str,
    kernel: Callable[..., Any],
    fake: Callable[..., Any],
    call: Callable[..., Any] | None = None,
    *,
    random: bool = False,
) -> None:
    """Define an operator: how to compute it on the host, and what its results look like before it runs.

    With `call`, both take one argument: what `call` makes of the operator's, by the names that the schema gives them.
    `random` says that it draws random numbers.
    """
    schema = " ".join(schema.split())
    name = schema.partition("(")[0]
    if call is not None:
        kernel, fake = _by_name(schema, call, kernel), _by_name(schema, call, fake)
    _library.define(schema, tags=(torch.Tag.nondeterministic_seeded,) if random else ())
    _library.impl(name, kernel, "CPU")
    torch.library.register_fake(f"hpu::{name}", fake, lib=_library)


def define_by_others(schema: str, function: Callable[..., Any]) -> None:
    """Define an operator that calls other operators, and is never seen itself."""
    schema = " ".join(schema.split())
    _library.define(schema)
    _library.impl(schema.partition("(")[0], function, "CompositeImplicitAutograd")


def _by_name(schema: str, call: Callable[..., Any], run: Callable[[Any], Any]) -> Callable[..., Any]:
    names = [argument.name for argument in torch._C.parse_schema(schema).arguments]
    return lambda *args, **named: run(call(**dict(zip(names, args, strict=False)), **named))
