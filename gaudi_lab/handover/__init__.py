"""A kernel process replaces itself in place, under another environment, and keeps the notebook.

`relaunching` has the order of it, `arriving` is the new process, `account` the report. `companion` is what others
bring to have their own things carried. `kernel` knows the kernel's process.
"""
