"""From a recorded program to something that runs: straight replay, or what a compiler makes of it.

Straight replay is generated Python that calls the recorded operators one after the other: no recording, no
shapes, no model code. It compiles in milliseconds and returns bit for bit what eager mode returns. OpenVINO and
Inductor need seconds for a graph, and then run faster: ``GAUDI_LAB_COMPILER`` asks for one. The first run, step by
step, has the right results: whatever another compiler than replay makes must agree with them, also if it was found on
disk.
"""

from __future__ import annotations

import marshal
import time
from collections.abc import Sequence
from typing import Any
from weakref import WeakValueDictionary

import torch

from gaudi_lab.emulator.device.events import EventId, publish
from gaudi_lab.emulator.device.on_the_host import lasting, on_the_host
from gaudi_lab.emulator.lazy import (
    agreement,
    compilers,
    failed_step,
    recipes,
    recorded_graph,
    replay,
    shared_results,
)
from gaudi_lab.emulator.lazy.compilers import Runner
from gaudi_lab.emulator.lazy.program import Step
from gaudi_lab.emulator.process import flags

_compiled = 0

in_use: WeakValueDictionary[str, Any] = WeakValueDictionary()
"""Every graph that is there, by name; each counts in `hits` how often it ran besides its first time."""


def next_name(kind: str) -> str:
    """Return the name of the next compiled graph, such as ``graph_12``: what the counters call it."""
    global _compiled
    _compiled += 1
    return f"{kind}_{_compiled}"


def named() -> int:
    """Return how many names were given so far."""
    return _compiled


class CompiledProgram:
    """A compiled program.

    Attributes
    ----------
    name
        What the counters call it, such as ``graph_12``.
    steps, wanted
        What it computes, and the slots that it returns, in this order.
    dtype
        PyTorch's default dtype while it was recorded: what an operator makes of integers depends on it.
    inferring
        Seconds that shape inference took for steps never seen before. It is done once for a program, so it
        counts as compiling.
    hits
        How often it ran besides the first time.
    """

    __slots__ = (
        "__weakref__",
        "_counted",
        "_runner",
        "dtype",
        "hits",
        "inferring",
        "name",
        "steps",
        "wanted",
    )

    def __init__(
        self,
        steps: list[Step],
        wanted: tuple[int, ...],
        dtype: torch.dtype = torch.float32,
        inferring: float = 0.0,
    ) -> None:
        self.inferring = inferring
        self.name = next_name("graph")
        self.dtype = dtype
        self.steps = steps
        self.wanted = wanted
        self._runner: Runner | None = None
        self._counted = False
        self.hits = 0
        in_use[self.name] = self

    def __call__(self, holders: Sequence[Any]) -> Sequence[torch.Tensor]:
        """Run on the values of `holders`, the program's inputs in order.

        With ``PT_COMPILE_ONLY_MODE`` nothing runs, and what is returned nothing has computed.
        """
        if flags.get("PT_COMPILE_ONLY_MODE"):
            return self.compile_only(holders)
        with on_the_host(self.dtype):
            return self.run(holders)

    def run(self, holders: Sequence[Any]) -> Sequence[torch.Tensor]:
        """Run on the values of `holders`, for a caller who is on the host already, in the program's default dtype."""
        hosts = [holder.host for holder in holders]
        try:
            if self._runner is None:
                return self._first(holders, hosts)
            self.hits += 1
            publish(EventId.CACHE_HIT, recipe_id=self.name)
            return self._runner(*hosts)
        except Exception as error:
            failed_step.tell(error, self.steps)
            raise

    def _first(self, holders: Sequence[Any], hosts: list[Any]) -> Sequence[torch.Tensor]:
        """Run step by step, checking the shapes that recording promised, then compile what was learnt."""
        before = hosts
        if compilers.for_recorded() is not None:
            before = self.keep_written(hosts)
        values = replay.interpret(self.steps, self.wanted, hosts)
        self.compile(compilers.FirstRun(holders, hosts, before, values))
        return values

    def compile(self, first: compilers.FirstRun) -> None:
        """Make the runner, or find it on disk, and count which. It has to agree with the first run."""
        started = time.perf_counter()
        found, cached = self._by_compiler(first) or self._replay()
        self._runner = found
        publish(EventId.CACHE_HIT if cached else EventId.CACHE_MISS, recipe_id=self.name)
        self._count(started, cached)

    def compile_only(self, holders: Sequence[Any]) -> list[torch.Tensor]:
        """Compile, if that was not done yet, and return results that nothing has computed.

        Those that are views share memory, with each other and with what `holders` hold: who writes into one of them
        later writes into the others.

        The runner is not kept: only a run shows in which strides the host lays out each result.
        """
        self.hits += self._counted
        if self._runner is None and not self._counted:
            started = time.perf_counter()
            _, cached = self._replay()
            self._count(started, cached)
        with lasting():  # a replay writes into this memory later
            return shared_results.make_uncomputed(
                self.steps, self.wanted, [holder.host for holder in holders]
            )

    def _count(self, started: float, cached: bool) -> None:
        if not self._counted:
            self._counted = True
            recipes.count_compilation(self.name, started, cached=cached, inferring=self.inferring)

    def _replay(self) -> tuple[Runner, bool]:
        """Return generated Python, and whether its code was found on disk."""
        source = replay.source_of(self.steps, self.wanted)
        disk = recipes.disk()
        if disk is None:
            return source.bind(source.compile()), False
        key = recipes.key_of(("replay", source.text, self.dtype, *self.identity()))
        kept = disk.load(key)
        code = source.compile() if kept is None else marshal.loads(kept)
        if kept is None:
            disk.store(key, marshal.dumps(code))
        return source.bind(code), kept is not None

    def identity(self) -> list[str]:
        """Return what the program computes, in a form that is the same in every process."""
        return [f"{step.func} {step.args} {step.kwargs} {step.result} {step.loose}" for step in self.steps]

    def _by_compiler(self, first: compilers.FirstRun) -> tuple[Runner, bool] | None:
        """Return what the compiler asked for has made, and whether that was found on disk; None if nothing is."""
        compiler = compilers.for_recorded()
        if compiler is None:
            return None
        if reason := compiler.why_not(self.steps, first.hosts):
            compilers.passed_over.append(compilers.PassedOver(self.name, compiler.NAME, reason))
            return None
        try:
            return compiler.compile_program(self, first)
        except compilers.CannotCompile as error:
            compilers.passed_over.append(compilers.PassedOver(self.name, compiler.NAME, str(error)))
            return None

    def as_values(self, hosts: Sequence[Any], decomposed: frozenset[str]) -> recorded_graph.PureGraph:
        """Return the program without writes, with some operators taken apart; see `compilers.Computation`."""
        return recorded_graph.without_writes(self.steps, self.wanted, hosts, decomposed)

    def keep_written(self, hosts: Sequence[Any]) -> list[Any]:
        """Return inputs with copies in the place of those into which the program may write."""
        return recorded_graph.keep_written(self.steps, hosts)

    def by_steps(self) -> Runner:
        """Return straight replay."""
        return self._replay()[0]

    def agrees(self, found: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> bool:
        """Return whether the results of a compiler agree with those of a step-by-step run; if not, it is told.

        What was written into inputs may follow the results, in both.
        """
        compiler = compilers.for_recorded()
        return compiler is None or agreement.believe(
            self.name, compiler.NAME, self._difference(found, expected)
        )

    def _difference(self, found: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> str | None:
        """Return how results differ from the step-by-step run's; None if they agree."""
        metas = [meta.dtype for step in self.steps for meta in step.metas()]
        # Nobody has written what an `empty` returned.
        empty = {
            slot
            for step in self.steps
            if step.func is not None and step.func._schema.name.startswith(_UNWRITTEN)
            for slot in replay.slots_of(step)
        }
        slots = [*self.wanted, *[None] * (len(expected) - len(self.wanted))]
        known = [position for position, slot in enumerate(slots) if slot not in empty]
        return agreement.difference_of(
            [found[x] for x in known], [expected[x] for x in known], computed_in=metas, layout=True
        )


_UNWRITTEN = ("aten::empty", "aten::new_empty")
