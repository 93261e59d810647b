from habana_frameworks.torch import hpu as hpu
from habana_frameworks.torch.utils.internal import is_lazy as is_lazy
from .quantization import (
    hpu_inference_initialize as hpu_inference_initialize,
    hpu_inference_reset_env as hpu_inference_reset_env,
    hpu_inference_set_env as hpu_inference_set_env,
    hpu_initialize as hpu_initialize,
    hpu_reset_env as hpu_reset_env,
    hpu_set_env as hpu_set_env,
    hpu_set_inference_env as hpu_set_inference_env,
    hpu_teardown_inference_env as hpu_teardown_inference_env,
)
from .step_closure import add_step_closure as add_step_closure
from .step_closure import iter_mark_step as iter_mark_step
from .step_closure import mark_step as mark_step
from .torch_overwrites import overwrite_export_function as overwrite_export_function
from .torch_overwrites import (
    overwrite_native_pt2e_quantization_interface as overwrite_native_pt2e_quantization_interface,
)
from .torch_overwrites import overwrite_torch_functions as overwrite_torch_functions
from habana_frameworks.torch.dynamo.compile_backend.backends import import_compilers as import_compilers
from habana_frameworks.torch.dynamo.compile_backend.backends import import_hpu_partition as import_hpu_partition

def create_and_apply_on_import_wrapper(): ...
