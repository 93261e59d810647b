"""Where candidates are tried, and what brings them there.

`resident` tries them in turn in this process. `fresh` has a process for each, whose side is `child`, and `on_ray` a
worker of Ray for each. For these two `packing` writes what runs as bytes, and `attempt` is one turn in a process in
which nothing was compiled before.

Each writes what it measures to a journal of `gaudi_lab.comparison.records`, and none makes a result of it.
"""
