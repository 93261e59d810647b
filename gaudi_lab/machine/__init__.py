"""What the machine says beside the bridge, when the bridge only says that something failed.

`holders` finds the processes that have a Gaudi open, and `habana_logs` reads what Intel's software wrote when a graph
did not compile. Neither loads the bridge or torch, and both say nothing where they find nothing.
"""
