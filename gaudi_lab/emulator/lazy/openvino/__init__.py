"""OpenVINO as a compiler of recorded programs: Intel's own graph compiler for the CPU.

`constant_variants` is what `compilers` asks: a program with its parameters baked in, looked after at each call.
`conversion` makes it OpenVINO's, in operators from `openvino_operators`, and `openvino_import` loads OpenVINO.
"""
