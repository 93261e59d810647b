"""Settings of the bridge."""

from . import bridge_config

__all__ = ["bridge_config"]
