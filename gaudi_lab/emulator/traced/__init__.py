"""What a compiler traces: `torch.compile` and operators that take functions.

`dynamo` is the backend `hpu_backend`; `host_graph` moves a traced graph to the host, and `checked_graph` compares what
a compiler made of it with the graph run step by step. `higher_order` runs `flex_attention`, `torch.cond` and their
like there. `description`, `constants` and `one_size` tell PyTorch how a tensor of the device is traced.
"""
