"""Tensors and what PyTorch keeps beside them: each storage is written once, and its tensors share it again.

A tensor of another device travels through the host, with its whole storage. A tensor that was computed travels as its
value: the graph that it came of stays behind, and that is told.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from gaudi_lab.handover.objects.blocks import DevicePlace
from gaudi_lab.handover.objects.refusals import CannotTravel

_HOST = "cpu"
_STOCK_WAYS = (torch.Tensor.__reduce_ex__, nn.Parameter.__reduce_ex__)


def reducer_for(kind: type) -> Callable[[Any, Any], Any] | None:
    """Return how an object of `kind` is reduced, if PyTorch's own way would lose something."""
    for known, reduce in _KINDS.items():
        if issubclass(kind, known):
            return reduce
    return None


def _reduce_tensor(tensor: torch.Tensor, carrier: Any) -> Any:
    if not tensor.is_leaf:
        carrier.changes(tensor, "has no autograd graph any more")
    if any(name is not None for name in getattr(tensor, "names", ())):
        raise CannotTravel("has named dimensions, which PyTorch cannot pickle")
    form = _form(tensor)
    if form is None:
        return _reduce_as_pytorch_does(tensor, carrier)
    if tensor.device.type == _HOST:
        storage = tensor.untyped_storage()
        if storage.is_shared():
            carrier.changes(tensor, "does not share its memory with other processes any more")
        piece = carrier.memory(storage.data_ptr(), storage.nbytes(), storage)
    else:
        piece = carrier.device_memory(tensor.untyped_storage())
    layout = (tensor.dtype, tuple(tensor.shape), tensor.stride(), tensor.storage_offset())
    flags = (tensor.requires_grad and tensor.is_leaf, tensor.is_conj(), tensor.is_neg())
    arguments = (piece, DevicePlace(str(tensor.device)), *layout, form, *flags)
    return make_tensor, arguments, _state(tensor, carrier), None, None, set_tensor


def _form(tensor: torch.Tensor) -> type | str | None:
    """Return the class to make, "tensor" or "parameter" of whichever class the device has, or None.

    None is for what has no plain memory, or says itself how it is pickled.
    """
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_nested or tensor.is_meta:
        return None
    kind = type(tensor)
    if kind is _plain_kind(tensor.device):
        return "parameter" if isinstance(tensor, nn.Parameter) else "tensor"
    if kind is nn.Parameter:
        return "parameter"
    if tensor.device.type != _HOST or kind.__reduce_ex__ not in _STOCK_WAYS:
        return None
    if kind.__torch_dispatch__ is not torch.Tensor.__torch_dispatch__:
        return None
    return kind


@functools.cache
def _plain_kind(device: torch.device) -> type:
    return torch.Tensor if device.type == _HOST else type(torch.empty(0, device=device))


@functools.cache
def _keys_of_every_tensor(device: torch.device) -> frozenset[str]:
    """Return the attributes that belong to the device and not to the program."""
    plain = {} if device.type == _HOST else vars(torch.empty(0, device=device))
    return frozenset({*plain, "_is_param"})


def _state(tensor: torch.Tensor, carrier: Any) -> tuple[Any, ...] | None:
    """Return the gradient, the hooks and the attributes of a tensor; None if it has none."""
    grad = tensor.grad if tensor.is_leaf else None
    hooks = tensor._backward_hooks if tensor.is_leaf else None
    if getattr(tensor, "_post_accumulate_grad_hooks", None):
        carrier.changes(tensor, "has no hooks after accumulation any more")
    own = _keys_of_every_tensor(tensor.device)
    attributes = {name: value for name, value in vars(tensor).items() if name not in own}
    return (grad, hooks, attributes) if grad is not None or hooks or attributes else None


def make_tensor(
    piece: Any,
    place: DevicePlace,
    dtype: torch.dtype,
    shape: tuple[int, ...],
    stride: tuple[int, ...],
    offset: int,
    form: type | str,
    requires_grad: bool,
    conjugated: bool,
    negated: bool,
) -> torch.Tensor:
    """Return a tensor over a piece of memory."""
    if place.device == _HOST or place.on_host:
        data = torch.empty(0, dtype=dtype).set_(piece.storage(), offset, shape, stride)
    else:
        data = piece.on_device(place.device, dtype, shape, stride, offset)
    if conjugated or negated:
        data = data.view(shape)  # the bits are its own, and not those of every tensor over this memory
    if conjugated:
        torch._C._set_conj(data, True)
    if negated:
        torch._C._set_neg(data, True)
    if form == "parameter":
        return nn.Parameter(data, requires_grad)
    if isinstance(form, type):
        return torch.Tensor._make_subclass(form, data, requires_grad)
    return data.requires_grad_(requires_grad) if requires_grad else data


def set_tensor(tensor: torch.Tensor, state: tuple[Any, ...]) -> None:
    """Give a tensor its gradient, its hooks and its attributes."""
    tensor.grad, hooks, attributes = state
    if hooks:
        tensor._backward_hooks = hooks
    vars(tensor).update(attributes)


def _reduce_as_pytorch_does(tensor: torch.Tensor, carrier: Any) -> Any:
    if not tensor.is_leaf:
        tensor = tensor.detach()
    make, arguments, *more = carrier.stock_reduce(tensor)
    grad = tensor.grad
    if grad is None:
        return make, arguments, *more
    return make, arguments, (more[0] if more else None, grad), None, None, set_grad


def set_grad(tensor: torch.Tensor, state: tuple[Any, torch.Tensor]) -> None:
    """Give a tensor of a special kind its attributes and its gradient."""
    own, tensor.grad = state
    if own is not None:
        tensor.__setstate__(own) if hasattr(tensor, "__setstate__") else vars(tensor).update(own)


def _reduce_storage(storage: torch.UntypedStorage, carrier: Any) -> Any:
    if storage.device.type == "meta":
        return make_meta_storage, (storage.nbytes(),)
    if storage.device.type == _HOST:
        piece = carrier.memory(storage.data_ptr(), storage.nbytes(), storage)
    else:
        piece = carrier.device_memory(storage)
    return make_storage, (piece, DevicePlace(str(storage.device)))


def make_storage(piece: Any, place: DevicePlace) -> torch.UntypedStorage:
    """Return a storage over a piece of memory."""
    if place.device == _HOST or place.on_host:
        found: torch.UntypedStorage = piece.storage()
        return found
    flat = piece.on_device(place.device, torch.uint8, (piece.size,), (1,), 0)
    return flat.untyped_storage()


def make_meta_storage(size: int) -> torch.UntypedStorage:
    """Return a storage that has a size only."""
    return torch.UntypedStorage(size, device="meta")


def _reduce_typed_storage(storage: Any, carrier: Any) -> Any:
    return make_typed_storage, (storage._untyped_storage, storage.dtype)


def make_typed_storage(storage: torch.UntypedStorage, dtype: torch.dtype) -> Any:
    """Return a storage of elements, which quantised tensors are rebuilt over."""
    return torch.storage.TypedStorage(wrap_storage=storage, dtype=dtype, _internal=True)


def _reduce_generator(generator: torch.Generator, carrier: Any) -> Any:
    known = carrier.landmarks.key_of(generator)
    assert known is None  # a generator of PyTorch itself is asked for before this
    return make_generator, (DevicePlace(str(generator.device)), generator.get_state())


class GeneratorOnHost:
    """The state of another device's generator, where that device is not touched."""

    def __init__(self, device: str, state: torch.Tensor) -> None:
        self.device = device
        self.state = state


def make_generator(place: DevicePlace, state: torch.Tensor) -> Any:
    """Return a random generator in the state of another."""
    if place.on_host:
        return GeneratorOnHost(place.device, state)
    generator = torch.Generator(place.device)
    generator.set_state(state)
    return generator


def _reduce_generator_on_host(generator: GeneratorOnHost, carrier: Any) -> Any:
    return make_generator, (DevicePlace(generator.device), generator.state)


def _reduce_optimizer(optimizer: torch.optim.Optimizer, carrier: Any) -> Any:
    """Reduce an optimizer with its hooks, and the step that a scheduler has wrapped; PyTorch's own way drops both."""
    if type(optimizer).__getstate__ is not torch.optim.Optimizer.__getstate__:
        return carrier.stock_reduce(optimizer)
    return make_optimizer, (type(optimizer),), vars(optimizer)


def make_optimizer(kind: type[torch.optim.Optimizer]) -> torch.optim.Optimizer:
    """Return an empty optimizer whose class has its `step` wrapped already, as after the first one was made.

    What refers to that `step`, such as a scheduler, must not find the bare one.
    """
    optimizer = kind.__new__(kind)
    optimizer._patch_step_function()
    return optimizer


def _reduce_operator(operator: Any, carrier: Any) -> Any:
    return find_operator, (str(operator),)


def find_operator(name: str) -> Any:
    """Return an operator of `torch.ops` by its dotted name."""
    return functools.reduce(getattr, name.split("."), torch.ops)


_KINDS: dict[type, Callable[[Any, Any], Any]] = {
    torch.Tensor: _reduce_tensor,
    torch.UntypedStorage: _reduce_storage,
    torch.storage.TypedStorage: _reduce_typed_storage,
    torch.Generator: _reduce_generator,
    torch.optim.Optimizer: _reduce_optimizer,
    torch._ops.OpOverload: _reduce_operator,
    torch._ops.OpOverloadPacket: _reduce_operator,
    GeneratorOnHost: _reduce_generator_on_host,
}
