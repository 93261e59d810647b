"""`gaudi-lab new-op`: a complete folder for an operator, in Python here and for the device elsewhere."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import jinja2

from gaudi_lab.custom_ops.builds.tpc_kernel import DEVICES
from gaudi_lab.custom_ops.definition import check_name
from gaudi_lab.errors import LabValueError

# Each template, and where it goes. NAME and DEVICE stand for what was asked for.
_FILES = {
    "README.md.j2": "README.md",
    "body.py.j2": "NAME.py",
    "test.py.j2": "test_NAME.py",
    "conftest.py.j2": "conftest.py",
    "device/hpu.cpp.j2": "device/hpu_NAME.cpp",
    "device/params.h.j2": "device/NAME_params.h",
    "device/setup.py.j2": "device/setup.py",
    "tpc/kernels/kernel.c.j2": "tpc/kernels/NAME_f32_DEVICE.c",
    "tpc/src/glue.cpp.j2": "tpc/src/glue.cpp",
    "tpc/CMakeLists.txt.j2": "tpc/CMakeLists.txt",
}


def write_operator(name: str, folder: Path | None = None, *, device: str = "gaudi2") -> Path:
    """Write the folder of an operator, and return it.

    Parameters
    ----------
    name
        Of the operator.
    folder
        Where; by default in a folder of that name, here.
    device
        Which processor the kernel is for.

    Raises
    ------
    LabValueError
        The name is none, or something is there already, which stays as it is.
    """
    check_name(name)
    if device not in DEVICES:
        raise LabValueError(f"There is no device {device}; there are {', '.join(DEVICES)}.")
    target = folder or Path(name)
    if target.exists():
        raise LabValueError(
            f"{target} is there already, and nothing in it was changed.",
            python=f"gaudi-lab new-op {name} --folder OTHER",
        )
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("gaudi_lab.cli", "templates/new_op"),
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,
    )
    camel = "".join(word.capitalize() for word in name.split("_"))
    target.parent.mkdir(parents=True, exist_ok=True)
    # The folder appears whole or not at all.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".new-op-") as scratch:
        made = Path(scratch) / "made"
        for template, path in _FILES.items():
            file = made / path.replace("NAME", name).replace("DEVICE", device)
            file.parent.mkdir(parents=True, exist_ok=True)
            text = templates.get_template(template).render(name=name, camel=camel, device=device)
            file.write_text(text, encoding="utf-8")
        shutil.move(made, target)
    return target
