"""OpenVINO as the compiler of a recorded program: Intel's own graph compiler for the CPU.

It is fast where the weights are constants, so parameters are baked in: they are what a call hardly ever changes. Each
call looks whether they still are what was baked in, by identity and by PyTorch's own count of writes; if they are not,
it runs step by step. What a program writes into its other inputs is computed as a result and copied there. OpenVINO
copies all of it at each call too, whether its result lies in the input's own memory or not: a decoder of six layers is
quicker than by replay with a static cache of 128 tokens, and slower with one of 4096, into which replay just writes.
"""

from __future__ import annotations

import functools
import gc
import operator
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch

from gaudi_lab.emulator.device import counted_writes
from gaudi_lab.emulator.device.tensor import HpuTensor
from gaudi_lab.emulator.lazy import compilers, recipes
from gaudi_lab.emulator.lazy.compilers import CannotCompile, Computation, FirstRun, Program, Runner
from gaudi_lab.emulator.lazy.openvino.conversion import DTYPES, Converter, explain
from gaudi_lab.emulator.lazy.openvino.infer_request import InferRequest
from gaudi_lab.emulator.lazy.openvino.openvino_operators import ENDS_THE_PROCESS
from gaudi_lab.emulator.lazy.program import Step
from gaudi_lab.emulator.lazy.shared_results import SharedResults

NAME = "OpenVINO"

_MOST = 4
"""So many sets of constants of one program are compiled."""


def why_not(steps: list[Step], hosts: Sequence[Any]) -> str:
    """Return why OpenVINO may not have this program, as the end of a sentence; empty if it may."""
    if reason := compilers.why_not_twice(steps, hosts):
        return reason
    metas = [meta for step in steps for meta in step.metas()]
    unknown = next((meta.dtype for meta in metas if meta.dtype not in DTYPES), None)
    if unknown is not None:
        return f"it computes in {unknown}"
    funcs = [step.func for step in steps if step.func is not None]
    deadly = next((func for func in funcs if func._schema.name in ENDS_THE_PROCESS), None)
    return "" if deadly is None else f"{deadly} ends the process there"


def compile_program(program: Program, first: FirstRun) -> tuple[Runner, bool] | None:
    """Return the program with its parameters as constants, and if it was on disk; see `compilers.Compiler`."""
    run = Variants(program, find_parameters(first.holders), first.before)
    return (run, run.cached) if run.add(first.before, first.hosts, first.values) else None


def find_parameters(holders: Sequence[Any]) -> list[int]:
    """Return the positions of those inputs that are parameters of a module.

    A cell does not know whose it is, and to note it would cost at every recording. So all tensors are looked through,
    which refer to their class: to ask who refers to a cell would compare every object there is with every cell.
    """
    tensors = [vars(x) for x in gc.get_referrers(HpuTensor) if type(x) is HpuTensor]
    parameters = {id(x.get("_cell")) for x in tensors if x.get("_is_param")}
    # PyTorch does not count the writes into tensors of its inference mode.
    return [
        position
        for position, holder in enumerate(holders)
        if id(holder) in parameters and not holder.host.is_inference()
    ]


class Variants:
    """A program, compiled for one or more sets of constants: models of one build share their programs.

    A set is compiled the second time in a row that it comes, so that a training, whose parameters change at each step,
    compiles nothing.

    Parameters
    ----------
    program
        What to compile.
    baked
        The positions of those inputs that are constants.
    hosts
        Inputs of the right shapes.

    Attributes
    ----------
    cached
        Whether the first one was found on disk.

    Raises
    ------
    CannotCompile
        It writes into parameters, or cannot be told without writes.
    """

    def __init__(self, program: Computation, baked: Sequence[int], hosts: Sequence[torch.Tensor]) -> None:
        self.cached = False
        self._program = program
        self._baked = baked
        self._converter = Converter(program, hosts)
        self._updated = self._converter.updated
        if set(self._updated) & set(baked):
            raise CannotCompile("it writes into parameters")
        self._variants: list[_Variant] = []
        self._before: list[tuple[weakref.ref[torch.Tensor], int]] = []
        self._by_steps: Runner | None = None

    def add(
        self,
        before: Sequence[torch.Tensor],
        hosts: Sequence[torch.Tensor],
        values: Sequence[torch.Tensor],
    ) -> bool:
        """Compile for the constants among `hosts`; return whether the results are believed.

        Parameters
        ----------
        before, hosts, values
            As in `compilers.FirstRun`. What the program writes into is written in `before`.

        Raises
        ------
        CannotCompile
            OpenVINO cannot take it.
        """
        if self._updated and _share_memory(hosts, self._updated):
            raise CannotCompile("it writes into memory that two of its inputs share")
        try:
            shared = SharedResults(values, hosts)
        except ValueError as error:
            raise CannotCompile(str(error)) from error
        variant = _Variant(self._converter, self._baked, before, values, shared)
        found = [*variant(before), *[before[position] for position in self._updated]]
        if not self._program.agrees(found, [*values, *[hosts[position] for position in self._updated]]):
            return False
        self.cached = variant.cached
        self._variants.append(variant)
        return True

    def __call__(self, *hosts: torch.Tensor) -> Sequence[torch.Tensor]:
        """Run on the program's inputs."""
        if not self._updated or not _share_memory(hosts, self._updated):
            for variant in self._variants:
                if variant.holds(hosts):
                    return variant(hosts)
        if self._by_steps is None:
            self._by_steps = self._program.by_steps()
        now = [(hosts[position], hosts[position]._version) for position in self._baked]
        again = _are_same(now, self._before) and self._takes_another()
        before = self._program.keep_written(hosts) if again else hosts
        values = self._by_steps(*hosts)
        if again:
            self._add_later(before, hosts, values)
        self._before = [(weakref.ref(host), writes) for host, writes in now]
        return values

    def _takes_another(self) -> bool:
        """Return whether one more set may be compiled, once those are let go that will never hold again."""
        self._variants = [variant for variant in self._variants if not variant.outdated]
        return len(self._variants) < _MOST

    def _add_later(
        self,
        before: Sequence[torch.Tensor],
        hosts: Sequence[torch.Tensor],
        values: Sequence[torch.Tensor],
    ) -> None:
        started = time.perf_counter()
        try:
            believed = self.add(before, hosts, values)
        except CannotCompile:
            believed = False
        if not believed:
            self._baked = ()  # never the same again: nothing to bake
        recipes.count_compilation(self._program.name, started, cached=self.cached)


class _Variant:
    """A program compiled for one set of constants, for as long as all of these are there.

    It holds none of them itself: a model that nobody has any more takes with it what was compiled for it.

    Attributes
    ----------
    cached
        Whether it was found on disk.
    """

    def __init__(
        self,
        converter: Converter,
        baked: Sequence[int],
        hosts: Sequence[torch.Tensor],
        values: Sequence[torch.Tensor],
        shared: SharedResults,
    ) -> None:
        self._shared = shared
        self._positions = list(baked)
        constants = [hosts[position] for position in baked]
        for host in constants:
            counted_writes.count(host)
        self._writes = list(map(_count_writes, constants))
        self._numbers = list(map(id, constants))
        self._gone = False
        let_go = functools.partial(_let_go, weakref.ref(self))
        self._constants = [weakref.ref(host, let_go) for host in constants]
        self._updated = converter.updated
        self._run: Callable[..., tuple[list[torch.Tensor], list[torch.Tensor]]] = _compute_nothing
        self.cached = False
        if not shared.own and not self._updated:
            return  # all of it are views of its inputs
        try:
            model = converter.compile(values, shared.own, baked, hosts)
            self._run = InferRequest(model, hosts, len(shared.own))
        except CannotCompile:
            raise
        except Exception as error:  # whatever it could not do
            raise CannotCompile(explain(error)) from error
        self.cached = model.found is not None

    def holds(self, hosts: Sequence[torch.Tensor]) -> bool:
        """Return whether its constants are what was baked in."""
        if self._gone:  # what is given may have the number of one that is
            return False
        # At each call, of hundreds of constants: so without a loop in Python.
        given = list(map(hosts.__getitem__, self._positions))
        return list(map(id, given)) == self._numbers and list(map(_count_writes, given)) == self._writes

    @property
    def outdated(self) -> bool:
        """Whether its constants are gone or were written since, so that it will never hold again."""
        held = [constant() for constant in self._constants]
        return self._gone or list(map(_count_writes, held)) != self._writes

    def let_go(self) -> None:
        """Let go of what was compiled: one of the constants is gone."""
        self._gone = True
        self._run = _compute_nothing

    def __call__(self, hosts: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """Run on the program's inputs, the constants among them."""
        computed, left = self._run(hosts)
        for position, value in zip(self._updated, left, strict=True):
            hosts[position].copy_(value)
        return self._shared.complete(computed, hosts)


_count_writes = operator.attrgetter("_version")


def _let_go(variant: weakref.ref[_Variant], gone: object) -> None:
    if (held := variant()) is not None:
        held.let_go()


def _compute_nothing(hosts: Sequence[torch.Tensor]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    return [], []


def _are_same(
    now: list[tuple[torch.Tensor, int]], before: list[tuple[weakref.ref[torch.Tensor], int]]
) -> bool:
    return len(now) == len(before) > 0 and all(
        host is old() and writes == then for (host, writes), (old, then) in zip(now, before, strict=True)
    )


def _share_memory(hosts: Sequence[torch.Tensor], positions: Sequence[int]) -> bool:
    """Return whether the memory of an input at one of `positions` is also that of another input."""
    memories = [host.untyped_storage().data_ptr() for host in hosts]
    return any(memories.count(memories[position]) > 1 for position in positions)
