"""`torch.autocast("hpu")`: which operators run in lower precision, which in float32, and which promote.

The lists are the bridge's documented ones. An operator in more than one counts for the first: lower precision,
then float32, then promote. A file named by ``PT_HPU_AUTOCAST_LOWER_PRECISION_OPS_LIST`` or
``PT_HPU_AUTOCAST_FP32_OPS_LIST``, one operator a line, takes the place of the list. Both are read when the
bridge loads.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterable
from typing import Any

import torch

LOWER_PRECISION = (
    "addmm", "addbmm", "batch_norm", "baddbmm", "bmm", "conv1d", "conv2d", "conv3d", "conv_transpose1d",
    "conv_transpose2d", "conv_transpose3d", "dot", "dropout", "feature_dropout", "group_norm", "instance_norm",
    "layer_norm", "leaky_relu", "linear", "matmul", "mean", "mm", "mul", "mv", "softmax", "log_softmax",
    "scaled_dot_product_attention",
)  # fmt: skip
FP32 = (
    "acos", "addcdiv", "asin", "atan2", "bilinear", "binary_cross_entropy", "binary_cross_entropy_with_logits",
    "cdist", "cosh", "cosine_embedding_loss", "cosine_similarity", "cross_entropy_loss", "dist", "div", "divide",
    "embedding", "embedding_bag", "erfinv", "exp", "expm1", "hinge_embedding_loss", "huber_loss", "kl_div",
    "l1_loss", "log", "log10", "log1p", "log2", "logsumexp", "margin_ranking_loss", "mse_loss", "multi_margin_loss",
    "multilabel_margin_loss", "nll_loss", "pdist", "poisson_nll_loss", "pow", "reciprocal", "renorm", "rsqrt",
    "sinh", "smooth_l1_loss", "soft_margin_loss", "softplus", "tan", "topk", "triplet_margin_loss", "true_divide",
)  # fmt: skip
PROMOTE = ("add", "addcmul", "addcdiv", "cat", "div", "exp", "mul", "pow", "sub", "stack")

_LOWER_FILE = "PT_HPU_AUTOCAST_LOWER_PRECISION_OPS_LIST"
_FP32_FILE = "PT_HPU_AUTOCAST_FP32_OPS_LIST"

# The lists speak of Python's functions; these are operators of another name.
_OPERATORS = {
    "nll_loss": ("nll_loss", "nll_loss_nd"),
    "cross_entropy": ("cross_entropy_loss",),
    "truediv": ("true_divide",),
    "iadd": ("add_",),
}
_KEY = "AutocastPrivateUse1"
_KEYS = torch._C.DispatchKeySet(torch._C._parse_dispatch_key(_KEY))  # type: ignore[arg-type]

Cast = Callable[[Any, Any], torch.dtype | None]


def register() -> list[torch.library.Library]:
    """Register the casting kernels, and return the libraries that keep them registered.

    Raises
    ------
    RuntimeError
        A list file is named and is not there.
    """
    torch.get_autocast_dtype = _with_default(torch.get_autocast_dtype)
    torch.set_autocast_dtype = _with_default(torch.set_autocast_dtype)
    rest = torch.library.Library("_", "IMPL")
    rest.fallback(torch.library.fallthrough_kernel, _KEY)
    library = torch.library.Library("aten", "IMPL")
    seen: set[Any] = set()
    lists = (
        (_read_list(_LOWER_FILE, LOWER_PRECISION), _to_lower),
        (_read_list(_FP32_FILE, FP32), _to_fp32),
        (PROMOTE, _to_widest),
    )
    for names, cast in lists:
        for name in names:
            for overload in _overloads(name):
                if overload not in seen:
                    seen.add(overload)
                    library.impl(overload.name().removeprefix("aten::"), _casting(overload, cast), _KEY)
    return [rest, library]


class _Default(threading.local):
    """The dtype of autocast where nobody has chosen one: PyTorch keeps it by thread, and begins with float16."""

    def __init__(self) -> None:
        _set_dtype("privateuseone", torch.bfloat16)  # before the device is set up, "hpu" is another

    chosen = True


_set_dtype = torch.set_autocast_dtype
_default = _Default()


def _with_default(func: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(func)
    def call(device_type: str, *dtype: Any) -> Any:
        if device_type == "hpu":
            _ = _default.chosen  # the first look in a thread chooses
        return func(device_type, *dtype)

    return call


def _read_list(variable: str, default: tuple[str, ...]) -> Iterable[str]:
    path = os.environ.get(variable)
    if not path:
        return default
    try:
        with open(path, encoding="utf-8") as file:
            return [line.strip() for line in file if line.strip()]
    except OSError as error:
        raise RuntimeError(f"{variable}={path!r} cannot be read: {error}") from error


def _overloads(name: str) -> list[Any]:
    """Return the overloads of an operator that make new tensors of floating point ones."""
    found = []
    for operator in _OPERATORS.get(name, (name,)):
        packet = getattr(torch.ops.aten, operator, None)
        for overload in [] if packet is None else packet.overloads():
            func = getattr(packet, overload)
            if "out" in overload or overload.endswith("_") or not _takes_tensors(func):
                continue
            found.append(func)
    return found


def _takes_tensors(func: Any) -> bool:
    schema = func._schema
    return not schema.is_mutable and any("Tensor" in str(argument.type) for argument in schema.arguments)


def _casting(func: Any, cast: Cast) -> Callable[..., Any]:
    names = [argument.name for argument in func._schema.arguments]
    position = names.index("dtype") if "dtype" in names else len(names)

    def kernel(*args: Any, **kwargs: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(_KEYS):
            asked = args[position] if position < len(args) else kwargs.get("dtype")
            dtype = cast(args, kwargs) if asked is None else None
            if dtype is None:
                return func(*args, **kwargs)
            return func(
                *[_cast(x, dtype) for x in args], **{name: _cast(x, dtype) for name, x in kwargs.items()}
            )

    return kernel


def _to_lower(args: Any, kwargs: Any) -> torch.dtype:
    return torch.get_autocast_dtype("hpu")


def _to_fp32(args: Any, kwargs: Any) -> torch.dtype:
    return torch.float32


def _to_widest(args: Any, kwargs: Any) -> torch.dtype | None:
    dtypes = {x.dtype for x in _tensors([*args, *kwargs.values()]) if _eligible(x) and x.dim()}
    if len(dtypes) < 2:
        return None
    return torch.float32 if torch.float32 in dtypes else torch.get_autocast_dtype("hpu")


def _tensors(values: Iterable[Any]) -> Iterable[torch.Tensor]:
    for x in values:
        if isinstance(x, torch.Tensor):
            yield x
        elif isinstance(x, (list, tuple)):
            yield from _tensors(x)


def _eligible(x: torch.Tensor) -> bool:
    # In a compiled graph the device's tensors are those of the host behind it.
    on_device = x.device.type == "hpu" or torch._C._dispatch_tls_is_dispatch_key_included(_KEY)
    return on_device and x.is_floating_point() and x.dtype != torch.float64


def _cast(x: Any, dtype: torch.dtype) -> Any:
    if isinstance(x, torch.Tensor):
        return x.to(dtype) if _eligible(x) and x.dtype != dtype else x
    if isinstance(x, (list, tuple)):
        return [_cast(y, dtype) for y in x]
    return x
