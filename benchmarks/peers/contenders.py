"""The ways to run one model: the emulated bridge's modes and compilers, PyTorch's own, and other runtimes.

Each maker returns a function without arguments that runs the model once and leaves its result on the host.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from floors import Remembering, Unwrapping, forget_values, over_bare, value_of
from torch import nn
from torch._dynamo import lookup_backend
from torch.nn.attention import SDPBackend, sdpa_kernel

import gaudi_lab.emulator
from gaudi_lab.emulator.lazy import record
from gaudi_lab.emulator.lazy.openvino.openvino_import import import_openvino
from peers import BARE_RECORDER, BARE_SUBCLASS, BY_STEPS, GRAPH_FUSED

Run = Callable[[], torch.Tensor]
Inputs = tuple[torch.Tensor, ...]


class Contender(NamedTuple):
    """One way to run a model.

    Attributes
    ----------
    name
        The row of the table.
    make
        Makes it of a module and its inputs.
    process
        What it runs in, if it runs on the device; None on the CPU.
    fused
        Whether its attention runs by FusedSDPA, also where the others' does not.
    """

    name: str
    make: Callable[[nn.Module, Inputs], Run]
    process: _Process | None = None
    fused: bool = False

    def enter(self) -> None:
        """Enter what it runs in: before each run, outside of what is timed."""
        if self.process is not None:
            self.process.enter()


class _Process:
    """What would be a process of its own: a mode, a compiler, and the programs recorded so far."""

    def __init__(self, lazy: bool, compiler: str) -> None:
        self._lazy = lazy
        self._compiler = compiler
        self._trie = record.Trie(record.trie.capacity)

    def enter(self) -> None:
        """Go on in it."""
        gaudi_lab.emulator.set_lazy(self._lazy)
        record.tape.flush()
        os.environ["GAUDI_LAB_COMPILER"] = self._compiler
        record.trie = self._trie
        record.tape.restart()


def on_the_device(module: nn.Module, inputs: Inputs, fused: bool) -> tuple[nn.Module, Inputs]:
    """Return a model and its inputs on the device, its attention by FusedSDPA if that is asked for."""
    from gaudi_lab.instruments import attention

    on_hpu = copy.deepcopy(module).to("hpu")
    if fused:
        attention.fused_sdpa(on_hpu)
    moved = tuple([x.to("hpu") for x in inputs])
    record.tape.flush()
    return on_hpu, moved


def _cpu(module: nn.Module, inputs: Inputs) -> Run:
    return lambda: module(*inputs)


def _cpu_by_steps(module: nn.Module, inputs: Inputs) -> Run:
    """Compute attention as matmul, softmax, matmul: as the bridge does."""

    def run() -> torch.Tensor:
        with sdpa_kernel([SDPBackend.MATH]):
            return module(*inputs)

    return run


def _bare_subclass(attention: Callable[..., Run]) -> Callable[[nn.Module, Inputs], Run]:
    @torch.inference_mode()
    def make(module: nn.Module, inputs: Inputs) -> Run:
        bare = attention(over_bare(module, Unwrapping), tuple(map(Unwrapping.over, inputs)))
        return torch.inference_mode()(lambda: bare().host)  # type: ignore[attr-defined]

    return make


def _bare_recorder(attention: Callable[..., Run]) -> Callable[[nn.Module, Inputs], Run]:
    @torch.inference_mode()
    def make(module: nn.Module, inputs: Inputs) -> Run:
        bare = attention(over_bare(module, Remembering), tuple(map(Remembering.over, inputs)))
        first = value_of(bare())

        @torch.inference_mode()
        def run() -> torch.Tensor:
            bare()
            return first

        forget_values()
        return run

    return make


def _hpu(module: nn.Module, inputs: Inputs) -> Run:
    return lambda: module(*inputs).cpu()


def _hpu_graph(module: nn.Module, inputs: Inputs) -> Run:
    from habana_frameworks.torch.hpu import wrap_in_hpu_graph

    from gaudi_lab.instruments import attention

    # As `%gaudi_graphs on` does: a model that asks the host for the values of its mask would be two programs.
    attention.static_masks(module)
    wrapped = wrap_in_hpu_graph(module)
    return lambda: wrapped(*inputs).cpu()


def _hpu_compile(module: nn.Module, inputs: Inputs) -> Run:
    def backend(graph: Any, examples: Any) -> Any:
        # Of its own: Dynamo finds again what an equal backend has made, whichever compiler was asked for.
        return lookup_backend("hpu_backend")(graph, examples)

    compiled = torch.compile(module, backend=backend)
    return lambda: compiled(*inputs).cpu()


def _inductor(module: nn.Module, inputs: Inputs) -> Run:
    compiled = torch.compile(copy.deepcopy(module))
    return lambda: compiled(*inputs)


def _onnx_runtime(module: nn.Module, inputs: Inputs) -> Run:
    import io

    import onnxruntime

    file = io.BytesIO()
    torch.onnx.export(module, inputs, dynamo=True, verbose=False).save(file)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        file.getvalue(), sess_options=options, providers=["CPUExecutionProvider"]
    )
    names = [x.name for x in session.get_inputs()]
    fed = dict(zip(names, [x.numpy() for x in inputs], strict=True))
    return lambda: torch.from_numpy(session.run(None, fed)[0])


def _openvino(module: nn.Module, inputs: Inputs) -> Run:
    openvino = import_openvino()  # reports nothing home, for which it would fork this process
    try:
        model = openvino.convert_model(module, example_input=inputs)
    except openvino.frontend.OpConversionFailure:  # an operator that it knows in an exported program only
        model = openvino.convert_model(torch.export.export(module, inputs))
    for number, x in enumerate(inputs):
        model.input(number).get_node().set_partial_shape(openvino.PartialShape(list(x.shape)))
    model.validate_nodes_and_infer_types()
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    request = openvino.Core().compile_model(model, "CPU", options).create_infer_request()
    arrays = [x.numpy() for x in inputs]
    return lambda: torch.from_numpy(next(iter(request.infer(arrays).values())))


def contenders(fused: bool = False) -> list[Contender]:
    """Return all of them, the CPU first: the others are told beside it.

    Parameters
    ----------
    fused
        Whether attention is one kernel on the device too: then the CPU's is what stands beside it.
    """
    by_steps = _cpu if fused else _cpu_by_steps
    return [
        Contender("CPU eager", _cpu),
        *([] if fused else [Contender(BY_STEPS, _cpu_by_steps)]),
        Contender(BARE_SUBCLASS, _bare_subclass(by_steps)),
        Contender(BARE_RECORDER, _bare_recorder(by_steps)),
        Contender("hpu eager", _hpu, _Process(False, "auto")),
        Contender("hpu lazy", _hpu, _Process(True, "auto")),
        Contender("hpu lazy, openvino", _hpu, _Process(True, "openvino")),
        Contender("HPU graph", _hpu_graph, _Process(True, "auto")),
        Contender("HPU graph, openvino", _hpu_graph, _Process(True, "openvino")),
        *([] if fused else [Contender(GRAPH_FUSED, _hpu_graph, _Process(True, "openvino"), fused=True)]),
        Contender("hpu compile", _hpu_compile, _Process(False, "auto")),
        Contender("hpu compile, openvino", _hpu_compile, _Process(False, "openvino")),
        Contender("hpu compile, inductor", _hpu_compile, _Process(False, "inductor")),
        Contender("PyTorch Inductor", _inductor),
        Contender("ONNX Runtime", _onnx_runtime),
        Contender("OpenVINO", _openvino),
    ]
