"""Stands in for the bridge's compiled module `_core_C`: step markers, the generator, marks on tensors."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch

from gaudi_lab.emulator.device.events import EventId, publish
from gaudi_lab.emulator.lazy.record import tape
from gaudi_lab.emulator.torch_patches.generator import default_generator

_marks: dict[int, Any] = {}


def _get_default_generator() -> Any:
    return default_generator


def _hb_get_default_device() -> str:
    return "hpu:0"


def _mark_step(device: str = "", sync: bool = False) -> None:
    tape.flush()
    publish(EventId.MARK_STEP)


def _iter_mark_step() -> None:
    _mark_step()


def get_new_tensor_extra_meta(tensor: torch.Tensor) -> Any:
    key = tensor.untyped_storage().data_ptr()
    if key in _marks:
        raise RuntimeError("the tensor has a mark")
    _marks[key] = SimpleNamespace(is_const_tensor=False, const_id=-1)
    return _marks[key]


def get_tensor_extra_meta(tensor: torch.Tensor) -> Any:
    return _marks[tensor.untyped_storage().data_ptr()]
