"""Switches of Intel's graph compiler that Python can turn: they are kept and can be read, and change no result here.

On hardware they choose among kernels and layouts that the emulated device has not. Where a switch has an environment
variable, that is where it begins.
"""

from __future__ import annotations

import os
import warnings

from gaudi_lab.emulator.process import flags

_on: dict[str, bool] = {}


def _is_on(name: str, variable: str | None = None) -> bool:
    if name not in _on:
        _on[name] = bool(variable and flags.get(variable))
    return _on[name]


def enable_inference_mode() -> None:
    """Say that the process computes no gradients for the device's weights."""
    _on["inference"] = True


def disable_inference_mode() -> None:
    """Say that the process trains, or may."""
    _on["inference"] = False


def is_inference_mode_enabled() -> bool:
    """Return what was said of inference last; at the start what ``PT_HPU_INFERENCE_MODE`` says."""
    return _is_on("inference", "PT_HPU_INFERENCE_MODE")


def enable_quantization() -> None:
    """Say that the model has ranges to quantise by."""
    _on["quantization"] = True


def disable_quantization() -> None:
    """Say that the model is to be computed as it is."""
    _on["quantization"] = False


def enable_matmul3d_2d_reshape() -> None:
    """Let a product of three dimensions by two be one of two by two."""
    _on["matmul"] = True


def disable_matmul3d_2d_reshape() -> None:
    """Compute a product of three dimensions by two as it is."""
    _on["matmul"] = False


def is_matmul3d_2d_reshape_enabled() -> bool:
    """Return what was said of such products last; at the start what ``PT_HPU_MATMUL3D_2D_RESHAPE`` says."""
    return _is_on("matmul", "PT_HPU_MATMUL3D_2D_RESHAPE")


def enable_optim_output_sif() -> None:
    """Let shapes that depend on data be inferred in one go."""
    _on["sif"] = True


def disable_optim_output_sif() -> None:
    """Infer shapes that depend on data step by step."""
    _on["sif"] = False


def set_mark_scale_const(mark: bool) -> None:
    """Say whether `torch.compile` takes scales as constants."""
    _on["scales"] = bool(mark)


def set_mark_non_scale_const(mark: bool) -> None:
    """Say whether `torch.compile` takes weights that are no scales as constants."""
    _on["others"] = bool(mark)


def enable_dynamic_shape() -> None:
    """Let graphs serve a range of shapes. The emulated device compiles one for each shape all the same."""
    flags.put("PT_HPU_ENABLE_REFINE_DYNAMIC_SHAPES", True)


def disable_dynamic_shape() -> None:
    """Compile a graph for each shape."""
    flags.put("PT_HPU_ENABLE_REFINE_DYNAMIC_SHAPES", False)


def get_dynamic_shape_status() -> bool:
    """Return whether graphs may serve a range of shapes."""
    return bool(flags.get("PT_HPU_ENABLE_REFINE_DYNAMIC_SHAPES"))


def enable_const_section_serialization(
    path: str, clear_path: bool = False, use_compression: bool = False
) -> None:
    """Let weights that were marked as constant be kept on disk. The emulated device keeps none apart."""


def disable_const_section_serialization() -> None:
    """Keep no weights on disk."""


def setDeterministic(val: bool) -> None:
    """Ask for kernels that repeat bit for bit. Those of the host do, on as many threads."""
    _warn_of("set", "torch.use_deterministic_algorithms")
    _on["deterministic"] = bool(val)


def getDeterministic() -> bool:
    """Return what `setDeterministic` was given last; False at the start."""
    _warn_of("get", "torch.are_deterministic_algorithms_enabled")
    return _is_on("deterministic")


def _warn_of(action: str, instead: str) -> None:
    warnings.warn(
        f"torch.hpu.{action}Deterministic is deprecated and will be removed in next release. Please use {instead} "
        "instead.",
        stacklevel=3,
    )


def set_sync_debug_mode(debug_mode: bool | int) -> None:
    """Say in ``PT_ENABLE_HABANA_STREAMASYNC`` whether streams may run apart. Those of the emulated device never do."""
    os.environ["PT_ENABLE_HABANA_STREAMASYNC"] = str(debug_mode)


def get_sync_debug_mode() -> int:
    """Return what ``PT_ENABLE_HABANA_STREAMASYNC`` says.

    Raises
    ------
    KeyError
        Nobody has set it, as on hardware.
    ValueError
        It is no number: `set_sync_debug_mode(True)` makes it one that cannot be read back, there too.
    """
    return int(os.environ["PT_ENABLE_HABANA_STREAMASYNC"])


__all__ = [
    "disable_const_section_serialization",
    "disable_dynamic_shape",
    "disable_inference_mode",
    "disable_matmul3d_2d_reshape",
    "disable_optim_output_sif",
    "disable_quantization",
    "enable_const_section_serialization",
    "enable_dynamic_shape",
    "enable_inference_mode",
    "enable_matmul3d_2d_reshape",
    "enable_optim_output_sif",
    "enable_quantization",
    "getDeterministic",
    "get_dynamic_shape_status",
    "get_sync_debug_mode",
    "is_inference_mode_enabled",
    "is_matmul3d_2d_reshape_enabled",
    "setDeterministic",
    "set_mark_non_scale_const",
    "set_mark_scale_const",
    "set_sync_debug_mode",
]
