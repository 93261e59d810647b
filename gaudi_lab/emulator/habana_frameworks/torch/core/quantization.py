"""Preparing a model for inference.

A model's normalisations are folded into its convolutions, as on hardware. There its weights are then marked as
constants of the graphs, in lazy mode; here a graph reads weights in place, so the mark is kept and nothing follows.
Source: the bridge's file of this name, 1.19 and between 1.21 and 1.22.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from typing import Any

import torch

from gaudi_lab.emulator.process.older_signatures import narrow_signature
from gaudi_lab.emulator.process.release import release

from ..hpu import switches
from ..internal import fuse_conv_bn
from ..utils.internal import is_lazy
from . import weight_sharing

_marked: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()
_count = 0

_SHARING = (
    "\033[31mWARNING: The experimental weight sharing feature is enabled and may cause larger device memory "
    "consumption in quantized models. Please disable it by setting PT_HPU_WEIGHT_SHARING=0\033[0m\n"
)


def hpu_inference_set_env(model: torch.nn.Module | None = None) -> torch.nn.Module | None:
    """Prepare the process for inference; call it before `model` goes to the device.

    Returns
    -------
    torch.nn.Module or None
        `model` with normalisations folded into convolutions: a copy, or the model itself where nothing can be folded.
        None without a model.
    """
    switches.enable_inference_mode()
    switches.enable_matmul3d_2d_reshape()
    if is_lazy() and weight_sharing.asked_for():
        sys.stdout.write(_SHARING)
    return None if model is None else fuse_conv_bn.fuse(model)


def hpu_inference_initialize(
    model: torch.nn.Module | None = None,
    mark_only_scales_as_const: bool = False,
    mark_scales: bool = True,
    mark_non_scales: bool = True,
    optimizer: Any = None,
    args: Any = None,
) -> None:
    """Mark the weights of `model` as constants; call it when the model is on the device.

    Parameters
    ----------
    mark_only_scales_as_const
        Mark those only that have ``scale`` in their name.
    mark_scales, mark_non_scales
        Which of the two kinds to mark, since 1.21.
    optimizer, args
        Not used, in the bridge neither.
    """
    switches.enable_inference_mode()
    switches.enable_matmul3d_2d_reshape()
    scales = mark_scales or mark_only_scales_as_const
    others = mark_non_scales and not mark_only_scales_as_const
    if model is None:
        return
    if is_lazy():
        for name, tensor in model.state_dict().items():
            if scales if "scale" in name else others:
                _mark(tensor)
    else:
        switches.set_mark_scale_const(scales)
        switches.set_mark_non_scale_const(others)


def hpu_inference_reset_env() -> None:
    """End what `hpu_inference_set_env` began."""
    switches.disable_inference_mode()
    switches.disable_matmul3d_2d_reshape()


def _mark(tensor: torch.Tensor) -> None:
    global _count
    storage = tensor.untyped_storage()
    if storage not in _marked:
        _marked.add(storage)
        _count += 1


def _mark_params_as_const(
    model: torch.nn.Module | None = None, only_scales: bool = False, console_prints: bool = False
) -> None:
    """Mark the weights of `model`, or those with ``scale`` in their name."""
    for name, tensor in model.state_dict().items() if model is not None else ():
        if "scale" in name or not only_scales:
            _mark(tensor)
            if console_prints:
                sys.stdout.write(f"Tensor '{name}' is_const 'True' id '{_count - 1}'\n")


def _check_params_as_const(model: torch.nn.Module | None = None, only_scales: bool = False) -> None:
    """Do nothing: what this looks at is not kept, in the bridge neither."""


def _get_marked_const_count() -> int:
    """Return how many tensors have been marked."""
    return _count


def _since_1_21(name: str, instead: Callable[..., Any]) -> Callable[..., Any]:
    """Return `instead` under its older name, which since 1.21 says what to write."""

    def older(*args: Any, **kwargs: Any) -> Any:
        if release() >= (1, 21):
            sys.stdout.write(f"[TO BE DEPRECATED] Please use {instead.__name__} instead\n")
        return instead(*args, **kwargs)

    older.__name__ = older.__qualname__ = name
    older.__doc__ = f"Do what `{instead.__name__}` does."
    older.__wrapped__ = instead  # type: ignore[attr-defined]
    return older


if release() < (1, 21):
    hpu_inference_initialize = narrow_signature(hpu_inference_initialize, ("mark_scales", "mark_non_scales"))

hpu_set_env = _since_1_21("hpu_set_env", hpu_inference_set_env)
hpu_set_inference_env = _since_1_21("hpu_set_inference_env", hpu_inference_set_env)
hpu_initialize = _since_1_21("hpu_initialize", hpu_inference_initialize)
hpu_reset_env = _since_1_21("hpu_reset_env", hpu_inference_reset_env)
hpu_teardown_inference_env = _since_1_21("hpu_teardown_inference_env", hpu_inference_reset_env)

if release() < (1, 21):  # they came with it
    del hpu_inference_set_env, hpu_inference_reset_env
