"""The compilers that a graph can be given to, beside straight replay: which is asked for, and what it has passed over.

Each is a module with `NAME`, with `why_not`, which says what it may not have, and with `compile_program`.

Where none is asked for (``GAUDI_LAB_COMPILER=auto``), everything is replayed step by step, recorded programs and what
Dynamo traced alike. That is what makes the first hundred calls cheapest, as `benchmarks/peers_table.py` measures it:
Inductor takes longer to compile than a hundred calls save, and OpenVINO saves more than it takes only where a call is
long (MiniLM on 32 sentences, not on one), at the price of a second copy of the weights. It needs neither of them.
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch

from gaudi_lab.emulator.device.random import is_random
from gaudi_lab.emulator.device.schema import updated_statistics
from gaudi_lab.emulator.lazy.program import Step
from gaudi_lab.emulator.lazy.recorded_graph import PureGraph
from gaudi_lab.machine import cpp_compiler

Runner = Callable[..., Sequence[torch.Tensor]]

_CHOICES = ("auto", "replay", "inductor", "openvino")
_MODULES = {"inductor": "inductor", "openvino": "openvino.constant_variants"}


class Computation(Protocol):
    """What can be compiled: a recorded program, or what Dynamo traced.

    Attributes
    ----------
    name
        What the counters call it.
    """

    name: str

    def identity(self) -> object:
        """Return what it computes, in a form that is the same in every process."""

    def as_values(self, hosts: Sequence[torch.Tensor], decomposed: frozenset[str]) -> PureGraph:
        """Return it without writes, for inputs like `hosts`, with some operators taken apart."""

    def keep_written(self, hosts: Sequence[Any]) -> Sequence[Any]:
        """Return inputs with copies in the place of those into which it may write."""

    def by_steps(self) -> Runner:
        """Return straight replay, for calls that compiled code does not suit."""

    def agrees(self, found: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> bool:
        """Return whether results agree with those of a step-by-step run; if not, it is told.

        What was written into inputs may follow the results, in both.
        """


class Program(Computation, Protocol):
    """A recorded program, as a compiler sees it.

    Attributes
    ----------
    steps, wanted
        What it computes, and the slots that it returns, in this order.
    """

    steps: list[Step]
    wanted: tuple[int, ...]


class FirstRun(NamedTuple):
    """A program's run, step by step, with which a compiler has to agree.

    Attributes
    ----------
    holders, hosts
        The inputs: the cells, and what they hold since.
    before
        What they held before: copies of those into which the program may write.
    values
        What was returned.
    """

    holders: Sequence[Any]
    hosts: Sequence[torch.Tensor]
    before: Sequence[torch.Tensor]
    values: Sequence[torch.Tensor]


class Compiler(Protocol):
    """What a compiler of recorded programs is.

    Attributes
    ----------
    NAME
        What people call it.
    """

    NAME: str

    def why_not(self, steps: list[Step], hosts: Sequence[Any]) -> str:
        """Return why it may not have this program, as the end of a sentence; empty if it may."""

    def compile_program(self, program: Program, first: FirstRun) -> tuple[Runner, bool] | None:
        """Return a function of the program's inputs, and whether it was found on disk; None if it is not believed.

        Raises
        ------
        CannotCompile
            The compiler has no code for it.
        """


class CannotCompile(Exception):
    """A compiler has no code for a program; the text says why, as the end of a sentence."""


class PassedOver(NamedTuple):
    """A program that the compiler asked for does not run.

    Attributes
    ----------
    graph
        What the counters call it.
    compiler
        Which compiler.
    reason
        Why, as the end of a sentence.
    """

    graph: str
    compiler: str
    reason: str

    def __str__(self) -> str:
        return f"{self.graph} runs step by step and not by {self.compiler}: {self.reason}"


passed_over: list[PassedOver] = []
"""All of these, since the process started."""


def why_not_twice(steps: list[Step], hosts: Sequence[Any]) -> str:
    """Return why a program cannot be run twice alike, as the end of a sentence; empty if it can.

    What is compiled has to be, so that the two runs can be compared. Random numbers would come from another stream.
    """
    if any(not isinstance(host, torch.Tensor) for host in hosts):
        return "it has a generator among its inputs"
    for step in steps:
        if step.wider:
            return f"{step.func} is computed in a wider dtype"
        if step.func is not None and is_random(step.func):
            return f"{step.func} draws random numbers"
        if step.func is not None and updated_statistics(step.func, step.args, step.kwargs):
            return f"{step.func} writes into its inputs"
    return ""


def choice() -> str:
    """Return the compiler asked for: ``"auto"``, ``"replay"``, ``"inductor"`` or ``"openvino"``.

    Raises
    ------
    ValueError
        ``GAUDI_LAB_COMPILER`` is none of these.
    """
    asked = os.environ.get("GAUDI_LAB_COMPILER", "auto")
    if asked not in _CHOICES:
        raise ValueError(f"GAUDI_LAB_COMPILER={asked!r} is none of: {', '.join(_CHOICES)}")
    return asked


def for_recorded() -> Compiler | None:
    """Return what compiles recorded programs; None for straight replay.

    Raises
    ------
    ValueError
        ``GAUDI_LAB_COMPILER`` is no compiler.
    ImportError
        It is OpenVINO, and that is not installed.
    """
    asked = choice()
    if asked == "openvino":
        _need_openvino()
    if asked in _MODULES:
        compiler: Any = importlib.import_module(f"gaudi_lab.emulator.lazy.{_MODULES[asked]}")
        return compiler
    return None


def _need_openvino() -> None:
    if importlib.util.find_spec("openvino") is None:
        raise ImportError(
            "GAUDI_LAB_COMPILER=openvino, and OpenVINO is not installed. Run: pip install openvino"
        )


def for_traced(*, gradients: bool) -> str:
    """Return what compiles a graph that Dynamo traced: ``"replay"``, ``"inductor"`` or ``"openvino"``.

    Parameters
    ----------
    gradients
        Whether it is differentiated, which OpenVINO's graphs are not.

    Raises
    ------
    ValueError, ImportError
        As `for_recorded`.
    """
    asked = choice()
    if asked == "openvino":
        _need_openvino()
        return "replay" if gradients else "openvino"
    return "inductor" if asked == "inductor" and has_cpp_compiler() else "replay"


@functools.cache
def has_cpp_compiler() -> bool:
    """Return True if Inductor would find a C++ compiler here."""
    return cpp_compiler.find() is not None
