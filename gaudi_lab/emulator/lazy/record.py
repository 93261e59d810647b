"""Lazy recording: a walk through a trie of steps.

A step is an operator with its operands, as numbers of *slots*, and its scalars. A node of the trie knows what
its step returned the first time, so a program that was seen before needs no shape inference, no graph hash and
no comparison: the walk that records it is the look-up. A node also keeps the graphs compiled for the programs
that end there, one for each set of results that were still wanted.
"""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar
from weakref import ref

import torch
from torch import get_default_dtype

from gaudi_lab import origin
from gaudi_lab.emulator.device.cell import Cell
from gaudi_lab.emulator.device.schema import Alias
from gaudi_lab.emulator.device.tensor import DEVICE, HpuTensor, make_wrapper
from gaudi_lab.emulator.lazy.compile import CompiledProgram
from gaudi_lab.emulator.lazy.departure import Departure, programs
from gaudi_lab.emulator.lazy.program import Meta, Slot, Step
from gaudi_lab.emulator.lazy.shape_inference import infer
from gaudi_lab.emulator.process import flags

_ONLY_INT = {int}
_Held = TypeVar("_Held")


class Node:
    """One step of every program that begins with the same steps.

    `compiled` holds the compiled programs that end here, by the slots they return; `key` is what its parent finds it
    by. `meta` is the one tensor that the step returns, if it returns just one, and `plain` says that it is laid out as
    a new tensor of its sizes is.

    Most nodes have one `next` node and no program. That one is found without a hash, and the dictionaries of the
    `others` and of what is `compiled` are there only where something is in them.
    """

    __slots__ = ("compiled", "key", "meta", "next", "others", "parent", "plain", "step")

    def __init__(self, parent: Node | None, key: Any = None, step: Step | None = None) -> None:
        self.parent = parent
        self.key = key
        self.step = step
        self.meta = step.result if step is not None and step.result.__class__ is Meta else None
        self.plain = self.meta is not None and self.meta.is_plain
        self.next: Node | None = None
        self.others: dict[Any, Node] = _EMPTY
        self.compiled: dict[tuple[int, ...], CompiledProgram] = _EMPTY

    @property
    def origin(self) -> origin.Origin | None:
        """Where the step was first seen."""
        return self.step.origin if self.step is not None else None

    def find(self, key: Any) -> Node | None:
        """Return the node that follows by `key`; None if there is none yet."""
        node = self.next
        return node if node is not None and node.key == key else self.others.get(key)

    def grow(self, key: Any, step: Step) -> Node:
        """Return a new node that follows by `key`."""
        step.origin = origin.here()
        node = Node(self, key, step)
        trie.size += 1
        if self.next is None:
            self.next = node
        else:
            self.others = _with(self.others, key, node)
        return node

    def program(self) -> list[Step]:
        """Return the steps from the beginning to this one."""
        steps = []
        node: Node | None = self
        while node is not None and node.step is not None:
            steps.append(node.step)
            node = node.parent
        steps.reverse()
        return steps


class Outside:
    """A value that enters the program from the host: a 0-dim CPU tensor, or a generator."""

    __slots__ = ("host", "recording")

    def __init__(self, host: Any) -> None:
        self.host = host
        self.recording = None


class Recording:
    """One program in the making."""

    __slots__ = ("_tape", "dtype", "inferring", "inputs", "live", "node", "number", "slots", "steps")

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        tape.begun += 1
        self.number = tape.begun
        # What an operator makes of integers depends on it, so it chooses the trie.
        self.dtype = torch.get_default_dtype()
        self.node = trie.root(self.dtype)
        self.slots = 0
        self.steps = 0
        self.inferring = 0.0  # seconds spent on steps never seen before
        self.inputs: list[Any] = []
        self.live: list[ref[Cell]] = []

    def operand(self, cell: Cell) -> int:
        """Return the slot of `cell`, taking it in as an input if the program does not know it yet."""
        if cell.recording is self:
            return cell.slot
        if cell.host is None:
            cell.read()  # owed by another recording, or failed: then it says so
        elif cell.host.__class__ is not torch.Tensor and infer.is_traced(cell.host):
            raise infer.BeingTraced
        cell.fresh = False
        cell.slot = self._enter(cell.signature, cell)
        # Last: an interrupt before leaves a cell that is unknown, and not one of another slot.
        cell.recording = self
        return cell.slot

    def _enter(self, signature: Any, holder: Any) -> int:
        slot = self.slots
        node = self.node.find(signature)
        if node is None:
            node = self.node.grow(signature, Step(None, signature, {}, None, slot))
        self.node = node
        self.slots = slot + 1
        self.inputs.append(holder)
        return slot

    def _part(self, x: Any) -> Any:
        """Turn one argument into its part of the step's key.

        A tensor is its slot, a bare int. A scalar is its class and value, because 1, 1.0 and True are three
        different steps; so are 0.0 and -0.0, and NaN must find itself again. A bare complex number could equal
        a slot.
        """
        kind = x.__class__
        if kind is int or kind is bool:
            return kind, x
        if kind is float:
            return (kind, x) if x == x and x != 0.0 else (kind, repr(x))
        if kind is complex:
            return kind, repr(x)
        if isinstance(x, HpuTensor):
            return self.operand(x._cell)
        if kind is tuple or kind is list:
            if set(map(type, x)) == _ONLY_INT:  # sizes, strides and dims: most lists by far
                return list, tuple(x)
            return tuple([self._part(y) for y in x])
        if isinstance(x, torch.Tensor):
            if infer.is_traced(x):
                raise infer.BeingTraced
            host = infer.scalar_from_host(x)
            return self._enter(("host", host.dtype), Outside(host))
        if isinstance(x, torch.Generator):
            return self._enter("generator", Outside(x))
        return x

    def record(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Add one step and return its results: tensors without a value yet.

        Raises
        ------
        NotRecordable
            What the operator returns depends on values; it has to run on the host.
        BeingTraced
            A compiler is tracing; the operator has to run at once, on what it traces with.
        """
        if get_default_dtype() is not self.dtype:
            return self._tape.restart().record(func, args, kwargs)
        parts: list[Any] = [id(func), None]  # by its number: PyTorch hashes an operator in Python
        for x in args:
            kind = x.__class__
            if kind is HpuTensor:
                cell = x._cell
                parts.append(cell.slot if cell.recording is self else self.operand(cell))
            else:
                parts.append((int, x) if kind is int else self._part(x))
        if kwargs:
            parts[1] = tuple([(name, self._part(x)) for name, x in kwargs.items()])
        key = tuple(parts)
        node = self.node.next
        if node is None or node.key != key:
            node = self.node.find(key) or self._first_sight(key, func, args, kwargs)
        self.node = node
        self.steps += 1
        meta = node.meta
        if meta is None:
            return self._results(node.step.result, args, kwargs)  # type: ignore[union-attr]
        # `_owe`, once more: most operators return one tensor, and a call is a tenth of what is left to save.
        slot = self.slots
        self.slots = slot + 1
        cell = Cell(None, self, slot)
        self.live.append(ref(cell))
        if node.plain:
            tensor: HpuTensor = make_wrapper(HpuTensor, meta.size, dtype=meta.dtype, device=DEVICE)
        else:
            tensor = make_wrapper(
                HpuTensor,
                meta.size,
                strides=meta.stride,
                storage_offset=meta.offset,
                dtype=meta.dtype,
                device=DEVICE,
            )
        tensor._cell = cell
        return tensor

    def _first_sight(self, key: Any, func: Any, args: Any, kwargs: Any) -> Node:
        infer.refuse_to_write_to_host(func, args, kwargs)
        infer.fake_mode()  # the first time PyTorch imports Dynamo for it, which takes seconds and compiles nothing
        started = time.perf_counter()
        result = infer.result(func, args, kwargs)
        self.inferring += time.perf_counter() - started
        _, named, *parts = key
        step_args = [_argument(x) for x in parts]
        step_kwargs = {name: _argument(x) for name, x in named} if named else _NO_NAMES
        return self.node.grow(key, Step(func, step_args, step_kwargs, result, self.slots))

    def _owe(self, meta: Meta) -> HpuTensor:
        slot = self.slots
        self.slots = slot + 1
        cell = Cell(None, self, slot)
        self.live.append(ref(cell))
        return HpuTensor.over(cell, meta.size, meta.stride, meta.offset, meta.dtype)

    def _results(self, result: Any, args: Any, kwargs: Any) -> Any:
        if result.__class__ is Meta:
            return self._owe(result)
        if result.__class__ is Alias:
            return result.of(args, kwargs)
        if result is None:
            return None
        return result.__class__([self._results(x, args, kwargs) for x in result])

    def forget(self) -> None:
        """Let go of the inputs: a cell that knew its recording would keep it alive, and all its inputs."""
        for holder in self.inputs:
            holder.recording = None

    def execute(self) -> None:
        """Run what was recorded; compile it first if this program was not seen before.

        The tape goes on with an empty recording. What already runs, or has failed, does not run again: a thread that
        needs a result of what another one runs waits here.
        """
        with self._tape.lock:
            if self._tape.recording is not self:
                return
            if self.steps:
                self._execute(self._tape)
            elif self.inputs:
                # They are of an operator that ran on the host instead: the next program has no use for them.
                self.forget()
                self._tape.recording = Recording(self._tape)

    def _execute(self, tape: Tape) -> None:
        if trie.size > trie.capacity:
            trie.make_room()
        tape.recording = Recording(tape)  # first, so that a failure leaves a clean slate
        owed = [cell for held in self.live if (cell := held()) is not None]
        capture = tape.capture
        try:
            program = self._program(tuple([cell.slot for cell in owed]))
            try:
                dry_run = capture is not None and capture.dry_run
                values = program.compile_only(self.inputs) if dry_run else program(self.inputs)
            finally:
                if capture is not None:  # of what failed too: its replay fails, and does not leave it out
                    capture.note(program, self.inputs, owed)
        except BaseException as error:
            for cell in owed:
                cell.fail(f"this tensor was never computed: the graph that owed it failed with {error!r}")
            for tell in failure_watchers:
                tell()
            raise
        finally:
            self.forget()
        for cell, value in zip(owed, values, strict=True):
            cell.settle(value)

    def _program(self, wanted: tuple[int, ...]) -> CompiledProgram:
        """Return the program that computes the slots in `wanted`: the node at which it ends keeps it."""
        program = self.node.compiled.get(wanted)
        if program is None:
            program = CompiledProgram(self.node.program(), wanted, self.dtype, self.inferring)
            if watchers:
                departure = programs.compare(program.name, self.node, wanted, self.inputs, self.number)
                for tell in watchers:
                    tell(departure)
            programs.note(program.name, self.node, wanted)
            self.node.compiled = _with(self.node.compiled, wanted, program)
        return program


def _argument(part: Any) -> Any:
    """Turn a part of a step's key back into an argument, with slots for tensors and the host for the device."""
    if part.__class__ is int:
        return _slot(part)
    if part.__class__ is tuple:
        if part and part[0].__class__ is type:
            kind, x = part
            return kind(x)
        return [_argument(y) for y in part]
    return infer.on_host(part)


_slot = functools.lru_cache(maxsize=None)(Slot)
_EMPTY: dict[Any, Any] = {}
_NO_NAMES: dict[str, Any] = {}


def _with(found: dict[Any, Any], key: Any, value: Any) -> dict[Any, Any]:
    """Return a dictionary with one entry more: `found` itself, unless that is the empty one that all share."""
    if not found:
        return {key: value}
    found[key] = value
    return found


class Trie:
    """Every program seen so far, bounded: when it is full it is emptied, and programs compile again."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.clear()

    def clear(self) -> None:
        """Forget every program, and that there were any."""
        self.make_room()
        programs.clear()

    def make_room(self) -> None:
        """Let go of every program. One that comes again is told to have been forgotten."""
        self.size = 0
        programs.forget()
        self._roots: dict[torch.dtype, Node] = {}

    def root(self, dtype: torch.dtype) -> Node:
        """Return where the programs begin that are recorded under the default dtype `dtype`."""
        root = self._roots.get(dtype)
        if root is None:
            root = self._roots[dtype] = Node(None)
        return root


class Tape:
    """Where operators are recorded, one program after the other.

    Attributes
    ----------
    recording
        The program in the making.
    capture
        Told of every program that runs while an HPU graph is captured; None otherwise.
    limit
        The number of operators at which a recording runs by itself, ``PT_HPU_MAX_COMPOUND_OP_SIZE`` when the
        bridge loaded.
    begun
        How many recordings have begun.
    lock
        Held while something is recorded or runs: every thread of the process records here, autograd's among them.
    """

    def __init__(self) -> None:
        self.begun = 0
        self.capture: Listener | None = None
        self.limit: int = flags.get("PT_HPU_MAX_COMPOUND_OP_SIZE")
        self.lock = threading.RLock()
        self.recording = Recording(self)

    def record(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Record one operator; see `Recording.record`."""
        with self.lock:
            out = self.recording.record(func, args, kwargs)
            if self.recording.steps >= self.limit:
                self.flush()
            return out

    def flush(self) -> None:
        """Run what was recorded so far."""
        self.recording.execute()

    def settle(self, held: _Held) -> _Held:
        """Return `held`, something of the device, with everything recorded so far done.

        Whoever looks at the device from the host comes through here, and so does whoever changes it behind the
        recording's back. Even memory that holds a value may still be written by an in-place operator that is only
        recorded, and a generator may still be drawn from.
        """
        self.recording.execute()
        return held

    def read(self, cell: Cell) -> torch.Tensor:
        """Return the value of `cell` for the host to look at, with everything recorded so far done.

        Raises
        ------
        RuntimeError
            Its memory was given back with `storage.resize_(0)`: to read on would end the process.
        """
        self.recording.execute()
        if self.capture is not None:
            self.capture.note_read(cell)
        host = cell.read()
        if host.__class__ is torch.Tensor and host.numel() and not host.untyped_storage().nbytes():
            raise RuntimeError(
                "The memory of this hpu tensor was given back: its storage was resized to 0 bytes."
            )
        return host

    def restart(self) -> Recording:
        """Run what was recorded so far and return an empty recording."""
        self.recording.execute()
        self.recording.forget()
        self.recording = Recording(self)
        return self.recording


class Listener(Protocol):
    """What is told of every program that has run: an HPU graph under capture.

    Attributes
    ----------
    dry_run
        True to let programs only be compiled: replay computes them.
    """

    dry_run: bool

    def note(self, program: CompiledProgram, inputs: list[Any], filled: list[Cell]) -> None:
        """Take down what ran, what it read, and what it filled."""

    def repeat(self, run: Callable[[dict[Any, Cell]], None], uses: list[Cell]) -> None:
        """Take down what happened between two programs: every replay does it again."""

    def note_read(self, cell: Cell) -> None:
        """Learn that the host looks at a value."""


watchers: list[Callable[[Departure], None]] = []
"""Told why a program is compiled, before it is. Whoever raises there stops it."""

failure_watchers: list[Callable[[], None]] = []
"""Told that a program could not be compiled or run."""

# In steps; one takes about 2 kB.
trie = Trie(capacity=int(os.environ.get("GAUDI_LAB_TRIE_CAPACITY", "100000")))
tape = Tape()
