"""Stable Diffusion on a Gaudi. A port from `optimum.habana.diffusers` is a change of the import line.

`pipeline` runs a generation: `checks` refuse what would make nothing, `prepare` turns the `request` into tensors,
`batches` cuts these into batches of one shape, `denoise` makes each, `generation_progress` shows it, `output` is
what comes out. `ddim` is a scheduler whose steps are one graph. `pipeline_switches` are those of a pipeline,
`fingerprint` notices that its modules have changed, and `stock_config` saves it as a stock one.
"""

from gaudi_lab._lazy_names import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, __file__)
