"""Cells that several tests use. NAME stands for the name of the operator."""

GELU = """
def NAME(x: Tensor, scale: float = 2.0) -> Tensor:
    return torch.nn.functional.gelu(x) * scale

def reference(x, scale=2.0):
    return torch.nn.functional.gelu(x) * scale

def setup_context(ctx, inputs, output):
    ctx.save_for_backward(inputs[0])
    ctx.scale = inputs[1]

def backward(ctx, grad):
    x, = ctx.saved_tensors
    inner = 0.5 * (1 + torch.erf(x * 0.5 ** 0.5)) + x * torch.exp(-x * x / 2) * 0.3989422804014327
    return grad * inner * ctx.scale, None
"""
