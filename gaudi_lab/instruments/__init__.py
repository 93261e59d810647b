"""Reversible edits of live models. Each returns a handle that undoes it.

`graphs` captures HPU graphs, `attention` switches to FusedSDPA with one file for each library, `compiling` compiles in
place or by regions, `calls` watches calls. `components` says which modules of a user's object do the work,
`call_shapes` what they are called with, `nested` what is inside of that and of results; `handle` is what undoes.
"""
