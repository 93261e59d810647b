"""HPU graphs: programs captured with their memory, replayed without the model's Python.

A capture is the list of programs that ran while it was open, each with the cells that it reads and the cells
that it fills. Replay runs them on what those cells hold *now* and writes the results into the same memory, so
tensors handed out earlier change under their owner, exactly as on hardware.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from gaudi_lab import origin
from gaudi_lab.emulator.device.cell import Cell
from gaudi_lab.emulator.device.on_the_host import on_the_host
from gaudi_lab.emulator.lazy.compile import CompiledProgram
from gaudi_lab.emulator.lazy.record import Outside, tape
from gaudi_lab.emulator.process import flags


class Segment(NamedTuple):
    """One program of a capture: what ran, what it read, what it filled.

    What nobody holds any more, such as a view that the model made on its way, needs no refreshing: so outputs are
    held weakly, and those that another program reads are among its inputs.
    """

    program: CompiledProgram
    inputs: list[Cell | Outside]
    outputs: list[weakref.ref[Cell] | None]


class Repeated(NamedTuple):
    """Something that is no program and has to happen at every replay: a collective.

    `run` is given the cells to read in place of captured ones; `inputs` are the cells that it uses.
    """

    run: Callable[[dict[Any, Cell]], None]
    inputs: list[Cell]
    outputs: list[weakref.ref[Cell] | None]


class Capture:
    """The programs between `begin` and `end`."""

    def __init__(self) -> None:
        self.segments: list[Segment | Repeated] = []
        self.dry_run = False
        self._told = False

    @property
    def capturing(self) -> bool:
        """True between `begin` and `end`."""
        return tape.capture is self

    def begin(self, dry_run: bool = False) -> None:
        """Capture from here on. With `dry_run` nothing is computed until the first replay.

        Raises
        ------
        RuntimeError
            Another capture is open.
        """
        if tape.capture is not None:
            raise RuntimeError("GRAPH:: graph Capture already in progress")
        tape.flush()
        self.segments.clear()
        self.dry_run = dry_run
        self._told = False
        tape.capture = self

    def end(self) -> None:
        """Close the capture; what is recorded becomes its last program."""
        try:
            tape.flush()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close the capture as it is, if it is open. What is only recorded runs later, outside of it."""
        if self.capturing:
            tape.capture = None

    def note(self, program: CompiledProgram, inputs: list[Any], filled: list[Cell]) -> None:
        """Take down a program that has run."""
        self.segments.append(Segment(program, inputs, list(map(weakref.ref, filled))))

    def repeat(self, run: Callable[[dict[Any, Cell]], None], uses: list[Cell]) -> None:
        """Take down what just happened between two programs, for every replay to do again."""
        self.segments.append(Repeated(run, uses, []))

    def note_read(self, cell: Cell) -> None:
        """Warn, once for a capture, if the host looks at what a dry run has not computed.

        What the host makes of it, such as the branch of an `if`, every replay repeats.
        """
        if (
            self.dry_run
            and not self._told
            and any(weakref.ref(cell) in part.outputs for part in self.segments)
        ):
            self._told = True
            origin.warn(_UNCOMPUTED)

    def replay(self, instead: dict[Any, Cell] | None = None) -> None:
        """Run the programs again and refresh their outputs in place.

        Parameters
        ----------
        instead
            Cells to read in place of captured inputs.

        Raises
        ------
        RuntimeError
            A capture is open.
        """
        if tape.capture is not None:
            raise RuntimeError("GRAPH:: Capture in progress")
        tape.flush()
        only_compile = flags.get("PT_COMPILE_ONLY_MODE")
        # A view of what is read in another's place lies in that one's memory, in later programs too.
        instead = dict(instead) if instead else {}
        memories = {_memory(cell.read()) for cell in instead.values()} if instead else ()
        for part in self.segments:
            if isinstance(part, Repeated):
                part.run(instead)
                continue
            program, inputs, outputs = part
            read = [instead.get(holder, holder) for holder in inputs] if instead else inputs
            with on_the_host(program.dtype):
                values = program.compile_only(read) if only_compile else program.run(read)
                for ref, value in zip(outputs, values, strict=True):
                    if ref is not None and (cell := ref()) is not None:
                        if memories and _memory(value) in memories:
                            instead[cell] = Cell(value)
                        _refresh(cell, value)

    def reads(self) -> set[Any]:
        """Return the cells that enter the programs."""
        return {holder for _, inputs, _ in self.segments for holder in inputs}

    def keep_only(self, kept: Sequence[Cell]) -> None:
        """Let go of results that are neither in `kept` nor read by another program: replay leaves them as they are."""
        needed = {*kept, *self.reads()}
        for _, _, outputs in self.segments:
            outputs[:] = [ref if ref is not None and ref() in needed else None for ref in outputs]

    def clear(self) -> None:
        """Let go of the programs and their memory."""
        self.abandon()
        self.segments.clear()


_UNCOMPUTED = (
    "A value was read on the host while an HPU graph was captured in a dry run, which computes nothing: the value is "
    "whatever the memory held, and every replay repeats what the program made of it, such as the branch of an `if`. "
    "Results can be wrong, on a Gaudi too. `dry_run=True` and `disable_tensor_cache=True` ask for a dry run. "
    "Run this model without HPU graphs (with sentence-transformers set `model.is_hpu_graph_enabled = True` before "
    "`encode`: then it wraps nothing), or write its forward without reading values."
)


def _memory(host: torch.Tensor) -> int:
    return host.untyped_storage()._cdata


def _refresh(cell: Cell, value: torch.Tensor) -> None:
    host = cell.host
    assert host is not None
    if host.data_ptr() != value.data_ptr() or host.stride() != value.stride():
        strides = host.stride()
        if 0 in strides:  # an expanded result: all that is there lies at the first place
            for dim in [dim for dim, step in enumerate(strides) if step == 0 and host.shape[dim] > 1]:
                host, value = host.narrow(dim, 0, 1), value.narrow(dim, 0, 1)
        host.copy_(value)
