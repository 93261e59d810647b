"""The device: memory, and tensors over it.

`memory` counts bytes; `cell` is the memory of one tensor, `tensor` the tensor that PyTorch sees, `uninitialized` one
without a shape yet; `random` is the generator; `acquire` takes possession of the device; `events` tells what happened.
"""
