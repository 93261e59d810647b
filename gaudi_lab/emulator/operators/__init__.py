"""Which way each operator goes.

`dispatch` chooses: `eager` runs it at once, `lazy` records it. `factories` are the operators without an `hpu` argument,
`transfer` copies between host and device, `in_place_views` changes a tensor in place, `conjugate` and `rnn` take
operators apart, `host_operands` takes operands to the device, `collectives` and `fallback` run operators on the host,
`autocast` chooses their dtype.
"""
