"""What an operator's schema says of it: what it writes into, which arguments it returns, whether it makes views."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple


class Alias(NamedTuple):
    """A result that is one of the arguments: an in-place operator returns what it was given."""

    where: int | str

    def of(self, args: Any, kwargs: Any) -> Any:
        """Return the argument meant."""
        return args[self.where] if isinstance(self.where, int) else kwargs[self.where]


@functools.cache
def is_view(func: Any) -> bool:
    """Return True if what `func` returns shares memory with an argument, and is not that argument itself."""
    return any(x.alias_info is not None and not x.alias_info.is_write for x in func._schema.returns)


@functools.cache
def returned_aliases(func: Any) -> tuple[Alias | None, ...]:
    """Return, for each result of `func`, the argument that it is; None where it is a new tensor."""
    found: list[Alias | None] = []
    for returned in func._schema.returns:
        info = returned.alias_info
        alias = None
        if info is not None and info.is_write:
            for position, argument in enumerate(func._schema.arguments):
                if argument.alias_info is not None and argument.alias_info.before_set == info.before_set:
                    alias = Alias(argument.name if argument.kwarg_only else position)
                    break
        found.append(alias)
    return tuple(found)


@functools.cache
def writes(func: Any) -> tuple[int | str, ...]:
    """Return which arguments `func` writes into: positions, or names of keyword-only ones."""
    return tuple(
        argument.name if argument.kwarg_only else position
        for position, argument in enumerate(func._schema.arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    )


def written(func: Any, args: Any, kwargs: Any) -> list[Any]:
    """Return the arguments that `func` writes into."""
    found: list[Any] = []
    for where in writes(func):
        if isinstance(where, str):
            found.append(kwargs.get(where))
        elif where < len(args):
            found.append(args[where])
    return found


def updated_statistics(func: Any, args: Any, kwargs: Any) -> list[Any]:
    """Return the running statistics that `func` writes into although its schema does not say so.

    The older operators of batch normalisation do that in training, such as `aten::native_batch_norm`.
    """
    silent = _silent_statistics(func)
    if not silent:
        return []
    given = {**dict(zip([a.name for a in func._schema.arguments], args, strict=False)), **kwargs}
    return [given[name] for name in silent if given.get(name) is not None] if given.get("training") else []


@functools.cache
def _silent_statistics(func: Any) -> tuple[str, ...]:
    arguments = func._schema.arguments
    return tuple([a.name for a in arguments if a.name.startswith("running_") and a.alias_info is None])


@functools.cache
def without_out(func: Any) -> Any:
    """Return the operator that returns what `func` writes into its `out=` arguments; None if there is none."""
    outs = {name for name in writes(func) if isinstance(name, str)}
    wanted = [(a.name, str(a.type)) for a in func._schema.arguments if a.name not in outs]
    for name in func.overloadpacket.overloads():
        twin = getattr(func.overloadpacket, name)
        if [(a.name, str(a.type)) for a in twin._schema.arguments] == wanted:
            return twin
    return None
