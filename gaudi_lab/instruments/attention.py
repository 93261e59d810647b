"""Switch a live model's attention to the bridge's FusedSDPA kernel and back.

Nothing in transformers, diffusers or torch is patched. A transformers model names its attention function in
its config and a diffusers model holds processors: both are asked to use ours, and both are put back. A module that
calls PyTorch's `scaled_dot_product_attention` has it computed by the kernel while its forward runs.
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import torch
from torch import nn

from gaudi_lab import bridge
from gaudi_lab.errors import LabError
from gaudi_lab.instruments.fused_operators.class_layers import StandIns, class_before
from gaudi_lab.instruments.handle import Handle, all_or_none
from gaudi_lab.settings import SdpaOptions

# One module per library, imported only when a model of that library is met.
_LIBRARIES = ("transformers", "diffusers", "torch")

# Looked up when attention is switched to it. Importing it during a call would break the graph that
# torch.compile makes of the model.
_kernel: Any = None

_LEADING = (
    "attn_mask",
    "dropout_p",
    "is_causal",
    "scale",
    "softmax_mode",
    "recompute_mode",
)


def fused_sdpa(
    module: nn.Module, options: SdpaOptions | None = None, stand_ins: StandIns | None = None
) -> Handle:
    """Compute the attention of `module` with FusedSDPA.

    Parameters
    ----------
    module
        A transformers or diffusers model, a module that calls `scaled_dot_product_attention`, or a module that
        contains some.
    options
        FusedSDPA's own switches.
    stand_ins
        Takes note of the calls that do not suit the kernel and are made as before.

    Returns
    -------
    Handle
        Removing it puts every config and processor back as it was.

    Raises
    ------
    LabError
        If `module` has no attention that can be switched.
    """
    global _kernel
    _kernel = _known_kernel()
    options = options or SdpaOptions()
    stand_ins = stand_ins or StandIns()
    edits = [edit for library in _libraries_of(module) for edit in library.fused(module, options, stand_ins)]
    if not edits:
        raise refusal(type(module).__name__)
    return all_or_none(edits)


def named(module: nn.Module, name: str) -> Handle:
    """Compute the attention of a transformers model with one of the library's own, such as "eager" or "sdpa".

    Parameters
    ----------
    module
        A transformers model, or a module that contains some.
    name
        As transformers' `attn_implementation`.

    Returns
    -------
    Handle
        Removing it puts every config back as it was.

    Raises
    ------
    LabError
        If a model does not let its attention be switched.
    """
    return all_or_none([edit for library in _libraries_of(module) for edit in library.named(module, name)])


def has_attention(module: nn.Module) -> bool:
    """Whether `fused_sdpa` finds anything to switch in `module`."""
    return any(library.fused(module, SdpaOptions(), StandIns()) for library in _libraries_of(module))


def places(module: nn.Module) -> list[tuple[str, str]]:
    """Return the modules whose attention `fused_sdpa` switches: path and class of each."""
    found = [place for library in _libraries_of(module) for place in library.places(module)]
    return [(path, class_before(part).__name__) for path, part in dict(found).items()]


def refusal(name: str) -> LabError:
    """Return the error that says that the model `name` has no attention for FusedSDPA to replace."""
    return LabError(
        f"{name} has no attention that can be switched: FusedSDPA replaces that of transformers models, of diffusers "
        "models, and of modules that call torch.nn.functional.scaled_dot_product_attention."
    )


def static_masks(module: nn.Module) -> Handle:
    """Make a transformers model build its attention mask without looking at the values in it.

    Its `sdpa` attention leaves the mask out when a batch has no padding. Under an HPU graph that choice is
    captured with the first batch and then silently applied to every later one of the same shape.

    Parameters
    ----------
    module
        Any module; those without such models are left alone.
    """
    return all_or_none([edit for library in _libraries_of(module) for edit in library.static_masks(module)])


def in_use(module: nn.Module) -> str:
    """Name the attention `module` computes with, such as "sdpa" or "FusedSDPA"; empty if it has none."""
    names = [name for library in _libraries_of(module) for name in library.in_use(module)]
    return ", ".join(dict.fromkeys(names))


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    *,
    options: SdpaOptions,
    is_causal: bool = False,
    dropout: float = 0.0,
    scale: float | None = None,
) -> torch.Tensor:
    """Call FusedSDPA as every release since 1.17 understands it.

    Parameters
    ----------
    query, key, value
        (batch, heads, length, head size). Fewer key than query heads mean grouped queries.
    mask
        Boolean (True takes part) or additive, (batch or 1, heads or 1, query length, key length).
    options
        FusedSDPA's own switches.
    is_causal
        Each position sees those before it. Ignored where a mask is given, which releases before 1.23
        cannot combine with it: the mask is then taken to be causal already.
    dropout
        Probability; 0 in inference.
    scale
        None for 1/sqrt(head size).

    Returns
    -------
    torch.Tensor
        (batch, heads, query length, head size of value).
    """
    if mask is not None:
        mask = additive(mask, query.dtype)
        # The kernel does not repeat a mask over the batch.
        mask = mask.expand(query.shape[0], *mask.shape[1:])
    softmax = options.softmax if query.dtype is torch.bfloat16 else None
    return _kernel.apply(
        query,
        key,
        value,
        mask,
        dropout,
        is_causal and mask is None,
        scale,
        softmax or "None",
        options.recompute,
    )


def additive(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return a boolean mask as one to add: 0 where True, the lowest finite number elsewhere.

    Finite, so that a row that may see nothing averages instead of becoming NaN.
    """
    if mask.dtype is not torch.bool:
        return mask
    return torch.where(mask, torch.zeros((), dtype=dtype, device=mask.device), torch.finfo(dtype).min)


def _known_kernel() -> Any:
    """Return the kernel, or raise if this release of it takes its arguments in another order."""
    kernel = bridge.fused_sdpa_kernel()
    parameters = list(inspect.signature(kernel.forward).parameters)
    start = parameters.index("attn_mask") if "attn_mask" in parameters else 0
    if tuple(parameters[start : start + len(_LEADING)]) != _LEADING:
        raise LabError(
            f"FusedSDPA of bridge {bridge.identity().version} takes its arguments in an order unknown to "
            f"this version of Gaudi Lab: {', '.join(parameters)}."
        )
    return kernel


def _libraries_of(module: nn.Module) -> list[Any]:
    met = {kind.__module__.partition(".")[0] for part in module.modules() for kind in type(part).__mro__}
    return [
        importlib.import_module(f"gaudi_lab.instruments._{name}_attention")
        for name in _LIBRARIES
        if name in met
    ]
