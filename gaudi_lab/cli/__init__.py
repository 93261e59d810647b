"""The command `gaudi-lab`.

`main` parses; `run` starts a Gaudi script in a process of its own; `doctor` looks the machine over; `tour` opens the
tutorials, or runs them without a browser; `pages` makes HTML of a notebook.
"""
