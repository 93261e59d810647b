"""Storages of the device: what `torch.save`, `torch.load`, pickle and safetensors see of an `hpu` tensor.

A storage of the emulated device is host memory that says it is on `hpu`. Tensors that share it keep sharing it
through a file, so tied weights stay tied.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch

from gaudi_lab.emulator.device.acquire import check_index, module_of_process
from gaudi_lab.emulator.device.tensor import HpuTensor, adopt, users_own, wrap
from gaudi_lab.emulator.lazy.record import tape

# Asked before PyTorch's own package for "hpu", which would allocate memory that the Python backend cannot.
_PRIORITY = 9


class HpuStorage(torch.UntypedStorage):
    """Device memory, in bytes. It is the host storage behind the tensors that share it, under another class."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """The device, `hpu:0`."""
        return torch.device("hpu", 0)

    @property
    def is_hpu(self) -> bool:
        """True."""
        return True

    def cpu(self) -> torch.UntypedStorage:
        """Return a copy in host memory."""
        return torch.UntypedStorage(self.nbytes()).copy_(self, False)

    def to(self, *, device: Any, non_blocking: bool = False) -> torch.UntypedStorage:  # noqa: ARG002
        """Return the storage on `device`: itself if it is there already."""
        target = check_index(torch.device(device))
        return self if target.type == "hpu" else self.cpu().to(device=target)

    def clone(self) -> HpuStorage:
        """Return a copy on the device."""
        return on_device(self.cpu())

    def __deepcopy__(self, memo: dict[int, Any]) -> HpuStorage:
        known = memo.get(id(self))
        if known is None:
            known = memo[id(self)] = self.clone()
        return known


# `torch.save` writes the class of a storage by its name in `torch`, and there a storage of any device has this one.
HpuStorage.__name__ = "UntypedStorage"


def on_device(storage: torch.UntypedStorage) -> HpuStorage:
    """Return `storage`, which is host memory, as memory of the device. Nothing is copied."""
    storage.__class__ = HpuStorage
    return storage  # type: ignore[return-value]


def storage_of(tensor: HpuTensor) -> HpuStorage:
    """Return the memory behind `tensor`, with everything recorded so far done."""
    return on_device(tape.settle(tensor)._cell.read().untyped_storage())


def reduce(tensor: HpuTensor) -> tuple[Any, ...]:
    """Return how to rebuild `tensor`, as PyTorch reduces its own tensors: over a storage that may be shared."""
    host = tensor._cell.read()
    storage = torch.storage.TypedStorage(wrap_storage=storage_of(tensor), dtype=tensor.dtype, _internal=True)
    hooks: OrderedDict[Any, Any] = OrderedDict()
    layout = (storage, host.storage_offset(), tuple(host.size()), host.stride())
    if isinstance(tensor, torch.nn.Parameter):
        data = torch._utils._rebuild_tensor_v2, (*layout, False, hooks)
        parts = _Reduced(data), tensor.requires_grad, hooks
        own = users_own(vars(tensor))
        if own:
            return torch._utils._rebuild_parameter_with_state, (*parts, own)
        return torch._utils._rebuild_parameter, parts
    return torch._utils._rebuild_tensor_v2, (*layout, tensor.requires_grad, hooks)


class _Reduced:
    """A value that pickles as what it was reduced to: the data of a parameter has no Python object of its own."""

    def __init__(self, reduced: tuple[Any, ...]) -> None:
        self._reduced = reduced

    def __reduce__(self) -> Any:
        return self._reduced


def set_storage(func: Any, args: Any, kwargs: dict[str, Any]) -> HpuTensor:
    """Let a tensor lie over a storage, at an offset and in sizes and strides where they are given (elements)."""
    tensor, storage, *layout = tape.settle(args)
    host = torch.empty(0, dtype=tensor.dtype)
    func(host, storage, *layout, **kwargs)
    return adopt(tensor, wrap(host))


def _tag(storage: Any) -> str | None:
    return "hpu" if isinstance(storage, HpuStorage) else None


def _restore(storage: Any, location: str) -> Any:
    if location == "hpu" or location.startswith("hpu:"):
        index = torch.device(location).index
        # A process that a launcher gave a device loads to it by the number that the launcher says.
        if index not in (None, 0, module_of_process()):
            raise RuntimeError(
                f"Attempting to deserialize object on HPU device {index} but this process has hpu:0 only. "
                "Please use torch.load with map_location to map your storages to an existing device."
            )
        if isinstance(storage, torch.TypedStorage):
            return _typed(storage)
        return on_device(storage.clone() if isinstance(storage, HpuStorage) else storage)
    return None


_stock_new: Any = torch.UntypedStorage.__new__


def _new(kind: Any, *args: Any, device: Any = None, **kwargs: Any) -> torch.UntypedStorage:
    """Make a storage, on the device too: PyTorch has no allocator for a Python backend, and asks it all the same."""
    if device is not None and check_index(torch.device(device)).type == "hpu":
        return on_device(_stock_new(torch.UntypedStorage, *args, **kwargs))
    return _stock_new(kind, *args, **kwargs, **({} if device is None else {"device": device}))


def _moved(storage: Any, device: Any = None, non_blocking: bool = False) -> HpuStorage:
    """Return a storage on the device: itself if it is there already."""
    if device is not None:
        check_index(torch.device("hpu", device) if isinstance(device, int) else torch.device(device))
    return storage if isinstance(storage, HpuStorage) else on_device(storage.clone())


def _typed(storage: torch.TypedStorage, *args: Any, **kwargs: Any) -> torch.TypedStorage:
    return torch.TypedStorage(
        wrap_storage=_moved(storage._untyped_storage, *args, **kwargs), dtype=storage.dtype, _internal=True
    )


class _StorageClasses(set[Any]):
    """What `torch.is_storage` asks. `torch.load` goes through the same set, and has no dtype for ours: it stays out."""

    def __contains__(self, kind: object) -> bool:
        return kind is HpuStorage or super().__contains__(kind)


_METHODS: tuple[tuple[type, str, Any], ...] = (
    (torch.UntypedStorage, "__new__", _new),
    (torch.UntypedStorage, "hpu", _moved),
    (torch.TypedStorage, "hpu", _typed),
)


def register() -> None:
    """Let storages be made on the device, and teach `torch.save` and `torch.load` the location ``"hpu"``."""
    for kind, name, method in _METHODS:
        setattr(kind, name, method)
    torch._storage_classes = _StorageClasses(torch._storage_classes)
    torch.serialization.register_package(_PRIORITY, _tag, _restore)


__all__ = ["HpuStorage", "on_device", "reduce", "register", "set_storage", "storage_of"]
