"""Why something compiled, and what to change.

`cause` is what comes out, as plain values. `recorded` reads the emulated bridge's account of recorded programs,
`guards` reads torch.compile's guards, and `signature` compares calls, which works on any bridge. `watching` gathers
what they tell while models run, from the sides in `watched`; `explaining` puts it into words, `remedies` says what to
change, and `history` keeps it, equal causes together. `graph_uses` follows whether what was made is used again. `seen`
is what is left where nothing of this is known: which shapes are new.
"""
