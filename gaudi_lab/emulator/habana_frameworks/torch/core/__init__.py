"""`habana_frameworks.torch.core`, known as `htcore`: step markers and inference helpers."""

from gaudi_lab.emulator.process.release import release

from .. import hpu
from ..utils.internal import is_lazy
from . import module_names, overwrites, weight_sharing
from .quantization import (
    hpu_inference_initialize,
    hpu_initialize,
    hpu_reset_env,
    hpu_set_env,
    hpu_set_inference_env,
    hpu_teardown_inference_env,
)
from .step_closure import add_step_closure, iter_mark_step, mark_step

overwrites.install()
if is_lazy():
    module_names.install()
    if weight_sharing.asked_for():
        weight_sharing.install()
else:
    from ..dynamo import compile_backend
if release() >= (1, 21):
    from .quantization import hpu_inference_reset_env, hpu_inference_set_env

__all__ = [
    "add_step_closure",
    "hpu",
    "hpu_inference_initialize",
    "hpu_initialize",
    "hpu_reset_env",
    "hpu_set_env",
    "hpu_set_inference_env",
    "hpu_teardown_inference_env",
    "iter_mark_step",
    "mark_step",
]
