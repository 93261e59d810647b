"""What the project holds itself to: each limit measured, and told as met or not.

`limit` is one of them, `operators`, `calls`, `starting` and `memory` measure, `measure` runs one of these in a process
of its own, and `targets` reads what the table of peers and the curves of growth say.
"""

GROUPS = ("operators", "calls", "starting", "memory")
"""What can be measured, by the module that does."""
