"""The emulated bridge's package: what Gaudi code imports, run on the CPU by `gaudi_lab.emulator`."""

__emulated__ = True

from gaudi_lab.emulator.process import absent as _absent

_absent.install()
