"""Results that are the same memory under other sizes and strides: a compiler returns that memory once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from gaudi_lab.emulator.lazy import recorded_graph, replay
from gaudi_lab.emulator.lazy.program import Meta, Step


class _View(NamedTuple):
    """A result that lies in the memory of an input or of another result.

    Attributes
    ----------
    of_input
        Whether that is an input.
    owner
        Its number there.
    size, stride
        Of the result.
    offset
        Where it begins, counted from the beginning of the owner.
    """

    of_input: bool
    owner: int
    size: torch.Size
    stride: tuple[int, ...]
    offset: int


class SharedResults:
    """Which results of a program share memory, read off one run.

    Whoever writes into one of them later writes into the other, so they have to go on sharing it.

    Parameters
    ----------
    results, inputs
        What a step-by-step run returned and was given.

    Raises
    ------
    ValueError
        It cannot be told which memory a result lies in, or no result spans the whole of it in its own dtype.

    Attributes
    ----------
    own
        The numbers of the results with memory of their own: those that have to be computed.
    """

    def __init__(self, results: Sequence[torch.Tensor], inputs: Sequence[torch.Tensor]) -> None:
        self.own: list[int] = []
        self._views: dict[int, _View] = {}
        self._count = len(results)
        of_inputs: dict[int, int] = {}
        ambiguous = set()
        for number, x in enumerate(inputs):
            if x.numel() and of_inputs.setdefault(_memory(x), number) != number:
                ambiguous.add(_memory(x))
        of_results: dict[int, int] = {}
        # The result that spans most of a memory comes first: the others lie in it.
        for number in sorted(range(len(results)), key=lambda n: -_extent(results[n])):
            result = results[number]
            memory = _memory(result)
            owner = of_inputs.get(memory)
            if owner is not None:
                if memory in ambiguous:  # in a later run they may be apart, and only one of them has it
                    raise ValueError("a result lies in memory that two of its inputs share")
                self._views[number] = _lay(result, True, owner, inputs[owner])
            elif memory in of_results:
                owner = of_results[memory]
                self._views[number] = _lay(result, False, owner, results[owner])
            else:
                of_results[memory] = number
                self.own.append(number)
        self.own.sort()

    def complete(
        self, computed: Sequence[torch.Tensor], inputs: Sequence[torch.Tensor]
    ) -> list[torch.Tensor]:
        """Return all results, given those that were computed, which is `own`, and the inputs."""
        if not self._views:
            return list(computed)
        found = dict(zip(self.own, computed, strict=True))
        for number, view in self._views.items():
            owner = inputs[view.owner] if view.of_input else found[view.owner]
            found[number] = owner.as_strided(view.size, view.stride, owner.storage_offset() + view.offset)
        return [found[number] for number in range(self._count)]


def _lay(result: torch.Tensor, of_input: bool, owner: int, owners: torch.Tensor) -> _View:
    """Return how `result` lies in the memory of `owners`.

    Raises
    ------
    ValueError
        Part of it lies outside, or it sees that memory in another dtype.
    """
    if result.dtype != owners.dtype:
        raise ValueError("its results share memory in two dtypes")
    offset = int(result.storage_offset()) - int(owners.storage_offset())
    if offset < 0 or (not of_input and offset + _extent(result) > _extent(owners)):
        raise ValueError("its results share memory of which none spans the whole")
    return _View(of_input, owner, result.shape, result.stride(), offset)


def _memory(x: torch.Tensor) -> int:
    return x.untyped_storage().data_ptr()


def _extent(x: torch.Tensor) -> int:
    """Return how many elements lie between the first and the last of `x`, both included."""
    return 1 + sum((n - 1) * step for n, step in zip(x.shape, x.stride(), strict=True)) if x.numel() else 0


def make_uncomputed(steps: list[Step], wanted: tuple[int, ...], hosts: Sequence[Any]) -> list[torch.Tensor]:
    """Return results that nothing has computed, in memory that they share as those of a run do.

    On hardware that is whatever the memory held. Here it is NaN where the dtype has it, so that one sees it.

    Parameters
    ----------
    hosts
        The program's inputs: views of them lie in their memory.
    """
    metas = {
        slot: meta for step in steps for slot, meta in zip(replay.slots_of(step), step.metas(), strict=True)
    }
    lies_in = recorded_graph.memories(steps)
    held: dict[int, Any] = dict(zip([step.first for step in steps if step.func is None], hosts, strict=True))
    found = []
    for slot in wanted:
        # Where more than one tensor is seen at once, nobody knows which: then it is apart.
        (memory,) = lies_in[slot] if len(lies_in[slot]) == 1 else (slot,)
        if memory not in held:
            held[memory] = _fill_unseen(metas[memory])
        found.append(held[memory] if memory == slot else _see(held[memory], metas[slot]))
    return found


def _see(memory: torch.Tensor, meta: Meta) -> torch.Tensor:
    if memory.dtype is meta.dtype:
        return memory.as_strided(meta.size, meta.stride, meta.offset)
    seen = torch.empty(0, dtype=meta.dtype)
    return seen.set_(memory.untyped_storage(), meta.offset, meta.size, meta.stride)


def _fill_unseen(meta: Meta) -> torch.Tensor:
    # The memory as a whole: where an expanded result lies, several elements are one.
    extent = 1 + sum((n - 1) * step for n, step in zip(meta.size, meta.stride, strict=True))
    memory = torch.empty(max(meta.offset + extent, 0), dtype=meta.dtype)
    if (meta.dtype.is_floating_point or meta.dtype.is_complex) and meta.dtype not in _WITHOUT_NAN:
        memory.fill_(float("nan"))
    return memory.as_strided(meta.size, meta.stride, meta.offset)


_WITHOUT_NAN = {getattr(torch, "float4_e2m1fn_x2", None)}
