"""Numbers of eight and four bits.

`float8` says how eight bits round and scale. `casts` turn numbers into them and back, `gemm` and `float8_layers`
compute with them, `int4` unpacks four bits, and `quantization` has PyTorch's quantisation as the device computes it.
"""

from gaudi_lab.emulator.kernels.low_bits import casts, float8_layers, gemm, int4, quantization

__all__ = ["casts", "float8_layers", "gemm", "int4", "quantization"]
