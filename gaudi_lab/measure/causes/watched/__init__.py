"""The parts of the watch over one process.

`following` is what is remembered of a model and its calls. `telling` keeps what was compiled and tells who wants to
know. What compiles comes from three sides: `recorded_programs`, `traced_functions` and `captured_graphs`.
"""
