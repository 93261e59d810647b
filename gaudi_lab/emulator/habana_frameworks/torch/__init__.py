"""Intel Gaudi's PyTorch bridge, emulated on the CPU. Importing it freezes the execution mode of the process."""

import os

# Side effects that programs see: Inductor compiles in this process, and a light profile is asked for.
os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
os.environ.setdefault("HABANA_PROFILE", "profile_api_light")
# A child process finds the bridge as it would find an installed one, also if it does not import `gaudi_lab`.
os.environ.setdefault("GAUDI_LAB_EMULATE", "1")

import torch

from gaudi_lab.emulator import set_up
from gaudi_lab.emulator.process import migration, mode
from gaudi_lab.emulator.process.release import version as _version

__version__ = _version()

lazy = mode.is_lazy()  # decided here and now, as on hardware

# A bridge is compiled for one PyTorch. The emulated one is compiled for none, unless it is asked to be the build
# for a certain one.
_compiled = os.environ.get("GAUDI_LAB_COMPILED_FOR")
assert _compiled is None or _compiled.split(".")[:2] == torch.__version__.split(".")[:2], (
    f"Error: Compile-time major/minor PyTorch version {_compiled} differs from run-time {torch.__version__}."
)

# The bridge's lazy mode needs Intel's fork of PyTorch. The emulated one does not, and takes the place of the
# fork's build unless it is asked to be the build for upstream PyTorch.
is_torch_fork = os.environ.get("GAUDI_LAB_TORCH_TYPE", "fork") != "upstream"
if lazy:
    assert is_torch_fork, f"Stock PyTorch version {torch.__version__} is not supported in Lazy mode."

from . import hpu  # noqa: E402

set_up.set_up(hpu)

from . import core, hpex, utils  # noqa: E402
from .distributed import hccl  # noqa: E402 - registers the backend "hccl"
from .utils.internal import is_lazy  # noqa: E402


def overwrite_torch_optimizers() -> None:
    """Put Adam and AdamW whose steps are graphs of their own in the place of PyTorch's.

    Only if ``PT_HPU_REPLACE_ADAM_ADAMW`` asks for it.
    """
    if os.environ.get("PT_HPU_REPLACE_ADAM_ADAMW", "0").lower() in ("1", "true", "yes"):
        from .hpex.optimizers import Adam, AdamW

        torch.optim.Adam = torch.optim.adam.Adam = Adam  # type: ignore[misc]
        torch.optim.AdamW = torch.optim.adamw.AdamW = AdamW  # type: ignore[misc]


overwrite_torch_optimizers()

if migration.is_asked_for():
    from . import gpu_migration

__all__ = ["core", "hpex", "hpu", "is_lazy", "overwrite_torch_optimizers", "utils"]
