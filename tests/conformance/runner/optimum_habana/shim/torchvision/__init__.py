"""Stands in for torchvision, which optimum-habana imports without declaring it, and PyPI has for CUDA only."""
