"""Lazy mode, in reading order: record, shape_inference, program, compile, replay.

`record` collects operators on the tape, in a trie; `shape_inference` says what each will return, and `program` is the
outcome as plain data. `compile` makes it run: by `replay`, which calls the operators one after the other, or by
`inductor` or `openvino`, which see it as a `recorded_graph` and which `agreement` believes once their results are
those of a step-by-step run; `compilers` has the choice. `recipes` keeps compiled programs on disk, and `failed_step`
says of an error which step raised it.
`capture` builds HPU graphs on top: it is told of every program that has run.
"""
