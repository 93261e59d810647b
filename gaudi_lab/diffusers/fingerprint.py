"""Notice that a module is no longer the one a graph was captured from.

A captured graph replays what the module did then. Weights changed in place are read at each replay; weights
put in the place of others, other attention processors, another dtype or another adapter scale are not.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

from torch import nn

# Set, removed or counted by whoever calls or wraps the module; none of it changes what is computed.
_NOT_COMPUTED = {"forward", "clear_cache", "clear_inputs", "_compiled_call_impl", "_is_hf_initialized"}
# Where a transformers config names its attention.
_IMPLEMENTATION = "_attn_implementation_internal"
_PLAIN = (bool, int, str, type(None))


def of(modules: dict[str, nn.Module]) -> int:
    """Return a number that changes when any of `modules` computes something else than before.

    Parameters
    ----------
    modules
        The parts of a pipeline by name.
    """
    return hash(tuple((name, *_of_tree(module)) for name, module in modules.items()))


def _of_tree(module: nn.Module) -> Iterator[Hashable]:
    for part in module.modules():
        yield id(part)
        for name, value in vars(part).items():
            if name not in _NOT_COMPUTED:
                yield from _of_attribute(name, value)


def _of_attribute(name: str, value: Any) -> Iterator[Hashable]:
    if name in ("_parameters", "_buffers"):
        for key, tensor in value.items():
            # The address too: `module.to(dtype)` keeps the Parameter and gives it another tensor.
            yield (key, None if tensor is None else (id(tensor), tensor.dtype, str(tensor.device)))
    elif name == "processor":
        # A processor is replaced as a whole, or its options are; both can be told from here.
        yield (name, type(value), id(value), tuple(_plain(vars(value)) if hasattr(value, "__dict__") else ()))
    elif name == "config" and hasattr(value, _IMPLEMENTATION):
        yield (name, getattr(value, _IMPLEMENTATION))
    elif not name.startswith("_forward") and not name.startswith("_backward"):
        yield (name, tuple(_plain(value)))


def _plain(value: Any) -> Iterator[Hashable]:
    """Yield the numbers, words and structure in a value; an adapter's scale is such a number."""
    if isinstance(value, float):
        # Scaled for a call and back again, an adapter's scale may differ in the last digits.
        yield f"{value:.9g}"
    elif isinstance(value, _PLAIN):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            if isinstance(key, str) and not isinstance(item, nn.Module):
                yield (key, *_plain(item))
    elif isinstance(value, (list, tuple, set, frozenset)) and len(value) <= 16:
        for item in value:
            yield from _plain(item)
