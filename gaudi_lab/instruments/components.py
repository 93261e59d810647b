"""Which modules of a user's object do the work: itself, a Trainer's model, a pipeline's networks."""

from __future__ import annotations

from typing import Any

from torch import nn

from gaudi_lab.errors import LabError, LabValueError


def of(model: Any) -> dict[str, nn.Module]:
    """Return the modules of `model` that switches apply to, by name.

    Parameters
    ----------
    model
        A torch module, a transformers `Trainer`, or a diffusers pipeline.

    Returns
    -------
    dict of str to torch.nn.Module
        One entry with an empty name for a module; `model` for a Trainer; each network for a pipeline, with
        the halves of an autoencoder apart because a pipeline calls those and not its `forward`.

    Raises
    ------
    LabValueError
        If there is no module to be found.
    """
    if isinstance(model, nn.Module):
        return {"": model}
    if is_pipeline(model):
        return _of_pipeline(model)
    inner = getattr(model, "model", None)
    if isinstance(inner, nn.Module):
        return {"model": inner}
    raise LabValueError(
        f"A {type(model).__name__} is not a model; there are torch modules, transformers Trainers and "
        "diffusers pipelines.",
        python="gaudi_lab.attach(model)",
        magic="%gaudi_attach model",
    )


def is_pipeline(model: Any) -> bool:
    """Whether `model` is a diffusers pipeline. Does not import diffusers."""
    return _is_a(model, "diffusers", "DiffusionPipeline")


def is_stable_diffusion(model: Any) -> bool:
    """Whether `model` is a diffusers `StableDiffusionPipeline` or made from one. Does not import diffusers."""
    return _is_a(model, "diffusers", "StableDiffusionPipeline")


def is_trainer(model: Any) -> bool:
    """Whether `model` is a transformers Trainer or made from one. Does not import transformers."""
    return _is_a(model, "transformers", "Trainer")


def generates(model: Any) -> bool:
    """Whether `model` is a transformers model that can `generate`. Does not import transformers."""
    return _is_a(model, "transformers", "GenerationMixin")


def device_type(model: Any) -> str | None:
    """Return where the weights of `model` are, such as "hpu" or "cpu".

    None if it has none; "cpu" is told first if they are in several places.
    """
    found = {
        tensor.device.type
        for module in of(model).values()
        for tensors in (module.parameters(), module.buffers())
        for tensor in tensors
    }
    return min(found) if found else None


def require_on_hpu(name: str, model: Any) -> None:
    """Raise if the weights of `model` are not on the device.

    Raises
    ------
    LabError
        Naming where they are and the line that moves them.
    """
    where = device_type(model)
    if where not in (None, "hpu"):
        holder = f"{name}.model" if is_trainer(model) else name
        raise LabError(f"{name} is on {where}, not on hpu.", python=f'{holder}.to("hpu")')


def _is_a(model: Any, library: str, name: str) -> bool:
    return any(
        kind.__name__ == name and kind.__module__.partition(".")[0] == library for kind in type(model).__mro__
    )


def _of_pipeline(pipeline: Any) -> dict[str, nn.Module]:
    found: dict[str, nn.Module] = {}
    for name, part in pipeline.components.items():
        if not isinstance(part, nn.Module):
            continue
        halves = {half: getattr(part, half, None) for half in ("encoder", "decoder")}
        if hasattr(part, "decode") and all(isinstance(half, nn.Module) for half in halves.values()):
            found.update({f"{name}.{half}": module for half, module in halves.items() if module is not None})
        else:
            found[name] = part
    return found
