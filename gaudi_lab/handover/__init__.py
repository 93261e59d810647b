"""A notebook's process is replaced by another, and what the notebook had comes along.

`snapshot` carries a namespace through a folder on disk, `objects` says how objects become bytes, `check` loads a
snapshot in a process of its own, `surroundings` are what a process has beside its names, `rerun` finds the cell that
made a name anew, and `kept` are the snapshots that lie there. Nothing here knows which device a tensor is on.
"""
