"""The table of ticks under an operator's cell.

`run_checks` runs them all, `case` is the example that they share, `ticks` is what they return. `check_values` compares
results, `check_memory` looks around the tensors by `guarded_memory`, `check_promises` asks PyTorch's own checks,
`check_gradient`, `check_tpc` and `check_device` what their names say. `crash_trial` tries C++ in a child process first.
"""
