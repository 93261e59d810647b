"""Where the bridge's headers and libraries lie, for operators written in C++."""

from __future__ import annotations

_NONE = (
    "The emulated bridge has no C++ {}: operators for it are written in Python, "
    "with torch.library.custom_op or torch.autograd.Function"
)


def get_include_dir() -> str:
    """Refuse: there are no headers.

    Raises
    ------
    RuntimeError
        Always.
    """
    raise RuntimeError(_NONE.format("headers"))


def get_lib_dir() -> str:
    """Refuse: there are no libraries.

    Raises
    ------
    RuntimeError
        Always.
    """
    raise RuntimeError(_NONE.format("libraries"))
