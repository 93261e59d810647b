"""The workbench: the only one who edits a user's model.

`lab` holds the state of this process: which models are attached and how their switches are set. `model` holds one
model with the instruments on it, and the handles that take them off again.
"""
