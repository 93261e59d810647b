"""Warm-up: where the first seconds went. `gaudi_lab.warmup(function)` measures it."""
