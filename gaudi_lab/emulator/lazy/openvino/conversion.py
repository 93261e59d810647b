"""A recorded program as a compiled model of OpenVINO, with some of its inputs as constants."""

from __future__ import annotations

import copy
import functools
import hashlib
import io
import marshal
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import fx

from gaudi_lab.emulator.lazy import recipes
from gaudi_lab.emulator.lazy.compilers import CannotCompile, Computation
from gaudi_lab.emulator.lazy.openvino.openvino_import import import_openvino
from gaudi_lab.emulator.lazy.openvino.openvino_operators import name_known_operators
from gaudi_lab.emulator.lazy.program import Meta
from gaudi_lab.emulator.lazy.recorded_graph import PureGraph

# What it computes in, and under which names. It has no kernels for wider or complex numbers, and would round.
DTYPES = {
    torch.float32: "f32",
    torch.bfloat16: "bf16",
    torch.float16: "f16",
    torch.int64: "i64",
    torch.int32: "i32",
    torch.int16: "i16",
    torch.int8: "i8",
    torch.uint8: "u8",
    torch.bool: "boolean",
}

_UNKNOWN = re.compile(r"No conversion rule found for operations: (.+)")

_taken_apart: set[str] = set()
"""Operators that OpenVINO has turned out not to know."""


class Model(NamedTuple):
    """A compiled model.

    Attributes
    ----------
    compiled
        OpenVINO's own object.
    live
        The positions of the program's inputs that are its inputs.
    results
        What its results look like.
    found
        The memory in which it was found, if it was on disk: its weights stay there.
    """

    compiled: Any
    live: Sequence[int]
    results: Sequence[Meta]
    found: torch.Tensor | None = None


class _Roles(NamedTuple):
    """What a program does with its inputs, by position.

    Attributes
    ----------
    updated
        Those that it writes into.
    read
        Those that anything is computed from.
    """

    updated: tuple[int, ...]
    read: tuple[int, ...]


class Converter:
    """Converts one program, for any constants. What was found on disk is not even traced.

    Parameters
    ----------
    program
        The program.
    hosts
        Inputs of the right shapes.

    Raises
    ------
    CannotCompile
        The program cannot be told without writes.
    """

    def __init__(self, program: Computation, hosts: Sequence[torch.Tensor]) -> None:
        self._program = program
        self._identity = program.identity(), [(tuple(host.shape), host.dtype) for host in hosts]
        # For the first compile only: it holds the inputs.
        self._pure: PureGraph | None = None
        self._roles = self._find_roles(hosts)

    @property
    def updated(self) -> tuple[int, ...]:
        """The positions of the inputs that the program writes into: their new values follow the results."""
        return self._roles.updated

    def compile(
        self,
        values: Sequence[torch.Tensor],
        own: Sequence[int],
        baked: Sequence[int],
        hosts: Sequence[torch.Tensor],
    ) -> Model:
        """Compile the program.

        Parameters
        ----------
        values, own
            Results of a run, and which of them the model returns, by number.
        baked, hosts
            The positions of constants, and the inputs that hold them.

        Raises
        ------
        CannotCompile
            OpenVINO does not know an operator, or takes none of the inputs' dtypes.
        """
        openvino = import_openvino()

        live = [position for position in self._roles.read if position not in set(baked)]
        left = [hosts[position] for position in self.updated]
        results = list(map(_meta_of, [*[values[number] for number in own], *left]))
        if unknown := {hosts[position].dtype for position in live} - DTYPES.keys():
            raise CannotCompile(f"it computes in {unknown.pop()}")
        options = {
            "INFERENCE_PRECISION_HINT": "f32",  # a CPU with bfloat16 units would otherwise use them for float32
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
        }
        core, disk = _core(), recipes.disk()
        if disk is None:
            model = self._convert(len(values), own, baked, hosts, live, results)
            return Model(core.compile_model(model, "CPU", options), live, results)
        digests = [(position, _digest(hosts[position])) for position in baked]
        key = recipes.key_of(
            ("OpenVINO", openvino.__version__, options, self._identity, own, self._roles, *digests)
        )
        if (kept := disk.load(key)) is not None:
            self._pure = None
            found = torch.frombuffer(kept, dtype=torch.uint8)
            blob = openvino.Tensor(found.numpy(), shared_memory=True)
            return Model(core.import_model(blob, "CPU", options), live, results, found)
        compiled = core.compile_model(
            self._convert(len(values), own, baked, hosts, live, results), "CPU", options
        )
        stream = io.BytesIO()
        compiled.export_model(stream)
        disk.store(key, stream.getvalue())
        return Model(compiled, live, results)

    def _find_roles(self, hosts: Sequence[torch.Tensor]) -> _Roles:
        disk = recipes.disk()
        if disk is None:
            return self._trace_roles(hosts)
        key = recipes.key_of(("OpenVINO", "roles", self._identity))
        if (kept := disk.load(key)) is not None:
            return _Roles(*marshal.loads(kept))
        roles = self._trace_roles(hosts)
        disk.store(key, marshal.dumps(tuple(roles)))
        return roles

    def _trace_roles(self, hosts: Sequence[torch.Tensor]) -> _Roles:
        self._pure = pure = self._trace(hosts)
        placeholders = [node for node in pure.module.graph.nodes if node.op == "placeholder"]
        return _Roles(pure.updated, tuple([n for n, node in enumerate(placeholders) if node.users]))

    def _trace(self, hosts: Sequence[torch.Tensor]) -> PureGraph:
        """Return the program without writes, in operators that OpenVINO knows as far as is known."""
        try:
            pure = self._program.as_values(hosts, frozenset(_taken_apart))
        except CannotCompile:
            raise
        except Exception as error:  # whatever an operator's fake kernel raises
            raise CannotCompile(f"it cannot be told without writes: {explain(error)}") from error
        name_known_operators(pure.module)
        if any(0 in node.meta["val"].shape for node in _computed(pure.module)):
            raise CannotCompile("it has empty tensors")
        return pure

    def _convert(
        self,
        count: int,
        own: Sequence[int],
        baked: Sequence[int],
        hosts: Sequence[torch.Tensor],
        live: Sequence[int],
        results: Sequence[Meta],
    ) -> Any:
        """Return the model in OpenVINO's form; what it does not know is taken apart, as often as that helps."""
        pure, self._pure = self._pure or self._trace(hosts), None
        while True:
            module = _bake(pure, count, own, baked, hosts)
            try:
                return _to_openvino(module, [hosts[position] for position in live], results)
            except Exception as error:  # of a class that is not public
                found = _UNKNOWN.search(str(error))
                unknown = set(found[1].strip().split(", ")) if found else set()
                if not unknown - _taken_apart:
                    raise
                _taken_apart.update(unknown)
                pure = self._trace(hosts)


def _computed(module: fx.GraphModule) -> Iterator[fx.Node]:
    """Yield the nodes of a graph that are tensors and computed, or read."""
    for node in module.graph.nodes:
        if node.users and isinstance(node.meta.get("val"), torch.Tensor):
            yield node


def _bake(
    pure: PureGraph, count: int, own: Sequence[int], baked: Sequence[int], hosts: Sequence[torch.Tensor]
) -> fx.GraphModule:
    """Return a module of the inputs that are read and not constant, which returns the results asked for."""
    module = copy.copy(pure.module)
    module.graph = copy.deepcopy(pure.module.graph)
    placeholders = [node for node in module.graph.nodes if node.op == "placeholder"]
    output = next(node for node in module.graph.nodes if node.op == "output")
    results = output.args[0]
    output.args = ((*[results[number] for number in own], *results[count:]),)
    for position in baked:
        node = placeholders[position]
        module.register_buffer(f"constant_{position}", hosts[position].detach())
        with module.graph.inserting_before(node):
            node.replace_all_uses_with(module.graph.get_attr(f"constant_{position}"))
    for node in placeholders:
        if not node.users:
            module.graph.erase_node(node)
    module.graph.eliminate_dead_code()
    module.recompile()
    return module


def _to_openvino(module: fx.GraphModule, examples: Sequence[torch.Tensor], results: Sequence[Meta]) -> Any:
    """Return the model in OpenVINO's form, for inputs like the examples and with results of these dtypes."""
    openvino = import_openvino()

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of tracing, which sees sizes as numbers: here they are
        traced = torch.jit.trace(module.eval(), tuple(examples), check_trace=False)
        model = openvino.convert_model(traced, example_input=tuple(examples))
    model.reshape({number: openvino.PartialShape(list(host.shape)) for number, host in enumerate(examples)})
    placed = openvino.preprocess.PrePostProcessor(model)
    for number, meta in enumerate(results):
        placed.output(number).tensor().set_element_type(getattr(openvino.Type, DTYPES[meta.dtype]))
    return placed.build()


@functools.cache
def _core() -> Any:
    """Return OpenVINO at work in this process, for as long as that lasts.

    Each that is made starts threads, and puts the main thread's signal stack back to what it found when it goes: after
    two that went in the order in which they came, the next signal ends the process.
    """
    return import_openvino().Core()


def _meta_of(host: torch.Tensor) -> Meta:
    return Meta(host.shape, host.stride(), int(host.storage_offset()), host.dtype)


def _digest(host: torch.Tensor) -> str:
    numbers = host.detach().contiguous().view(-1).view(torch.uint8).numpy()
    return hashlib.sha256(numbers.data).hexdigest()  # which processors have an instruction for


def explain(error: Exception) -> str:
    """Return what OpenVINO complains of, out of a text of many lines."""
    text = str(error)
    if missing := _UNKNOWN.search(text):
        return f"it does not know {missing[1].strip()}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Exception from", "Check '", "FrontEnd API"))]
    return f"it says: {(told or lines or [type(error).__name__])[0]}"
