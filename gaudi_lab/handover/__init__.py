"""A kernel process replaces itself in place, under another environment, and keeps the notebook.

`relaunching` has the order of it: `cell` says where in the cell it was asked for, `leaving` is the old process,
`arriving` the new one, and `account` the report. `live_widgets` keeps what is on screen alive, `kernel_versions` has
every private name of ipykernel. `companion` is what others bring to have their own things carried.
"""
