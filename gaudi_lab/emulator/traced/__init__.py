"""What a compiler traces: `torch.compile` and operators that take functions.

`dynamo` is the backend `hpu_backend`; `host_graph` moves a traced graph to the host; `higher_order` runs
`flex_attention`, `torch.cond` and their like there.
"""
