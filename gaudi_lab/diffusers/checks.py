"""What a generation refuses before it starts, each with the line to write instead."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gaudi_lab.errors import LabValueError

_PROFILING = ((0, None), "with torch.profiler.profile() as profile: pipeline(...)")
_CALLBACK = ((None, 1), "pipeline(..., callback_on_step_end=function)")
_UNSUPPORTED = {
    "profiling_warmup_steps": _PROFILING,
    "profiling_steps": _PROFILING,
    "callback": _CALLBACK,
    "callback_steps": _CALLBACK,
}
"""What scripts for optimum-habana pass all the same: the values that ask for nothing, and what to write for others."""


def drop_unsupported_keywords(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords without those that only optimum-habana and older releases of diffusers have.

    Raises
    ------
    LabValueError
        If one of them asks for something.
    """
    for name, (nothing, instead) in _UNSUPPORTED.items():
        if name in given and given[name] not in nothing:
            raise LabValueError(f"{name}={given[name]!r} is not part of Gaudi Lab.", python=instead)
    return {name: value for name, value in given.items() if name not in _UNSUPPORTED}


def known_keywords(function: Callable[..., Any]) -> list[str]:
    """Return the keywords that `function` names."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.kind in kinds and p.name != "self"]


def refuse_unknown_keywords(given: Mapping[str, Any], known: Iterable[str], call: str) -> None:
    """Refuse keywords that would otherwise be ignored.

    Parameters
    ----------
    given
        What is left of the keywords.
    known
        Names that exist.
    call
        How the call is written, such as "pipeline(...)".

    Raises
    ------
    LabValueError
        Naming the first unknown keyword and the known one that is nearest to it.
    """
    if not given:
        return
    name = next(iter(given))
    names = list(known)
    nearest = next(iter(difflib.get_close_matches(name, names, n=1, cutoff=0.5)), None)
    if nearest is None:
        raise LabValueError(f"{call} takes no {name!r}; it takes {', '.join(names)}.")
    value = repr(given[name])
    written = value if len(value) <= 40 else "..."
    raise LabValueError(
        f"{call} takes no {name!r}; the nearest it takes is {nearest!r}.",
        python=call.replace("...", f"..., {nearest}={written}"),
    )


def refuse_empty_generation(
    prompt: Any,
    num_inference_steps: Any,
    num_images_per_prompt: Any,
    batch_size: Any,
    throughput_warmup_steps: Any,
) -> None:
    """Refuse a generation that would make nothing.

    Raises
    ------
    LabValueError
        For an empty list of prompts, and for numbers that are no whole number of at least one; for a
        negative number of warm-up steps.
    """
    if isinstance(prompt, (list, tuple)) and not prompt:
        raise LabValueError(
            "The list of prompts is empty, so there is nothing to draw.",
            python='pipeline(["a red handwritten seven"])',
        )
    numbers = {
        "num_inference_steps": (num_inference_steps, 1, 50),
        "num_images_per_prompt": (num_images_per_prompt, 1, 4),
        "batch_size": (batch_size, 1, 4),
        "throughput_warmup_steps": (throughput_warmup_steps, 0, 3),
    }
    for name, (value, least, example) in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise LabValueError(
                f"{name}={value!r}: there is no generation with that; it is a whole number, "
                f"at least {least}.",
                python=f"pipeline(prompt, {name}={example})",
            )
