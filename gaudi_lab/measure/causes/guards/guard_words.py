"""From the text of a guard that failed to what people call the difference."""

from __future__ import annotations

import re
from typing import Any

import torch

from gaudi_lab.measure.causes import signature
from gaudi_lab.measure.causes.cause import Difference
from gaudi_lab.measure.causes.signature import TensorFacts

FROM_THE_BREAK = "the value from the graph break"
"""What the value is called with which traced code goes on behind a break."""


def name_of(source: str) -> str:
    """Return what people call what a guard is about: ``L['self']._modules['lin'].gain`` is lin.gain."""
    text = source
    if text.startswith("G["):
        text = "global " + re.sub(r"^G\['(?:__import_)?([^']+)'\]", r"\1", text).replace("_dot_", ".")
    text = re.sub(r"^L\['args'\]\[(\d+)\]", r"argument \1", text)
    text = re.sub(r"^L\['kwargs'\]\['(\w+)'\]", r"\1", text)
    text = re.sub(r"^L\['(?:self|module)'\]\.?", "", text)
    text = re.sub(r"^L\['___stack\d+'\]", FROM_THE_BREAK, text)
    text = re.sub(r"^L\['(\w+)'\]", r"\1", text)
    text = re.sub(r"\.?(?:_modules|_parameters|_buffers|__dict__)\['([^']+)'\]", r".\1", text)
    return text.strip(".") or "the module"


def kind_of(source: str) -> str:
    """Return which kind of difference it is if the value behind a guard has changed: of a global, or an attribute."""
    return "global" if source.startswith("G[") else "attribute"


def describe(value: Any) -> str:
    """Return a value for people: of anything that is not plain, its class."""
    if isinstance(value, torch.Tensor):
        return f"a tensor {signature.text_of_size(value.shape)}"
    return repr(value) if isinstance(value, (bool, int, float, str, type(None))) else type(value).__name__


def length(value: Any) -> str:
    """Return how long a value is; empty if it has no length."""
    try:
        return str(len(value))
    except TypeError:
        return ""


def mode(name: str) -> Difference:
    """Return what a part of the global state is called, and how it is now."""
    if name == "grad_mode":
        on = torch.is_grad_enabled()
        return Difference("gradients", "mode", _ON[not on], _ON[on])
    if (autocast := re.fullmatch(r"autocast\((\w+)\)_(enabled|dtype)", name)) is not None:
        device = autocast.group(1)
        if not torch.is_autocast_enabled(device):
            return Difference("autocast", "mode", "on", "off")
        now = signature.name_of_dtype(torch.get_autocast_dtype(device))
        return Difference("autocast", "mode", "off" if autocast.group(2) == "enabled" else "", now)
    if name == "default_dtype":
        return Difference(
            "torch's default dtype", "mode", now=signature.name_of_dtype(torch.get_default_dtype())
        )
    if name == "num_threads":
        return Difference("number of threads", "mode", now=str(torch.get_num_threads()))
    return Difference(name.replace("_", " "), "mode")


def tensors(what: str, guard: str, value: torch.Tensor) -> list[Difference]:
    """Return in what a tensor differs from the one that a guard was made for.

    Parameters
    ----------
    what
        What it is called.
    guard
        The guard's text, with the sizes and strides that it asks for.
    value
        The tensor as it is now.
    """
    size, stride = (_numbers(guard, name) for name in ("size", "stride"))
    dtype = re.search(r"\), torch\.(\w+)", guard)
    gradient = re.search(r"requires_grad=(\w+)", guard)
    now = signature.TensorFacts(
        tuple(value.shape), value.stride(), value.dtype, value.device.type, value.requires_grad
    )
    before = TensorFacts(
        _filled(size, now.size),
        _filled(stride, now.stride),
        getattr(torch, dtype.group(1)) if dtype else now.dtype,
        now.device,
        gradient.group(1) == "True" if gradient else now.requires_grad,
    )
    found = signature.differ(what, before, now)
    if not found and "DispatchKeySet" in guard:
        return _inference(what, guard, value)
    return found or [Difference(what, "guard", guard)]


def _inference(what: str, guard: str, value: torch.Tensor) -> list[Difference]:
    """Return what inference mode has changed in the keys that a tensor is dispatched by."""
    keys = guard.partition("DispatchKeySet(")[2].partition(")")[0]
    # Within inference mode no tensor has the key of autograd; one that was made there has not even the other.
    was_made_there, is_made_there = "ADInplaceOrView" not in keys, value.is_inference()
    if was_made_there != is_made_there:
        words = ("made outside of inference mode", "made in inference mode")
        return [Difference(what, "mode", words[was_made_there], words[is_made_there])]
    was, now = "Autograd" not in keys, torch.is_inference_mode_enabled()
    if was != now:
        return [Difference("inference mode", "mode", _ON[was], _ON[now])]
    return [Difference(what, "guard", guard)]


def _numbers(guard: str, name: str) -> list[int | None] | None:
    found = re.search(rf"\b{name}=\[([^\]]*)\]", guard)
    if found is None:
        return None
    parts = [x.strip() for x in found.group(1).split(",") if x.strip()]
    return [int(x) if x.isdigit() else None for x in parts]


def _filled(known: list[int | None] | None, now: tuple[int, ...]) -> tuple[int, ...]:
    """Return sizes that a guard names; where it leaves one open it is as it is now."""
    if known is None:
        return now
    if len(known) != len(now):
        return tuple([-1 if x is None else x for x in known])
    return tuple([y if x is None else x for x, y in zip(known, now, strict=True)])


_ON = ("off", "on")
