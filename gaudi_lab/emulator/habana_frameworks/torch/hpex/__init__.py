"""Gaudi's fused operators."""
