"""Why something compiled, and what to change.

`cause` is what comes out, as plain values. `lazy` reads the emulated bridge's account of recorded programs, `dynamo`
reads torch.compile's guards, and `signature` compares calls, which works on any bridge. `watching` gathers what they
tell while models run; `history` keeps it, equal causes together; `remedies` says what to change. `seen` is what is
left where nothing of this is known: which shapes are new.
"""
