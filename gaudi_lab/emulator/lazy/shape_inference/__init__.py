"""What an operator will return, before it runs.

`infer` is asked, once for equal operands: `shape_rules` tells it of the commonest operators, `meta_kernels` of those
whose kernels for meta tensors are known to be right, and PyTorch's fake tensors of all others.
"""
