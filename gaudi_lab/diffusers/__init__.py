"""Stable Diffusion for Gaudi: a port from `optimum.habana.diffusers` is a change of the import line."""

from gaudi_lab._lazy_names import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, __file__)
