"""What Dynamo tells of `torch.compile`, by names of PyTorch that are private ones and stand here alone.

They are those of torch 2.13 and later. `listening` follows what is traced, which is a `tracing`; `failing_guards` says
in what it differs from the closest graph there was, in the words of `guard_words`; `cache_entries` says which graph a
call is sent to.
"""
