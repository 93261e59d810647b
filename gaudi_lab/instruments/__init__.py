"""Reversible edits of live models. Each returns a handle that undoes it."""
