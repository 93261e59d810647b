"""How the objects of a notebook become bytes and come back, with everything that they share.

`carrier` is the pickler, `landmarks` what every process has of its own, `refusals` what cannot travel, `reach` how to
get to it. `functions`, `everyday`, `open_files`, `of_numpy`, `of_torch` and `of_accelerate` know kinds of objects.
`groups` finds what shares references, `blocks` keeps large memory, `canonical_hash` compares what came back.
"""
