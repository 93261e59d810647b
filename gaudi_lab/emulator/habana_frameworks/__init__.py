"""The emulated bridge's package: what Gaudi code imports, run on the CPU by `gaudi_lab.emulator`."""

__emulated__ = True
