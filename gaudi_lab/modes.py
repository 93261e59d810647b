"""Deprecated name of `gaudi_lab.settings`: tutorials imported `combinations` from here. Goes with the next release."""

import warnings

from gaudi_lab.settings import Mode, SdpaOptions, Settings, combinations

warnings.warn("gaudi_lab.modes is now gaudi_lab.settings.", DeprecationWarning, stacklevel=2)

__all__ = ["Mode", "SdpaOptions", "Settings", "combinations"]
