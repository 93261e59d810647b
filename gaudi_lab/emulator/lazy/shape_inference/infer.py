"""What an operator will return, before it runs: PyTorch's own fake tensors are asked once for every new step."""

from __future__ import annotations

import functools
import logging
from typing import Any

import torch
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
    UnsupportedOperatorException,
)
from torch._subclasses.functional_tensor import FunctionalTensor

from gaudi_lab.emulator.device import wider
from gaudi_lab.emulator.device.acquire import check_index
from gaudi_lab.emulator.device.on_the_host import lasting
from gaudi_lab.emulator.device.schema import Alias, returned_aliases, without_out, writes, written
from gaudi_lab.emulator.device.tensor import CPU, HpuTensor, no_sparse
from gaudi_lab.emulator.lazy.program import Meta
from gaudi_lab.emulator.lazy.shape_inference import shape_rules
from gaudi_lab.emulator.lazy.shape_inference.meta_kernels import run_on_meta


class NotRecordable(Exception):
    """What the operator returns depends on values, or nobody can say: it has to run on the host.

    Its cause, where it is no class of the fake tensors' own, is what the operator itself raised for arguments of
    these shapes.
    """


class BeingTraced(Exception):
    """A compiler is tracing: the value behind the tensor is one of its own, and belongs in no recording."""


class OnAnotherDevice(RuntimeError):
    """An operand lies on another device than the others."""


_MOVE = "Move the tensor first: tensor.to('hpu')"
_INTO_A_NUMBER = (
    "A program on the device reads a number of the host and cannot write into it. Make a new one, "
    "total = total + loss, or begin with it on the device: total = total.to('hpu')"
)


def is_traced(host: torch.Tensor) -> bool:
    """Return True if the value behind an `hpu` tensor is not one, but a stand-in of Dynamo or of AOTAutograd."""
    return isinstance(host, (FakeTensor, FunctionalTensor))


def result(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the `Meta`, `Alias`, None, or list of these, that `func` will return.

    Raises
    ------
    NotRecordable
        It cannot be told without running the operator, or these arguments do not suit it.
    """
    if func in _DISTRUSTED:
        raise NotRecordable(f"PyTorch's fake {func} does not return what the host's does")
    key = (
        func,
        torch.get_default_dtype(),
        _facts(args),
        tuple([(name, _facts(x)) for name, x in kwargs.items()]),
    )
    known = _known.get(key)
    if known is None:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        known = _known[key] = (_infer(func, args, kwargs),)
    return known[0]


def _infer(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if (told := shape_rules.tell(func, args, kwargs)) is not None:
        return told
    out = (
        _run_on_nothing(func, args, kwargs) if func in _REFUSED_FOR_FAKES else run_on_meta(func, args, kwargs)
    )
    if out is None:
        out = _run_on_fakes(func, args, kwargs)
    return _template(out, returned_aliases(func))


def _run_on_fakes(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with fake_mode(), _quiet():
        stand_ins = [_stand_in(x) for x in args]
        named = {name: _stand_in(x) for name, x in kwargs.items()}
        before = [_shape(x) for x in written(func, stand_ins, named)]
        try:
            if any(isinstance(where, str) for where in writes(func)):
                _check_out(func, stand_ins, named)
            out = wider.call(func, *stand_ins, **named)
        except NotRecordable:
            raise
        except Exception as error:
            raise NotRecordable(str(func)) from error
        if before != [_shape(x) for x in written(func, stand_ins, named)]:
            raise NotRecordable(f"{func} resizes its output")
    return _mask(func, args, _with_bias(func, args, out))


# PyTorch's fake one takes a GPU's dtype only, the host's any.
_REFUSED_FOR_FAKES = {torch.ops.aten._grouped_mm.default}


def _run_on_nothing(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return what the host's kernel returns for operands of these shapes with no row in any group."""

    def stand_in(x: Any) -> Any:
        if not isinstance(x, HpuTensor):
            return x
        empty = torch.empty_strided(x.size(), x.stride(), dtype=x.dtype)
        return empty if x.is_floating_point() else empty.zero_()

    try:
        return func(*map(stand_in, args), **{name: stand_in(x) for name, x in kwargs.items()})
    except RuntimeError as error:
        raise NotRecordable(str(func)) from error


_MOST_KNOWN = 20_000
_known: dict[Any, tuple[Any]] = {}
"""What was inferred before, by the operator and all that its result depends on: a transformer has equal blocks."""


def _facts(x: Any) -> Any:
    """Return what the result depends on of an argument, as something that can be looked up."""
    kind = x.__class__
    if isinstance(x, HpuTensor):
        return x.size(), x.stride(), x.storage_offset(), x.dtype
    if kind is int or kind is bool or kind is str:
        return kind, x
    if kind is float or kind is complex:
        return kind, repr(x)
    if isinstance(x, (list, tuple)):
        return kind, tuple([_facts(y) for y in x])
    if isinstance(x, torch.Tensor):
        return "host", x.dtype, x.shape
    return "generator" if isinstance(x, torch.Generator) else x


def distrust(func: Any) -> None:
    """Note that the fake `func` returned something else than the host's: it is not recorded again."""
    _DISTRUSTED.add(func)


def is_distrusted(func: Any) -> bool:
    """Return whether the fake `func` is known not to return what the host's does."""
    return func in _DISTRUSTED


_DISTRUSTED = {
    torch.ops.aten.multilabel_margin_loss_forward.default,
    torch.ops.aten.multilabel_margin_loss_forward.output,
    torch.ops.aten._embedding_bag_forward_only.default,
    torch.ops.aten.quantize_per_tensor.default,
    torch.ops.aten.quantize_per_tensor.tensor_qparams,
    torch.ops.aten.quantize_per_tensor_dynamic.default,
    torch.ops.aten.quantize_per_channel.default,
}


def _with_bias(func: Any, args: tuple[Any, ...], out: Any) -> Any:
    """Return `out` with a gradient of the bias for each output channel, whatever the call says of the bias's sizes."""
    if func is not torch.ops.aten.convolution_backward.default or out[2] is None:
        return out
    return (*out[:2], out[2].new_empty(args[0].shape[1]))


def _mask(func: Any, args: tuple[Any, ...], out: Any) -> Any:
    """Return `out` without the gradients that nobody asked for, which the host does not return either."""
    where = _output_mask(func)
    if where is None or where >= len(args):
        return out
    return tuple([x if wanted else None for x, wanted in zip(out, args[where], strict=True)])


@functools.cache
def _output_mask(func: Any) -> int | None:
    names = [argument.name for argument in func._schema.arguments]
    return names.index("output_mask") if "output_mask" in names else None


def refusal(error: NotRecordable) -> BaseException | None:
    """Return what the operator itself raised for its arguments, if that is why it cannot be recorded."""
    cause = error.__cause__
    unknown = (DynamicOutputShapeException, DataDependentOutputException, UnsupportedOperatorException)
    # An operator of the user's own without a fake kernel says so in a plain RuntimeError.
    return None if isinstance(cause, unknown) or "no fake impl registered" in str(cause) else cause


def _check_out(func: Any, args: list[Any], kwargs: dict[str, Any]) -> None:
    """Refuse an `out=` of another size: not every fake operator gives it the size that the host's would."""
    twin = without_out(func)
    if twin is None:
        raise NotRecordable(f"{func}: nobody can say which size its output has")
    outs = {name for name in writes(func) if isinstance(name, str)}
    made = twin(*args, **{name: x for name, x in kwargs.items() if name not in outs})
    if len(outs) == 1:
        made = [made]
    for name, x in zip((a.name for a in func._schema.arguments if a.name in outs), made, strict=False):
        if _shape(kwargs.get(name)) != _shape(x):
            raise NotRecordable(f"{func} resizes {name}")


class _quiet:  # noqa: N801 - reads as a statement
    """No log lines from the fake tensors: what they cannot do, the host does, or refuses with its own message."""

    def __enter__(self) -> None:
        _log.disabled = True

    def __exit__(self, *exc: object) -> None:
        _log.disabled = False


_log = logging.getLogger("torch._subclasses.fake_tensor")


def on_host(x: Any) -> Any:
    """Return the argument as the host wants it: the emulated device is the CPU."""
    return CPU if isinstance(x, torch.device) and check_index(x).type == "hpu" else x


def refuse_to_write_to_host(func: Any, args: Any, kwargs: Any) -> None:
    """Refuse an operator that writes into a tensor on the host: a program takes it in by its value.

    Raises
    ------
    OnAnotherDevice
        One of the arguments that `func` writes into is on the host.
    """
    for held in written(func, args, kwargs):
        for x in held if isinstance(held, (list, tuple)) else (held,):
            if isinstance(x, torch.Tensor) and not isinstance(x, HpuTensor):
                # What is to run instead is not the same for a number, which may be read where it is.
                raise _on_another_device(x, _INTO_A_NUMBER if x.dim() == 0 else _MOVE)


def scalar_from_host(x: torch.Tensor) -> torch.Tensor:
    """Return the value of a 0-dim CPU tensor as it is now; other CPU tensors cannot mix with the device's.

    Raises
    ------
    OnAnotherDevice
        `x` is on another device and is no scalar.
    """
    if x.layout is not torch.strided:
        raise no_sparse(x)
    if x.dim() == 0 and x.device.type == "cpu":
        with lasting():
            return x.detach().clone()
    raise _on_another_device(x)


def _on_another_device(x: torch.Tensor, instead: str = _MOVE) -> OnAnotherDevice:
    return OnAnotherDevice(
        "Expected all tensors to be on the same device, but found at least two devices, "
        f"hpu:0 and {x.device}! {instead}"
    )


def _shape(x: Any) -> Any:
    if isinstance(x, torch.Tensor):
        return x.shape
    return [_shape(y) for y in x] if isinstance(x, (list, tuple)) else None


@functools.cache
def fake_mode() -> FakeTensorMode:
    """Return the mode in which operators compute shapes and no values."""
    return FakeTensorMode(allow_fallback_kernels=True, allow_non_fake_inputs=True)


_QUANTIZED = {torch.qint8, torch.quint8, torch.qint32, torch.quint4x2, torch.quint2x4}


def _stand_in(x: Any) -> Any:
    if isinstance(x, HpuTensor):
        if x.dtype in _QUANTIZED:
            raise NotRecordable(f"a {x.dtype} operand, of which PyTorch makes no fake")
        offset = x.storage_offset()
        size, stride = x.size(), x.stride()
        if offset == 0:
            return torch.empty_strided(size, stride, dtype=x.dtype, device="cpu")
        extent = 1 + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) if x.numel() else 0
        return torch.empty(offset + extent, dtype=x.dtype, device="cpu").as_strided(size, stride, offset)
    if isinstance(x, (list, tuple)):
        return [_stand_in(y) for y in x]
    if isinstance(x, torch.Generator):
        return None
    return on_host(x)


def _template(out: Any, aliases: tuple[Alias | None, ...]) -> Any:
    if len(aliases) <= 1:
        return _template_of(out, aliases[0] if aliases else None)
    return tuple([_template_of(x, alias) for x, alias in zip(out, aliases, strict=True)])


def _template_of(out: Any, alias: Alias | None) -> Any:
    if alias is not None:
        return alias
    if out is None:
        return None
    if isinstance(out, torch.Tensor):
        if out.layout is not torch.strided:
            raise NotRecordable(f"a {out.layout} result")
        return Meta(out.shape, out.stride(), int(out.storage_offset()), out.dtype)
    if isinstance(out, (list, tuple)):
        return [_template_of(x, None) for x in out]
    raise NotRecordable(f"a result of class {type(out).__name__}")
