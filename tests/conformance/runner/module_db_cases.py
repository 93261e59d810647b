"""PyTorch's own module samples: forward and backward on the device and on the CPU.

A case is a module in one dtype, in training or in evaluation; it passes if the outputs, the buffers and the
parameters' gradients of every sample do.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from typing import Any

import torch
from op_db_compare import COMPILED, Mover, Tolerance, difference
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.testing._internal.common_modules import module_db

# PyTorch asks an accelerator's cell to add the bias that the CPU adds inside a matmul: it rounds elsewhere, and
# a gradient through many steps shows it.
TOLERANCE = {"nn.GRU": 1e-4, "nn.LSTM": 1e-4}


@functools.cache
def cases() -> dict[str, tuple[Any, torch.dtype, bool]]:
    """Return every case by name: the module's record, the dtype, and whether it trains."""
    found: dict[str, tuple[Any, torch.dtype, bool]] = {}
    for info in module_db:
        modes = (True, False) if info.train_and_eval_differ else (True,)
        for training in modes:
            found[f"{info.name}:float32:{'train' if training else 'eval'}"] = (info, torch.float32, training)
    return found


def run(
    name: str, repeats: int, limit: int | None = None, compiled: bool = False
) -> Iterator[tuple[int, str | None]]:
    """Yield, for each sample of a case that the CPU accepts, its number and what is wrong; None if nothing is.

    Parameters
    ----------
    name, repeats, limit, compiled
        As in `op_db_cases.run`. It is the same module each time: its parameters are constants of what was compiled.
    """
    info, dtype, training = cases()[name]
    tolerance: Tolerance = COMPILED if compiled else TOLERANCE.get(info.name)
    torch.manual_seed(3)
    samples = info.module_inputs_func(info, device="cpu", dtype=dtype, requires_grad=False, training=training)
    for number, sample in enumerate(samples):
        if sample.forward_input is None or (limit is not None and number >= limit):
            continue
        torch.manual_seed(11)
        built = info.module_cls(*sample.constructor_input.args, **sample.constructor_input.kwargs)
        built = built.to(dtype).train(training)
        try:
            # The device's stock attention is matmul, softmax, matmul: hold it against the CPU's own of that kind.
            with sdpa_kernel(SDPBackend.MATH):
                expected = _step(copy.deepcopy(built), sample, "cpu")
        except Exception:
            continue  # the CPU does not take this sample either
        problem = None
        on_hpu = copy.deepcopy(built)
        for attempt in range(repeats):
            try:
                problem = difference(_step(on_hpu, sample, "hpu"), expected, tolerance=tolerance)
                _put_back(on_hpu, built)
            except Exception as error:
                problem = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            if problem:
                problem = problem if attempt == 0 else f"second run: {problem}"
                break
        yield number, problem


def _step(module: torch.nn.Module, sample: Any, device: str) -> Any:
    """Run the module forward and, where it can, backward; return all that it computed."""
    module.to(device)
    move = Mover(device)
    args, kwargs = move(list(sample.forward_input.args)), move(sample.forward_input.kwargs)
    torch.manual_seed(7)
    out = module(*args, **kwargs)
    loss = sum((x.abs().sum() for x in _floats(out)), start=torch.zeros((), device=device))
    if loss.requires_grad:
        loss.backward()
    grads = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
    return out, grads, dict(module.named_buffers())


def _put_back(module: torch.nn.Module, before: torch.nn.Module) -> None:
    """Give buffers what they held before a step, and take the gradients away."""
    module.zero_grad()
    for buffer, held in zip(module.buffers(), before.buffers(), strict=True):
        buffer.copy_(held)


def _floats(x: Any) -> Iterator[torch.Tensor]:
    if isinstance(x, torch.Tensor):
        if x.is_floating_point():
            yield x
    elif isinstance(x, (list, tuple)):
        for y in x:
            yield from _floats(y)
