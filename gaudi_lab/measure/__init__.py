"""Warm-up, measured: `gaudi_lab.warmup(function)` and whoever runs batches of its own.

`recorder` measures iterations and watches models meanwhile; `causes` says why an iteration compiled; `timeline` is
what comes out, as plain values; `steady` remembers what steady calls took, by size.

`forecast` says what batches will bring before they run: `batch_sizes` reads them, `prices` says what was measured so
far, `buckets` finds the lengths that cost least to pad to, and `bucket_collator` pads to them.
"""
