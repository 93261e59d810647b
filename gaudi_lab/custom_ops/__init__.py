"""The user's own operators: written in a cell, checked under it, used as any other operator.

`define` makes one from a cell or from functions, `definition` is what it was made from, `operator` is what the user
holds, `dispatcher` is how PyTorch knows it, by `torch_internals`; `promises` are looked at after every run.
`stand_ins` puts it into a live model, `ticking` has the table of ticks, with `examples` and `closeness`. `builds` has
the bodies in C++ and TPC-C and the loading of libraries, `as_code` writes an operator as the lines of a script.
"""
