"""Batch normalisation folded into the convolution before it, which inference on the device begins with."""

from __future__ import annotations

import copy
import sys
from typing import Any

import torch
from torch import fx, nn
from torch.nn.utils import fusion


def fuse_conv_bn_weights(
    conv_w: torch.Tensor,
    conv_b: torch.Tensor | None,
    bn_rm: torch.Tensor,
    bn_rv: torch.Tensor,
    bn_eps: float,
    bn_w: torch.Tensor | None,
    bn_b: torch.Tensor | None,
) -> tuple[nn.Parameter, nn.Parameter]:
    """Return weight and bias of a convolution that does what the convolution and the normalisation did."""
    return fusion.fuse_conv_bn_weights(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)


def fuse_conv_bn_eval(conv: nn.Conv2d, bn: nn.BatchNorm2d) -> nn.Conv2d:
    """Return a convolution that computes ``bn(conv(x))`` as it is in inference."""
    fused = copy.deepcopy(conv)
    assert bn.running_mean is not None
    assert bn.running_var is not None
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return fused


def fuse(model: nn.Module) -> nn.Module:
    """Return a copy of `model` in which every `BatchNorm2d` right behind a `Conv2d` is part of it.

    A model that trains, that is not on the CPU or that `torch.fx` cannot trace comes back as it is, with a line on
    the standard output that says so, as on hardware.
    """
    if model.training:
        return _left(model, "Fusion is only applicable for eval mode")
    if not all(parameter.is_cpu for parameter in model.parameters()):
        return _left(model, "This fusion pass is to be run for model on CPU, Skipping!")
    model = copy.deepcopy(model)
    try:
        traced = fx.symbolic_trace(model)
    except Exception:
        return _left(model, "Can not apply conv+bn fusion on a  non-fx traceable module, Skipping!")
    modules: dict[str, nn.Module] = dict(traced.named_modules())
    for node in list(traced.graph.nodes):
        before = node.args[0] if node.args else None
        if _is_call(node, nn.BatchNorm2d, modules) and _is_call(before, nn.Conv2d, modules):
            assert isinstance(before, fx.Node)
            if len(before.users) > 1:  # the convolution's own result is used too
                continue
            fused: Any = fuse_conv_bn_eval(modules[str(before.target)], modules[str(node.target)])  # type: ignore[arg-type]
            owner, _, name = str(before.target).rpartition(".")
            setattr(modules[owner], name, fused)
            modules[str(before.target)] = fused
            node.replace_all_uses_with(before)
            traced.graph.erase_node(node)
    traced.graph.lint()
    traced.recompile()
    return traced


def _is_call(node: Any, kind: type[nn.Module], modules: dict[str, nn.Module]) -> bool:
    return isinstance(node, fx.Node) and node.op == "call_module" and type(modules[str(node.target)]) is kind


def _left(model: nn.Module, why: str) -> nn.Module:
    sys.stdout.write(why + "\n")
    return model
