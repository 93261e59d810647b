"""Bodies that have to be built: C++ for the host, TPC-C for the device, and libraries that were built elsewhere.

`cpp_body` compiles C++ once and keeps it by its hash. `tpc_tools` finds Intel's TPC tools, `tpc_kernel` compiles
TPC-C and runs it on their simulator. `built_library` loads what was built for a bridge, and refuses the wrong build.
"""
