"""The workbench: the only one who edits a user's model.

`lab` holds the state of this process: the attached models and the switches of all; `planning` says what a change asks
of each. `entries` knows whose switches a module has, also those of Trainers and pipelines; `compiles` watches over
compiles. `model` holds one model, with the instruments on it and the handles that take them off again. `export` writes
the settings as code, `travelling` carries what was set `aside` into another process, `comparing` compares settings of
`subjects`.
"""
