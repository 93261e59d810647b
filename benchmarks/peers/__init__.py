"""One model many ways: this package's modes beside PyTorch and its peers, in turns, in one process for each model.

`cases` has the models, `contenders` the ways, `one_case` measures one model and prints JSON, `report` makes the table.
"""

BY_STEPS = "CPU eager, attention by steps"
BARE_SUBCLASS = "a bare tensor subclass"
BARE_RECORDER = "a bare recorder, then the HPU graph"
"""What is no peer, and shows what is the least that can be reached."""

GRAPH_FUSED = "HPU graph, openvino, FusedSDPA"
"""What a user may choose for a model whose attention runs by steps otherwise, as OpenVINO's and Inductor's does not."""
