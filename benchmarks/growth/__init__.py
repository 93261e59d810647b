"""How cost grows: with batch size, with sequence length, and with the size of a graph.

`curves` measures in a process of its own and prints JSON, `plots` draws it.
"""

AXES = ("batch", "length", "graph")
"""What can grow."""
