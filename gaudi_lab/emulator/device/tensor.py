"""The `hpu` tensor: a tensor subclass that carries shape and autograd, over a cell that carries the value."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from gaudi_lab.emulator.device.cell import Cell

# By its own name: before the device is set up, "hpu" still means another device type to PyTorch.
DEVICE = torch.device("privateuseone", 0)
CPU = torch.device("cpu")

_Kind = TypeVar("_Kind", bound="HpuTensor")
Dispatch = Callable[[Any, Any, Any, Any], Any]
"""What takes an operator, the classes of its operands, its arguments, and the named ones or None."""

make_wrapper = torch.Tensor._make_wrapper_subclass
_STRIDED = torch.strided


def _not_set_up(*_: Any) -> Any:
    raise RuntimeError("the emulated device is not set up. Run: import habana_frameworks.torch")


_dispatch: Dispatch = _not_set_up
_reduce: Callable[[HpuTensor], Any] = _not_set_up
_storage_of: Callable[[HpuTensor], torch.UntypedStorage] = _not_set_up


def wire(
    dispatch: Dispatch,
    reduce: Callable[[HpuTensor], Any],
    storage_of: Callable[[HpuTensor], torch.UntypedStorage],
) -> None:
    """Say who runs the operators, who pickles a tensor, and who shows its storage.

    They build tensors, so they stand above this module, and are made known to it when the device is set up.
    """
    global _dispatch, _reduce, _storage_of
    _dispatch, _reduce, _storage_of = dispatch, reduce, storage_of
    HpuTensor.__torch_dispatch__ = staticmethod(dispatch)  # itself: one Python frame less for every operator


def dispatch(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run or record one operator, for modules that stand below the dispatcher."""
    return _dispatch(func, (), args, kwargs)


class _Described(threading.local):
    """True in `now` while PyTorch takes down what a tensor is, to make a fake one of it.

    Not every caller of that has a fake mode on: `torch.export` has none when it asks for the weights.
    """

    now = False


described = _Described()


class HpuTensor(torch.Tensor):
    """A tensor on the emulated device.

    Shape, strides, dtype and autograd live in the wrapper, as for any tensor; every operator on it arrives
    in `__torch_dispatch__`, below autograd.
    """

    _cell: Cell

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    def __new__(cls, data: torch.Tensor, requires_grad: bool = True, **own: Any) -> Any:
        """Return a parameter, as `torch.nn.Parameter` does, on the device of `data`.

        Programs rebuild a parameter with `type(parameter)(data, requires_grad=...)`, and the type of a parameter
        on this device is this class. Some add `**vars(parameter)`, which have two names more here than elsewhere.
        """
        return torch.nn.Parameter(data, requires_grad, **users_own(own))

    @classmethod
    def over(cls: type[_Kind], cell: Cell, size: Any, stride: Any, offset: Any, dtype: torch.dtype) -> _Kind:
        """Return a tensor over `cell`; sizes, strides and offset are in elements."""
        tensor: _Kind = make_wrapper(
            cls, size, strides=stride, storage_offset=offset, dtype=dtype, device=DEVICE
        )
        tensor._cell = cell
        return tensor

    __torch_dispatch__ = staticmethod(_not_set_up)  # type: ignore[assignment]

    @property
    def data(self) -> torch.Tensor:
        """The tensor without its history. Setting it gives this tensor the shape and the memory of another."""
        return torch.Tensor.data.__get__(self)  # type: ignore[attr-defined]

    @data.setter
    def data(self, other: torch.Tensor) -> None:
        torch.Tensor.data.__set__(self, other)  # type: ignore[attr-defined]
        if isinstance(other, HpuTensor):
            self._cell = other._cell  # PyTorch moves the shape; the memory hangs on the Python object

    # What torch.compile needs: the host tensor is the one inner tensor.
    @property
    def _host(self) -> torch.Tensor:
        return self._cell.read()

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        """Name the inner tensors (torch's wrapper subclass protocol)."""
        return ["_host"], None

    @staticmethod
    def __tensor_unflatten__(inner: dict[str, torch.Tensor], meta: Any, size: Any, stride: Any) -> HpuTensor:
        """Rebuild from the inner tensors (torch's wrapper subclass protocol)."""
        return wrap(inner["_host"])

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        """Print as PyTorch prints a tensor on a device; this reads the value, and so runs what is recorded."""
        from torch._guards import detect_fake_mode
        from torch._tensor_str import _str_intern, _tensor_str

        if detect_fake_mode(self._cell.host) is not None:
            # A compiler is tracing, and an error message of its own shows its arguments: there is no value.
            return f"tensor(..., device='{self.device}', size={tuple(self.shape)}, dtype={self.dtype})"
        with torch.no_grad():
            host = self.detach().cpu()
            contents = tensor_contents or ("[]" if host.numel() == 0 else _tensor_str(host, len("tensor(")))
            text = _str_intern(self, tensor_contents=contents)
        text = text.replace(f"{type(self).__name__}(", "tensor(", 1)
        if isinstance(self, torch.nn.Parameter):
            return f"Parameter containing:\n{text.removeprefix('Parameter(').removesuffix(')')}"
        return text

    def __format__(self, spec: str) -> str:
        """Format the value of a 0-dim tensor as a number, as PyTorch does for its own class."""
        return format(self.detach().item(), spec) if self.dim() == 0 else object.__format__(self, spec)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """Copy value, dtype, `requires_grad`, and but for parameters gradient and attributes, as PyTorch does."""
        if id(self) in memo:
            return memo[id(self)]
        if not self.is_leaf:
            return super().__deepcopy__(memo)  # PyTorch's refusal
        with torch.no_grad():
            copied: Any = self.detach().clone()
        if isinstance(self, torch.nn.Parameter):
            copied = memo[id(self)] = torch.nn.Parameter(copied, requires_grad=self.requires_grad)
            return copied
        memo[id(self)] = copied.requires_grad_(self.requires_grad)
        vars(copied).update(copy.deepcopy(users_own(vars(self)), memo))
        if self.grad is not None:
            copied.grad = self.grad.__deepcopy__(memo)
        return copied

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle over the storage, so that tensors that share memory still share it when they are loaded."""
        return _reduce(self)

    def untyped_storage(self) -> torch.UntypedStorage:
        """Return the device memory behind the tensor; this runs what is recorded."""
        from torch._guards import detect_fake_mode

        if detect_fake_mode() is not None and self.numel() == 0:
            return torch.UntypedStorage(0, device="meta")  # a compiler resizes that of an empty tensor
        if described.now or detect_fake_mode(self._cell.host) is not None:
            # A compiler must not take wrapper and host for two views of one memory.
            return super().untyped_storage()
        return _storage_of(self)

    def _is_view(self) -> bool:
        if torch._guards.TracingContext.try_get() is not None:
            # Dynamo would rebuild the base of the wrapper beside that of the host, with sizes that no input has.
            return False
        return super()._is_view()

    def data_ptr(self) -> int:
        """Return the address of the value in host memory: distinct for distinct device memory."""
        return self._host.data_ptr()

    def tolist(self) -> Any:
        """Return the values as nested lists."""
        return self.detach().cpu().tolist()

    def numpy(self, *, force: bool = False) -> Any:
        """Return the values as an array, if `force` says to copy them to the host.

        Raises
        ------
        TypeError
            `force` is not set: an array cannot lie over device memory.
        """
        if not force:
            raise TypeError(
                "can't convert hpu:0 device type tensor to numpy. "
                "Use Tensor.cpu() to copy the tensor to host memory first."
            )
        return self.detach().cpu().numpy()

    def __dlpack__(self, *args: Any, **options: Any) -> Any:
        """Refuse: no other library knows the device, and the capsule would hold no memory.

        Raises
        ------
        BufferError
            As the protocol says where a tensor cannot be exported.
        """
        raise BufferError(
            "DLPack cannot hand over an hpu tensor: its memory is the emulated device's. Hand over tensor.cpu() instead"
        )

    __dlpack_device__ = __dlpack__

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        return self.numpy()

    def is_pinned(self, device: Any = None) -> bool:  # noqa: ARG002
        """Return False: device memory is never pinned host memory."""
        return False


def users_own(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return those attributes of a tensor that neither this class nor `torch.nn.Parameter` has put there."""
    return {name: value for name, value in attributes.items() if name not in ("_cell", "_is_param")}


def no_sparse(x: torch.Tensor) -> NotImplementedError:
    """Return the error that says that the device cannot hold `x`."""
    if x.layout == torch.jagged:
        return NotImplementedError(
            "hpu makes no torch.jagged tensor itself. Make it on the host and move it: nested.to('hpu')"
        )
    return NotImplementedError(
        f"hpu has no {x.layout} tensors, only dense ones. Keep it on the host, or call .to_dense() first."
    )


def no_nested() -> NotImplementedError:
    """Return the error that says that the device cannot hold a nested tensor of the strided layout."""
    return NotImplementedError(
        "hpu has no nested tensors. Keep it on the host, or call .to_padded_tensor(0.0) there and move the result."
    )


def wrap(host: torch.Tensor) -> HpuTensor:
    """Make the `hpu` tensor whose value is `host`; they share the memory.

    Raises
    ------
    NotImplementedError
        `host` is sparse or nested.
    """
    if host.is_nested:
        raise no_nested()
    if host.layout is not _STRIDED:
        raise no_sparse(host)
    tensor: HpuTensor = make_wrapper(
        HpuTensor,
        host.shape,
        strides=host.stride(),
        storage_offset=host.storage_offset(),
        dtype=host.dtype,
        device=DEVICE,
    )
    tensor._cell = Cell(host)
    return tensor


def adopt(tensor: HpuTensor, other: HpuTensor) -> HpuTensor:
    """Let `tensor` have the shape, memory and value of `other`, and return it."""
    with torch._C._DisableTorchDispatch():
        try:
            tensor.as_strided_(other.size(), other.stride(), other.storage_offset())
        except RuntimeError:  # more memory than it had: only a new tensor body can hold that
            tensor.data = HpuTensor.over(
                other._cell, other.size(), other.stride(), other.storage_offset(), other.dtype
            )
    tensor._cell = other._cell
    return tensor
