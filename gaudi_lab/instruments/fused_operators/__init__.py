"""Fused operators that stand in for parts of a live model, each recognised by what the part computes.

`catalogue` lists them: `rms_norms`, `rotary_embeddings` and `softmaxes` are Gaudi's own, and others can be added. Each
finds its places in a model by `place`, checked by `rounding`. `class_layers` puts an operator into a module and takes
it out, `renamed_call` where a forward calls a function by name; `saving` measures what it saves.
"""
