"""The doctor says what is here and what to run for what is not."""

import importlib.metadata

import pytest

from gaudi_lab.cli import doctor
from gaudi_lab.machine.holders import Holder


def test_a_complete_environment_is_healthy():
    report = doctor.examine()
    lines = str(report)
    assert report.healthy
    assert importlib.metadata.version("torch") in lines
    assert "emulated on CPU" in lines


def test_a_missing_package_is_named_with_its_remedy(monkeypatch):
    version = importlib.metadata.version

    def without_diffusers(name):
        if name == "diffusers":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without_diffusers)
    report = doctor.examine()
    assert not report.healthy
    assert "pip install diffusers" in str(report)


@pytest.mark.parametrize(("value", "said"), [("1", "lazy"), ("0", "eager")])
def test_the_mode_asked_for_is_read_from_the_environment(monkeypatch, value, said):
    monkeypatch.setenv("PT_HPU_LAZY_MODE", value)
    assert f"{said} (PT_HPU_LAZY_MODE={value})" in str(doctor.examine())


def test_a_mode_that_is_none_comes_with_a_remedy(monkeypatch):
    monkeypatch.setenv("PT_HPU_LAZY_MODE", "2")
    report = str(doctor.examine())
    assert "neither 0 nor 1" in report
    assert "export PT_HPU_LAZY_MODE" in report


def test_no_compiler_says_what_needs_one(monkeypatch):
    monkeypatch.setattr(doctor.cpp_compiler, "find", lambda: None)
    assert "none: %%gaudi_op --cpp and GAUDI_LAB_COMPILER=inductor need one" in str(doctor.examine())


def test_who_holds_the_device_is_said(monkeypatch):
    assert "no process that can be seen from here holds it" in str(doctor.examine())
    monkeypatch.setattr(doctor.holders, "find", lambda: (Holder(4711, "the kernel of train.ipynb", 0.0),))
    assert "held by process 4711, the kernel of train.ipynb, started 1970-01-01" in str(doctor.examine())
