"""Operators in dtypes that a Gaudi computes in and the host's kernels do not know, such as eight-bit floats.

One rule: where a host kernel says that it is not implemented for a dtype, what it was given in that dtype is computed
in the next wider one that the kernel knows, and what the operator returns in that dtype is rounded back.

And where a host kernel refuses to read the memory that it writes into, it reads a copy: a device's graph has values.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from gaudi_lab.emulator.device.random import is_random, on_device
from gaudi_lab.emulator.device.schema import is_view, returned_aliases, writes

_FLOATS = (torch.float32,)
_INTEGERS = (torch.int64, torch.float64)
_WIDER: dict[torch.dtype, tuple[torch.dtype, ...]] = {
    **dict.fromkeys((torch.float8_e5m2, torch.float8_e4m3fn, torch.float16, torch.bfloat16), _FLOATS),
    **dict.fromkeys((torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32), _INTEGERS),
    torch.int64: (torch.float64,),
}
# As PyTorch's messages spell them.
_SPELT = {
    "Float8_e5m2": torch.float8_e5m2,
    "Float8_e4m3fn": torch.float8_e4m3fn,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Bool": torch.bool,
    "Byte": torch.uint8,
    "Char": torch.int8,
    "Short": torch.int16,
    "Int": torch.int32,
    "Long": torch.int64,
    **{str(dtype).removeprefix("torch."): dtype for dtype in _WIDER},  # the kernels for meta tensors
}
_OVERLAP = "some elements of the input tensor and the written-to tensor refer to a single memory location"
_GAP = re.compile(r"not implemented for '(?:torch\.)?(\w+)'|Unsupported datatype for \w+:c10::(\w+)")


def missing(error: BaseException) -> torch.dtype | None:
    """Return the dtype that a host kernel says it is not implemented for; None if that is not what `error` says."""
    found = _GAP.search(str(error)) if isinstance(error, RuntimeError) else None
    return None if found is None else _SPELT.get(found[1] or found[2])


def register() -> None:
    """Let PyTorch's fake tensors log no error of a gap that is filled here."""
    logging.getLogger("torch._subclasses.fake_tensor").addFilter(_is_told)


def _is_told(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return error is None or missing(error) is None


def rescue(error: BaseException, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Return what `func` returns on the host, computed in a wider dtype, after its kernel has raised `error`.

    Raises
    ------
    RuntimeError
        `error` is about something else, or there is no wider dtype in which the kernel computes: it is raised again.
    """
    if _OVERLAP in str(error):
        return _apart(func, args, kwargs)
    narrow = missing(error)
    if narrow is None or is_view(func):
        raise error
    return _widened(func, narrow, error, args, kwargs)


def call(func: Any, *args: Any, **kwargs: Any) -> Any:
    """Run `func` on the host, in a wider dtype if its kernel does not know that of the arguments."""
    try:
        return func(*args, **kwargs)
    except RuntimeError as error:
        return rescue(error, func, args, kwargs)


def wrapped(func: Any) -> Callable[..., Any]:
    """Return `func` as a function that never meets a gap of the host's kernels."""
    return functools.partial(call, func)


class everywhere(TorchDispatchMode):  # noqa: N801 - reads as a statement
    """Inside, every operator on host tensors goes by the rule."""

    supports_higher_order_operators = True

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return call(func, *args, **(kwargs or {}))


def _apart(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run `func` with copies of what it only reads."""
    written = writes(func)

    def copy(x: Any) -> Any:
        if isinstance(x, (list, tuple)):
            return [copy(y) for y in x]
        return x.clone() if isinstance(x, torch.Tensor) else x

    return func(
        *[x if at in written else copy(x) for at, x in enumerate(args)],
        **{name: x if name in written else copy(x) for name, x in kwargs.items()},
    )


def _widened(func: Any, narrow: torch.dtype, error: BaseException, args: Any, kwargs: dict[str, Any]) -> Any:
    kernel = on_device(func) if is_random(func) else func
    back = _returned(func, narrow, args, kwargs)
    for wide in _WIDER[narrow]:
        swap = functools.partial(_swap, narrow=narrow, wide=wide)
        wide_args = [swap(x) for x in args]
        wide_kwargs = {name: swap(x) for name, x in kwargs.items()}
        try:
            out = kernel(*wide_args, **wide_kwargs)
        except RuntimeError as another:
            dtype = missing(another)
            if dtype is None:
                raise
            if dtype is wide:
                continue
            # Another operand's: that one has to be wider too.
            out = _widened(func, dtype, another, wide_args, wide_kwargs)
        for where in writes(func):
            _write_back(_at(where, args, kwargs), _at(where, wide_args, wide_kwargs))
        aliases = returned_aliases(func)
        if len(aliases) == 1:
            return aliases[0].of(args, kwargs) if aliases[0] is not None else back(out)
        return tuple(
            [
                back(x, number) if alias is None else alias.of(args, kwargs)
                for number, (x, alias) in enumerate(zip(out, aliases, strict=True))
            ]
        )
    raise error


def _swap(x: Any, narrow: torch.dtype, wide: torch.dtype) -> Any:
    if isinstance(x, torch.Tensor):
        return x.to(wide) if x.dtype is narrow else x
    if isinstance(x, (list, tuple)):
        return [_swap(y, narrow, wide) for y in x]
    return wide if x is narrow else x


def _at(where: int | str, args: Any, kwargs: dict[str, Any]) -> Any:
    if isinstance(where, str):
        return kwargs.get(where)
    return args[where] if where < len(args) else None


def _write_back(narrow: Any, wide: Any) -> None:
    for x, y in zip(*[z if isinstance(z, (list, tuple)) else (z,) for z in (narrow, wide)], strict=True):
        if isinstance(x, torch.Tensor) and x is not y:
            if x.shape != y.shape:
                x.resize_(y.shape)
            x.copy_(y)


def _returned(func: Any, narrow: torch.dtype, args: Any, kwargs: dict[str, Any]) -> Callable[..., Any]:
    """Return what gives a result of `func` the dtype that it has for these arguments, by PyTorch's own rules."""
    try:
        metas = func(*[_meta(x) for x in args], **{name: _meta(x) for name, x in kwargs.items()})
    except Exception:
        metas = None  # nobody can say: what came out wider is rounded back

    def back(x: Any, number: int | None = None) -> Any:
        meta = metas[number] if number is not None and metas is not None else metas
        return _back(x, meta, narrow)

    return back


def _back(x: Any, meta: Any, narrow: torch.dtype) -> Any:
    if isinstance(x, torch.Tensor):
        if isinstance(meta, torch.Tensor):
            return x.to(meta.dtype)
        return x.to(narrow) if x.dtype in _WIDER[narrow] else x
    if isinstance(x, (list, tuple)):
        kept = meta if isinstance(meta, (list, tuple)) else [None] * len(x)
        return [_back(y, m, narrow) for y, m in zip(x, kept, strict=True)]
    return x


def _meta(x: Any) -> Any:
    if isinstance(x, torch.Tensor):
        return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device="meta")
    if isinstance(x, (list, tuple)):
        return [_meta(y) for y in x]
    if isinstance(x, torch.device):
        return torch.device("meta")
    return None if isinstance(x, torch.Generator) else x
