"""Find the `GaudiConfig` that a pipeline is given: an object, a local folder, or a name on the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gaudi_lab.errors import LabError, LabValueError


def resolve(given: Any) -> Any:
    """Return the configuration that `given` stands for.

    Parameters
    ----------
    given
        A `GaudiConfig`, a folder with a `gaudi_config.json`, or a name on the hub such as
        "Habana/stable-diffusion". None for none.

    Returns
    -------
    GaudiConfig or None

    Raises
    ------
    LabValueError
        If `given` is none of these.
    LabError
        If the hub cannot be reached or does not have it.
    """
    if given is None:
        return None
    from gaudi_lab.transformers import GaudiConfig

    if isinstance(given, GaudiConfig):
        return given
    if not isinstance(given, (str, Path)):
        raise LabValueError(
            f"gaudi_config is a GaudiConfig, a folder or a name on the hub, not a {type(given).__name__}.",
            python='gaudi_config="Habana/stable-diffusion"',
        )
    try:
        return GaudiConfig.from_pretrained(given)
    except LabError:
        raise
    except (OSError, ValueError) as error:
        raise LabError(
            f"gaudi_config={str(given)!r} is not a folder here, and the hub did not give it: it may be "
            "unreachable, or have nothing of that name.",
            python="gaudi_config=gaudi_lab.transformers.GaudiConfig(use_torch_autocast=True)",
        ) from error


def uses_autocast(config: Any) -> bool:
    """Whether the configuration asks for bfloat16 by autocast."""
    return bool(getattr(config, "use_torch_autocast", False))
