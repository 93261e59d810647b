"""`transformers.Trainer` on a Gaudi. A port from `optimum.habana` is a change of the import line.

`trainer` runs the stock loops; `training_args` checks its `arguments` by `rules`. `evaluation` measures one
evaluation, `evaluation_display` shows it, `evaluation_metrics` sums it up, `padding` fills its last batch up, and in
`several_processes` its metrics are those of one. `trainer_switches` reads the switches of a trainer's model from its
arguments, and `fused_kernels` are those of its training. `accelerate_state` keeps trainers on the CPU and on hpu apart.
Nothing in transformers or accelerate is patched.
"""

# Imported when first used: GaudiConfig needs no torch, and importing torch can decide the execution mode.
from gaudi_lab._lazy_names import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, __file__)
