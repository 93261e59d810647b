"""One model many ways: this package's modes beside PyTorch and its peers, in turns, in one process for each model.

`cases` has the models, `contenders` the ways, `one_case` measures one model and prints JSON, `report` makes the table.
"""
