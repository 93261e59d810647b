"""Find the `GaudiConfig` that a pipeline is given: an object, a local folder, or a name on the hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaudi_lab.errors import LabValueError

if TYPE_CHECKING:
    from gaudi_lab.gaudi_config import GaudiConfig


def resolve(given: Any) -> GaudiConfig | None:
    """Return the configuration that `given` stands for.

    Parameters
    ----------
    given
        A `GaudiConfig`, a folder with a `gaudi_config.json`, or a name on the hub such as
        "Habana/stable-diffusion". None for none.

    Raises
    ------
    LabValueError
        If `given` is none of these, or there is no such file; without a network it says what to use instead.
    """
    if given is None:
        return None
    from gaudi_lab.gaudi_config import GaudiConfig

    if isinstance(given, GaudiConfig):
        return given
    if isinstance(given, (str, Path)):
        return GaudiConfig.from_pretrained(given)
    raise LabValueError(
        f"gaudi_config is a GaudiConfig, a folder or a name on the hub, not a {type(given).__name__}.",
        python='gaudi_config="Habana/stable-diffusion"',
    )
