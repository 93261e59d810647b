"""Intel's TPC tools, which install without a Gaudi: a compiler for TPC-C and a simulator. Where they are, or are had.

The paths are those of the README of https://github.com/HabanaAI/Habana_Custom_Kernel ("Install Habanatools For
Ubuntu") and of its CMakeLists.txt. They are Intel's, are not redistributed, and are not among our dependencies.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from gaudi_lab.errors import LabError

FOLDER_VARIABLE = "GAUDI_LAB_HABANATOOLS"
"""Names the folder of the libraries and headers, where it is not `/usr/lib/habanatools`."""

_FOLDER = Path("/usr/lib/habanatools")
_LIBRARIES = ("libtpc_tests_core_ext.so", "libtpcsim_shared.so", "libTpcElfReader.so")
_HEADERS = ("gc_interface.h", "tpc_kernel_lib_interface.h", "tpc_test_core_api.h", "tpc_test_core_types.h")


@dataclass(frozen=True)
class TpcTools:
    """Where the tools are.

    Attributes
    ----------
    compiler
        `tpc-clang`.
    folder
        That of the simulator's libraries; its headers are in `include`.
    """

    compiler: Path
    folder: Path

    @property
    def include(self) -> Path:
        """The folder of the headers."""
        return self.folder / "include"

    @property
    def libraries(self) -> tuple[Path, ...]:
        """What a program is linked with to run kernels on the simulator, in this order."""
        return tuple([self.folder / name for name in _LIBRARIES])


def find() -> TpcTools:
    """Return where the tools are.

    Raises
    ------
    LabError
        Something is missing, with what to install.
    """
    folder = Path(os.environ.get(FOLDER_VARIABLE) or _FOLDER)
    compiler = shutil.which("tpc-clang")
    needed = [*(folder / name for name in _LIBRARIES), *(folder / "include" / name for name in _HEADERS)]
    missing = [str(path) for path in needed if not path.exists()]
    if compiler is None:
        missing.insert(0, "tpc-clang")
    if missing:
        raise LabError(
            f"Intel's TPC tools are not here ({', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''}). They "
            "install on any machine with Ubuntu, without a Gaudi: "
            "https://docs.habana.ai/en/latest/TPC_Tools_Installation/TPC_Tools_Installation_Guide.html",
            python=(
                "!wget https://vault.habana.ai/artifactory/debian/jammy/pool/main/h/habanatools/"
                "habanatools_1.20.0-543_amd64.deb && sudo dpkg -i habanatools_1.20.0-543_amd64.deb"
            ),
        )
    assert compiler is not None
    return TpcTools(Path(compiler), folder)
