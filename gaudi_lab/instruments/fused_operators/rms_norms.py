"""Root mean square normalisation by the bridge's `FusedRMSNorm`.

A candidate is a module with one weight vector and nothing else. Whether it is this normalisation, with which epsilon,
and whether its scale is the weight or one more, is found by computing: on the model's own inputs, and on random ones
of three shapes and two dtypes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from gaudi_lab import bridge
from gaudi_lab.instruments.fused_operators.class_layers import Forward, StandIns, class_before
from gaudi_lab.instruments.fused_operators.place import (
    NOT_CALLED,
    NOT_REACHED,
    REPLACED,
    KernelOperator,
    Run,
    StandInPlace,
    general_refusal,
    is_replaced,
)
from gaudi_lab.instruments.fused_operators.rounding import DTYPES, gradients_agree, is_within
from gaudi_lab.instruments.handle import Handle, together

_SHAPES = ((1,), (2, 3), (2, 1, 5))
# Small numbers show which epsilon it is, large ones that there is nothing else.
_SCALES = (1e-3, 1.0, 30.0)
_KEPT = 4
"""So many different inputs of each module are looked at."""


@dataclass(frozen=True)
class RmsNormLayer:
    """Computes a module by `FusedRMSNorm` where a call suits it.

    Attributes
    ----------
    epsilon
        What is added to the mean square; None for what the dtype of the data rounds by.
    more
        What is added to the weight: 0 or 1.
    gradients
        Whether its gradients were established too.
    """

    epsilon: float | None
    more: float
    gradients: bool
    operator: str = "rms_norm"

    def around(self, forward: Forward, stand_ins: StandIns) -> Forward:
        """Return a forward that computes by the kernel, and by `forward` what the kernel does not suit."""
        kernel, note = bridge.fused_rms_norm(), stand_ins.note_for(self.operator)
        refusal, compute = self.refusal, self.compute

        def fused_forward(module: Any, *args: Any, **kwargs: Any) -> Any:
            reason = refusal(module, args, kwargs)
            if reason:
                note(reason)
                return forward(module, *args, **kwargs)
            (data,) = (*args, *kwargs.values())
            return compute(kernel, data, module.weight)

        return fused_forward

    def compute(self, kernel: Any, data: torch.Tensor, weight: torch.Tensor) -> Any:
        """Return the normalised data."""
        epsilon = torch.finfo(data.dtype).eps if self.epsilon is None else self.epsilon
        return kernel.apply(data, 1.0 + weight if self.more else weight, epsilon)

    def refusal(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """Return why the kernel does not suit a call; empty if it does."""
        given, weight = (*args, *kwargs.values()), module.weight
        if len(given) != 1 or not isinstance(given[0], torch.Tensor):
            return "it is called with more than one tensor"
        data = given[0]
        if data.device.type != "hpu" or weight.device.type != "hpu":
            return "the data are not on hpu"
        if data.dtype not in DTYPES or weight.dtype != data.dtype:
            return f"it is for data and weight of one dtype, float32 or bfloat16, not {data.dtype} and {weight.dtype}"
        if data.shape[-1:] != weight.shape or data.numel() == 0:
            return "the data are empty, or of another size than the weight"
        return general_refusal((data, weight), self.gradients)


def _find(model: nn.Module, run: Run | None) -> list[StandInPlace]:
    """Return the modules with one weight vector, those of them with a layer that are this normalisation."""
    modules = {path: module for path, module in model.named_modules() if _is_candidate(module)}
    inputs = _inputs_of(modules, run) if run is not None else {}
    known: dict[Any, RmsNormLayer | None] = {}
    places = [
        _place(path, module, inputs.get(path), known, called=run is not None)
        for path, module in modules.items()
    ]
    return [place for place in places if place is not None]


def _is_candidate(module: nn.Module) -> bool:
    parameters = dict(module.named_parameters())
    return (
        list(parameters) == ["weight"]
        and parameters["weight"].dim() == 1
        and next(module.children(), None) is None
        and next(module.buffers(), None) is None
        and not isinstance(module, nn.Embedding)
    )


def _weight(module: nn.Module) -> torch.Tensor:
    return module.get_parameter("weight")


def _inputs_of(modules: dict[str, nn.Module], run: Run) -> dict[str, list[Any]]:
    """Return what each module is given while the model runs: a few tensors, or None for a call of another kind."""
    inputs: dict[str, list[Any]] = {path: [] for path in modules}

    def watch(path: str, module: nn.Module) -> Handle:
        def note(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            given = (*args, *kwargs.values())
            single = len(given) == 1 and isinstance(given[0], torch.Tensor)
            if len(inputs[path]) < _KEPT:
                inputs[path].append(given[0].detach() if single else None)

        return Handle(module.register_forward_pre_hook(note, with_kwargs=True).remove)

    with together([watch(path, module) for path, module in modules.items()]):
        run()
    return inputs


def _place(
    path: str,
    module: nn.Module,
    inputs: list[Any] | None,
    known: dict[Any, RmsNormLayer | None],
    *,
    called: bool,
) -> StandInPlace | None:
    """Return a place; None where it was established that the module is something else."""
    kind = class_before(module).__name__
    if is_replaced(module):
        return StandInPlace(path, kind, reason=REPLACED)
    if not called or not inputs:
        return StandInPlace(path, kind, reason=NOT_REACHED if called else NOT_CALLED)
    if any(data is None for data in inputs):
        return StandInPlace(path, kind, reason="it is called with more than one tensor")
    # Modules of one class with the same numbers compute alike, each with its own weight.
    key = class_before(module), _numbers(module), _weight(module).shape
    if key not in known:
        known[key] = _recognise(module)
    layer = known[key]
    if layer is None:
        return None
    own = [data for data in inputs if not layer.refusal(module, (data,), {})]
    if not own:
        return StandInPlace(path, kind, reason=f"not established: {layer.refusal(module, (inputs[0],), {})}")
    plain = _plain_copy(module)
    if not all(_agrees(plain, layer, data) for data in own):
        return StandInPlace(
            path, kind, reason="not established: on the model's own inputs the kernel differs"
        )
    return StandInPlace(path, kind, layer)


def _recognise(module: nn.Module) -> RmsNormLayer | None:
    """Return the layer that gives what the module gives, with random weights on random data; None if none does."""
    plain = _with_random_weight(module)
    for epsilon in _numbers(module):
        for more in (0.0, 1.0):
            layer = RmsNormLayer(epsilon, more, gradients=False)
            if all(_agrees(plain, layer, data) for data in _random_data(plain)):
                gradients = all(_gradients_agree(plain, layer, x) for x in _random_data(plain, torch.float32))
                return replace(layer, gradients=gradients)
    return None


def _numbers(module: nn.Module) -> tuple[float | None, ...]:
    """Return what could be its epsilon: the small numbers that it holds, and what PyTorch takes for none."""
    held: list[float | None] = [x for x in vars(module).values() if isinstance(x, float) and 0 <= x < 0.1]
    if None in vars(module).values():
        held += [torch.finfo(torch.float32).eps, None]
    return tuple(dict.fromkeys(held))


def _plain_copy(module: nn.Module, weight: torch.Tensor | None = None) -> nn.Module:
    """Return a second module of the class without layers, without hooks, that shares the weight or has this one."""
    plain = copy.copy(module)
    hooks = {
        name: type(held)()
        for name, held in vars(plain).items()
        if "_hooks" in name and isinstance(held, dict)
    }
    vars(plain).update(hooks)
    if weight is not None:
        vars(plain)["_parameters"] = {"weight": nn.Parameter(weight)}
    return plain


def _with_random_weight(module: nn.Module) -> nn.Module:
    weight = torch.randn(_weight(module).shape, generator=torch.Generator().manual_seed(1))
    return _plain_copy(module, weight.to("hpu"))


def _random_data(module: nn.Module, *dtypes: torch.dtype) -> Iterator[torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    for dtype in dtypes or DTYPES:
        for shape, scale in zip(_SHAPES, _SCALES, strict=True):
            data = torch.randn((*shape, *_weight(module).shape), generator=generator) * scale
            yield data.to("hpu", dtype)


@torch.no_grad()
def _agrees(module: nn.Module, layer: RmsNormLayer, data: torch.Tensor) -> bool:
    """Whether module and kernel both give the exact result within rounding."""
    weight = _weight(module)
    if weight.dtype != data.dtype:
        weight = weight.to(data.dtype)
        module = _plain_copy(module, weight)
    exact = _exact(data, weight, layer)
    try:
        found = module(data)
    except Exception:  # it takes something else, and is something else
        return False
    if not isinstance(found, torch.Tensor) or found.dtype != data.dtype or not is_within(found, exact):
        return False
    return is_within(layer.compute(bridge.fused_rms_norm(), data, weight), exact)


def _exact(data: torch.Tensor, weight: torch.Tensor, layer: RmsNormLayer) -> torch.Tensor:
    epsilon = torch.finfo(data.dtype).eps if layer.epsilon is None else layer.epsilon
    wide, scale = data.cpu().double(), weight.detach().cpu().double() + layer.more
    return wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + epsilon) * scale


def _gradients_agree(module: nn.Module, layer: RmsNormLayer, data: torch.Tensor) -> bool:
    kernel = bridge.fused_rms_norm()
    inputs = (data.detach().requires_grad_(), _weight(module))
    return gradients_agree(partial(layer.compute, kernel), lambda x, _: module(x), inputs)


RMS_NORM = KernelOperator(
    name="rms_norm",
    label="FusedRMSNorm",
    meaning="Root mean square normalisation in one kernel",
    shows_in_a_run=False,
    kernel=lambda: bridge.fused_rms_norm(),
    find=_find,
)
