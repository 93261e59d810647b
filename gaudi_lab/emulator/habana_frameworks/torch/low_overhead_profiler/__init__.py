"""The profiler of the host's work between an operator and the device."""
