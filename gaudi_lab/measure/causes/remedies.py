"""What to change, so that a cause does not come back: a line to run, or what to do with the line named.

A remedy is about the kind of cause. Whether it suits the program is for its author to judge, so each says what it
changes and none is applied by itself.
"""

from __future__ import annotations

from gaudi_lab.measure.causes.cause import Difference

_CACHES = ("past_key_values", "cache", "past_")


def for_differences(differences: tuple[Difference, ...], *, traced: bool = False) -> str:
    """Return what would have kept these differences from costing a compile; empty if nothing general is known.

    Parameters
    ----------
    differences
        All of one cause. The first one that has a remedy decides.
    traced
        Whether torch.compile was the one to compile.
    """
    for difference in differences:
        if remedy := _for(difference, traced=traced):
            return remedy
    return ""


def for_break(reason: str) -> str:
    """Return what to do about a place where torch.compile broke off, given its reason."""
    if "item()" in reason or "Tensor.item" in reason or "_local_scalar_dense" in reason:
        return "move the .item() out of the forward, or keep the value a tensor"
    if "dynamic shape" in reason.lower():
        return KEEP_SIZE
    if "data-dependent" in reason.lower():
        return "torch.where(condition, a, b) in place of the branch on a tensor's value"
    if "builtin" in reason and "print" in reason:
        return "take the print out of the forward"
    return "take this line out of the forward, or rewrite it with tensor operators"


def for_shadow(differences: tuple[Difference, ...]) -> str:
    """Return what makes one graph of two of which the newer takes the older one's calls.

    Parameters
    ----------
    differences
        For which the newer one was made.
    """
    for difference in differences:
        if difference.kind == "shape" and (dims := difference.dims):
            dim = 0 if dims == (-1,) else dims[-1]
            what = difference.what.partition(",")[0].partition(" and ")[0]
            return (
                f"torch._dynamo.mark_dynamic({what}, {dim}) before the first call: one graph in place of both"
            )
    return "make the call that the newer graph was compiled for first: it then serves both"


LAST_BATCH = (
    "if this is the last batch: drop_last=True in the DataLoader, or dataloader_drop_last=True or pad_last_batch=True "
    "in the Trainer's arguments"
)
KEEP_SIZE = "keep the size: torch.where(mask, x, 0) in place of x[mask]"
FORGOTTEN = "GAUDI_LAB_TRIE_CAPACITY=1000000 in the environment, before the bridge loads"
LIMIT = "torch._dynamo.config.recompile_limit = 64, or better take away what compiles again"


def _for(difference: Difference, *, traced: bool) -> str:
    what = difference.what.partition(",")[0].partition(" and ")[0]
    name = what.rpartition(".")[2]
    if difference.kind == "shape":
        return _for_shape(difference, what, traced=traced)
    if difference.kind == "mode":
        return _MODES.get(difference.what, "")
    if difference.what.endswith((" input", " inputs")):
        return ""
    if difference.what == "model":
        return "make the model once, outside of the loop"
    if difference.kind == "object" and difference.before:
        return f"the same kind of {what} in every call"
    if difference.what.startswith("length of "):
        return f"the same number of {difference.what.removeprefix('length of ')} in every call"
    if difference.kind == "scalar" and difference.now.startswith("["):
        return ""
    if difference.kind == "scalar" and "tensor" in difference.now + difference.before:
        return f"pass a tensor for {what} in every call, or a number in every call"
    if difference.kind == "scalar" and difference.now.lstrip("-").isdigit():
        return f"pass a tensor for the number, unless Python counts with it: torch.tensor({difference.now})"
    remedy = _REMEDIES.get(difference.kind, "")
    return remedy.format(what=what, name=name, now=difference.now, before=difference.before)


def _for_shape(difference: Difference, what: str, *, traced: bool) -> str:
    if any(word in what.lower() for word in _CACHES):
        return 'model.generate(..., cache_implementation="static")'
    before, now = (_sizes(text) for text in (difference.before, difference.now))
    if what == "an input":
        return ""
    if what.startswith("result of "):  # only values say how large it is
        return KEEP_SIZE
    if before is None or now is None or len(before) != len(now):
        return ""
    changed = [dim for dim, (a, b) in enumerate(zip(before, now, strict=True)) if a != b]
    if changed == [0]:
        if now[0] < before[0]:
            return LAST_BATCH
        return f"one batch size in every call, such as {max(before[0], now[0])}"
    dim = changed[-1]
    words = any(part in what for part in ("input_ids", "attention_mask", "token_type_ids", "labels"))
    if traced:
        return f"torch._dynamo.mark_dynamic({what}, {dim}), or pad {what} to a few sizes"
    longest = max(before[dim], now[dim])
    return f"pad {what} to a few sizes" + (
        f': tokenizer(..., padding="max_length", max_length={longest})' if words else f", such as {longest}"
    )


def _sizes(text: str) -> tuple[int, ...] | None:
    parts = text.split("×")
    return tuple(map(int, parts)) if all(part.isdigit() for part in parts) else None


_MODES = {
    "gradients": "with torch.no_grad(): around every call, or around none",
    "inference mode": "with torch.inference_mode(): around every call, or around none",
    "autocast": "with torch.autocast(...): around every call, or around none",
    "training": "model.eval() before the first call, and leave it there",
    "torch's default dtype": "torch.set_default_dtype before the first call, and leave it there",
}

_REMEDIES = {
    "dtype": "one dtype for {what} in every call: {before} or {now}",
    "strides": "{what} = {what}.contiguous() before the call",
    "scalar": "pass a tensor for the number: torch.tensor({now})",
    "optional": "pass {what} in every call, or in none",
    "attribute": "keep {name} as it is after the first call, or make it a tensor: a buffer",
    "global": "set {name} before the first call",
    "object": "make it once, outside of the loop",
    "results": "keep the same results of every call: del what an earlier one left",
    "operator": "the same operators in every call: torch.where in place of a Python branch",
    "passing": "pass {what} in the same way in every call",
    "gradient": "{what}.requires_grad_(...) the same for every call",
}
