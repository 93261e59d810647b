"""Which C++ compiler is found."""

import shutil

import pytest

from gaudi_lab.machine import cpp_compiler


@pytest.mark.parametrize(
    ("named", "there", "found"),
    [
        ("icpx", {"icpx", "g++"}, "icpx"),
        ("icpx", {"clang++"}, "clang++"),
        (None, {"g++", "clang++"}, "g++"),
        (None, {"icpx"}, None),
    ],
)
def test_the_one_that_the_environment_names_goes_first(named, there, found, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if name in there else None)
    monkeypatch.delenv("CXX", raising=False)
    if named is not None:
        monkeypatch.setenv("CXX", named)
    assert cpp_compiler.find() == (None if found is None else f"/usr/bin/{found}")
