"""A kernel's process is replaced in place by one under another environment, and what the notebook had comes along.

`relaunching` has the order of it, `verify` tries the snapshot in the new environment, `arriving` is the new process,
`account` the report, and `companion` what others bring to have their own things carried. `kernel` knows the kernel's
process. `snapshot` carries a namespace through a folder on disk, `objects` says how objects become bytes, `check`
loads a snapshot in a process of its own, `surroundings` are what a process has beside its names, `rerun` finds the
cell that made a name anew, and `kept` are the snapshots that lie there. Nothing here knows which device a tensor is on.
"""
