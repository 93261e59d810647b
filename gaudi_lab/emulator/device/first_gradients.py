"""Gradients that a graph holds, without gradients of their own: whoever asks for those is told, and gets no zeros."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


def end_at(gradients: Sequence[Any], used: Sequence[Any], reason: str) -> tuple[Any, ...]:
    """Return `gradients` such that to differentiate them in turn raises.

    That they are to have a history, by `create_graph`, is no error yet: many ask for that and differentiate once.

    Parameters
    ----------
    used
        What they come from: a derivative with respect to any of it finds its way here.
    reason
        What is raised then.
    """
    ended: tuple[Any, ...] = _End.apply(tuple(gradients), reason, *used)
    return ended


class _End(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gradients: tuple[Any, ...], reason: str, *_: Any) -> tuple[Any, ...]:
        ctx.reason = reason
        return gradients

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        raise RuntimeError(ctx.reason)
