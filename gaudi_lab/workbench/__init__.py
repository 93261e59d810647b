"""The workbench: the only one who edits a user's model.

`lab` holds the state of this process: every model with switches, attached by the user or entered by a Trainer or
pipeline. `model` holds one of them, with the instruments on it and the handles that take them off again. `export`
writes the settings as code. `comparing` compares settings of `subjects`, which are models and `calls_to_compare`.
"""
