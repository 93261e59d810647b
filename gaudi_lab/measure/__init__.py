"""Warm-up, measured: `gaudi_lab.warmup(function)` and whoever runs batches of its own.

`recorder` measures iterations and watches models meanwhile; `causes` says why an iteration compiled; `timeline` is
what comes out, as plain values.
"""
