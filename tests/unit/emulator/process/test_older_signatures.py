"""Functions as an older release has them."""

from __future__ import annotations

import inspect

import pytest

from gaudi_lab.emulator.process.older_signatures import narrow_signature


def newest(a, b=2, *, later=None, changed=True):
    """Say what came."""
    return a, b, later, changed


older = narrow_signature(newest, without=["later"], changed=None)


def test_it_calls_the_newest_with_the_older_defaults():
    assert older(1) == (1, 2, None, None)
    assert older(1, b=3, changed=True) == newest(1, 3) == (1, 3, None, True)


def test_what_the_older_release_does_not_take_is_refused_by_name():
    with pytest.raises(TypeError, match=r"newest\(\) .*later"):
        older(1, later=1)


def test_it_shows_the_older_signature_and_the_same_documentation():
    assert str(inspect.signature(older)) == "(a, b=2, *, changed=None)"
    assert older.__doc__ == newest.__doc__
