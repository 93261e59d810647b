"""Any name that torchmetrics asks for while it is imported; none can be used."""

from __future__ import annotations


class Absent:
    """Stands for a class or a function of torchvision."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        raise NotImplementedError("this environment has no torchvision")


def __getattr__(name: str) -> type[Absent]:
    if name.startswith("__"):
        raise AttributeError(name)
    return Absent
