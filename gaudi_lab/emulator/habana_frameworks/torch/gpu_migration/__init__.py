"""GPU migration: on a Gaudi this import sends calls of `torch.cuda` to `hpu`. It is not emulated, and says so."""

from gaudi_lab.emulator.process.migration import REFUSAL

raise ModuleNotFoundError(f"{REFUSAL}, and leave out this import.", name=__name__)
