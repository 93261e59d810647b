"""The device: memory, and tensors over it.

`memory` counts bytes; `cell` is the memory of one tensor, `tensor` the tensor that PyTorch sees, `uninitialized` one
without a shape yet. `schema` reads what an operator says of itself, `on_the_host` is where host tensors compute, and
`host_kernels` has the shortest way there.
`random` is the generator; `acquire` takes possession of the device; `events` tells what happened.
"""
