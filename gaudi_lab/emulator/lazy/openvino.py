"""OpenVINO as the compiler of a recorded program: Intel's own graph compiler for the CPU.

It is fast where the weights are constants, so parameters are baked in: they are what a call hardly ever changes. Each
call looks whether they still are what was baked in, by identity and by PyTorch's own count of writes; if they are not,
it runs step by step.
"""

from __future__ import annotations

import gc
import hashlib
import re
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx

from gaudi_lab.emulator.device.tensor import HpuTensor
from gaudi_lab.emulator.lazy import inductor, recipes, replay
from gaudi_lab.emulator.lazy.compilers import CannotCompile, Program, Runner
from gaudi_lab.emulator.lazy.openvino_import import import_openvino
from gaudi_lab.emulator.lazy.openvino_operators import name_known_operators
from gaudi_lab.emulator.lazy.program import Meta, Step
from gaudi_lab.emulator.lazy.shared_results import SharedResults

NAME = "OpenVINO"

_MOST = 4
"""So many sets of constants of one program are compiled."""

# What it computes in, and under which names. It has no kernels for wider or complex numbers, and would round.
_DTYPES = {
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


def why_not(steps: list[Step], hosts: Sequence[Any]) -> str:
    """Return why OpenVINO may not have this program, as the end of a sentence; empty if it may."""
    if reason := inductor.why_not(steps, hosts):
        return reason
    metas = [meta for step in steps for meta in step.metas()]
    unknown = next((meta.dtype for meta in metas if meta.dtype not in _DTYPES), None)
    if unknown is not None:
        return f"it computes in {unknown}"
    return "it has empty tensors" if any(0 in meta.size for meta in metas) else ""


def compile_program(
    program: Program, holders: Sequence[Any], hosts: Sequence[torch.Tensor], values: Sequence[torch.Tensor]
) -> tuple[Runner, bool] | None:
    """Return the program with its parameters as constants, and if it was on disk; see `compilers.Compiler`."""
    run = _Variants(program, find_parameters(holders))
    return (run, run.cached) if run.add(hosts, values) else None


def find_parameters(holders: Sequence[Any]) -> list[int]:
    """Return the positions of those inputs that are parameters of a module.

    A cell does not know whose it is, and to note it would cost at every recording. Who refers to it is asked once.
    """
    parameters = set()
    for referrer in gc.get_referrers(*holders):
        attributes = vars(referrer) if isinstance(referrer, HpuTensor) else referrer
        if attributes.__class__ is dict and attributes.get("_is_param"):
            parameters.add(id(attributes.get("_cell")))
    # PyTorch does not count the writes into tensors of its inference mode.
    return [
        position
        for position, holder in enumerate(holders)
        if id(holder) in parameters and not holder.host.is_inference()
    ]


class _Variants:
    """A program, compiled for one or more sets of constants: models of one build share their programs.

    A set is compiled the second time in a row that it comes, so that a training, whose parameters change at each step,
    compiles nothing.

    Parameters
    ----------
    program
        What to compile.
    baked
        The positions of those inputs that are constants.

    Attributes
    ----------
    cached
        Whether the first one was found on disk.
    """

    def __init__(self, program: Program, baked: Sequence[int]) -> None:
        self.cached = False
        self._program = program
        self._baked = baked
        self._variants: list[_Variant] = []
        self._before: list[tuple[torch.Tensor, int]] = []
        self._by_steps: Runner | None = None

    def add(self, hosts: Sequence[torch.Tensor], values: Sequence[torch.Tensor]) -> bool:
        """Compile for the constants among `hosts`; return whether the results are believed."""
        variant = _Variant(self._program, self._baked, hosts, values)
        if not self._program.agrees(variant(hosts), values):
            return False
        self.cached = variant.cached
        # Those whose constants were written since are of no use any more.
        self._variants = [old for old in self._variants if not old.outdated] + [variant]
        return True

    def __call__(self, *hosts: torch.Tensor) -> Sequence[torch.Tensor]:
        """Run on the program's inputs."""
        for variant in self._variants:
            if variant.holds(hosts):
                return variant(hosts)
        if self._by_steps is None:
            self._by_steps = self._program.by_steps()
        values = self._by_steps(*hosts)
        now = [(hosts[position], hosts[position]._version) for position in self._baked]
        if len(self._variants) < _MOST and _are_same(now, self._before):
            self._add_later(hosts, values)
        self._before = now
        return values

    def _add_later(self, hosts: Sequence[torch.Tensor], values: Sequence[torch.Tensor]) -> None:
        started = time.perf_counter()
        try:
            believed = self.add(hosts, values)
        except CannotCompile:
            believed = False
        if not believed:
            self._baked = ()  # never the same again: nothing to bake
        recipes.count_compilation(self._program.name, started, cached=self.cached)


class _Variant:
    """A program compiled for one set of constants.

    Attributes
    ----------
    cached
        Whether it was found on disk.
    """

    def __init__(
        self,
        program: Program,
        baked: Sequence[int],
        hosts: Sequence[torch.Tensor],
        values: Sequence[torch.Tensor],
    ) -> None:
        steps, wanted = program.steps, program.wanted
        self._constants = [(position, hosts[position], hosts[position]._version) for position in baked]
        self._live = [position for position in range(len(hosts)) if position not in set(baked)]
        examples = [hosts[position] for position in self._live]
        try:
            self._shared = SharedResults(values, hosts)
            own = tuple([wanted[number] for number in self._shared.own])
            metas = {
                slot: meta
                for step in steps
                for slot, meta in zip(replay.slots_of(step), step.metas(), strict=True)
            }
            results = [metas[slot] for slot in own]
            what = [(str(step.func), step.args, step.kwargs, step.result) for step in steps], own
            compiled, self.cached = _find_or_compile(
                lambda: _convert(_to_module(steps, own, hosts, baked), examples, results),
                what,
                self._constants,
            )
            self._run = _Request(compiled, examples, results)
        except Exception as error:  # whatever it could not do
            raise CannotCompile(_explain(error)) from error

    def holds(self, hosts: Sequence[torch.Tensor]) -> bool:
        """Return whether its constants are what was baked in."""
        for position, host, writes in self._constants:
            if hosts[position] is not host or host._version != writes:
                return False
        return True

    @property
    def outdated(self) -> bool:
        """Whether its constants were written since, so that it will never hold again."""
        return any(host._version != writes for _, host, writes in self._constants)

    def __call__(self, hosts: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """Run on the program's inputs, the constants among them."""
        return self._shared.complete(self._run([hosts[position] for position in self._live]), hosts)


class _Request:
    """OpenVINO at work, in memory that was set up once.

    Parameters
    ----------
    compiled
        The compiled model.
    examples
        Inputs of the right shapes and dtypes.
    metas
        What its results have to look like.
    """

    def __init__(self, compiled: Any, examples: Sequence[torch.Tensor], metas: Sequence[Meta]) -> None:
        self._request = compiled.create_infer_request()
        self._metas = metas
        self._inputs = [torch.empty(host.shape, dtype=host.dtype) for host in examples]
        self._outputs = [torch.empty(meta.size, dtype=meta.dtype) for meta in metas]
        for number, memory in enumerate(self._inputs):
            self._request.set_input_tensor(number, _over(memory))
        for number, memory in enumerate(self._outputs):
            self._request.set_output_tensor(number, _over(memory))

    def __call__(self, hosts: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return the results for the inputs `hosts`, in memory of their own."""
        for memory, host in zip(self._inputs, hosts, strict=True):
            memory.copy_(host)
        self._request.infer({}, share_outputs=True, decode_strings=False)
        return [
            memory.clone()
            if memory.stride() == meta.stride and not meta.offset
            else replay.conform(memory, meta)
            for memory, meta in zip(self._outputs, self._metas, strict=True)
        ]


def _are_same(now: list[tuple[torch.Tensor, int]], before: list[tuple[torch.Tensor, int]]) -> bool:
    return len(now) == len(before) > 0 and all(
        host is old and writes == then for (host, writes), (old, then) in zip(now, before, strict=True)
    )


def _explain(error: Exception) -> str:
    """Return what OpenVINO complains of, out of a text of many lines."""
    text = str(error)
    if missing := re.search(r"No conversion rule found for operations: (.+)", text):
        return f"it does not know {missing[1].strip()}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Exception from", "Check '", "FrontEnd API"))]
    return f"it says: {(told or lines or [type(error).__name__])[0]}"


def _over(memory: torch.Tensor) -> Any:
    """Return OpenVINO's view of a tensor's memory."""
    openvino = import_openvino()

    kind = getattr(openvino.Type, _DTYPES[memory.dtype])
    # NumPy knows no bfloat16.
    seen = memory.view(torch.int16) if memory.dtype is torch.bfloat16 else memory
    return openvino.Tensor(seen.numpy(), list(memory.shape), kind)


def _to_module(
    steps: list[Step], wanted: tuple[int, ...], hosts: Sequence[torch.Tensor], baked: Sequence[int]
) -> fx.GraphModule:
    """Return the program as a module, with some of its inputs as constants, in operators that OpenVINO knows."""
    module = inductor.to_fx(steps, wanted)
    placeholders = [node for node in module.graph.nodes if node.op == "placeholder"]
    for position in baked:
        node = placeholders[position]
        module.register_buffer(node.name, hosts[position])
        with module.graph.inserting_before(node):
            node.replace_all_uses_with(module.graph.get_attr(node.name))
        module.graph.erase_node(node)
    name_known_operators(module)
    return module


def _convert(module: fx.GraphModule, examples: Sequence[torch.Tensor], results: Sequence[Meta]) -> Any:
    """Return the model in OpenVINO's form, for inputs like the examples and with results of these dtypes."""
    openvino = import_openvino()

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of tracing, which sees sizes as numbers: here they are
        model = openvino.convert_model(module.eval(), example_input=tuple(examples))
    model.reshape({number: openvino.PartialShape(list(host.shape)) for number, host in enumerate(examples)})
    placed = openvino.preprocess.PrePostProcessor(model)
    for number, meta in enumerate(results):
        placed.output(number).tensor().set_element_type(getattr(openvino.Type, _DTYPES[meta.dtype]))
    return placed.build()


def _find_or_compile(
    convert: Callable[[], Any], what: object, constants: Sequence[tuple[int, torch.Tensor, int]]
) -> tuple[Any, bool]:
    openvino = import_openvino()

    options = {
        "INFERENCE_PRECISION_HINT": "f32",  # a CPU with bfloat16 units would otherwise use them for float32
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
    }
    core, disk = openvino.Core(), recipes.disk()
    if disk is None:
        return core.compile_model(convert(), "CPU", options), False
    key = recipes.key_of((NAME, openvino.__version__, options, what, *map(_digest, constants)))
    if (blob := disk.load(key)) is not None:
        return core.import_model(blob, "CPU", options), True
    compiled = core.compile_model(convert(), "CPU", options)
    disk.store(key, compiled.export_model())
    return compiled, False


def _digest(constant: tuple[int, torch.Tensor, int]) -> tuple[int, str]:
    position, host, _ = constant
    numbers = host.detach().contiguous().view(-1).view(torch.uint8).numpy()
    return position, hashlib.blake2b(numbers.data, digest_size=16).hexdigest()
