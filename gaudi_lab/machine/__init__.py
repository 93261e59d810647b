"""What the machine says beside the bridge, when the bridge only says that something failed.

`holders` finds the processes that have a Gaudi open, and `habana_logs` reads what Intel's software wrote when a graph
did not compile. `cpp_compiler` finds the one that operators in C++ need. None loads the bridge or torch, and each says
nothing where it finds nothing.
"""
