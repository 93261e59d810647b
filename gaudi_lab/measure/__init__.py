"""Warm-up, measured: `gaudi_lab.warmup(function)` and whoever runs batches of its own.

`recorder` measures iterations and watches models meanwhile; `causes` says why an iteration compiled; `timeline` is
what comes out, as plain values; `steady` remembers what steady calls took, by size.

`forecast` says what batches will bring before they run, and `forecasting` makes it: `batch_sizes` reads them,
`changing_lengths` finds what may be padded, `prices` says what was measured so far, `buckets` finds the lengths that
cost least to pad to, and `bucket_collator` pads to them. `frames` gives results to pandas.
"""
