"""Which release is emulated."""

from __future__ import annotations

import pytest

from gaudi_lab.emulator.process import release


@pytest.fixture
def emulate(monkeypatch):
    """Return a function that asks for a release."""

    def ask(text):
        release.version.cache_clear()
        monkeypatch.setenv("GAUDI_LAB_BRIDGE_VERSION", text)

    yield ask
    release.version.cache_clear()


@pytest.mark.parametrize("text", ["1.19", "1.23.1", "1.24.1"])
def test_a_release_is_told_in_full_and_as_numbers(text, emulate):
    emulate(text)
    assert release.version().startswith(text)
    assert release.version().count(".") == 2
    assert release.release() == tuple(int(part) for part in text.split(".")[:2])


@pytest.mark.parametrize("text", ["", "1", "one.two", "1.16", "2.0", "1.25.0"])
def test_what_is_no_release_or_not_emulated_is_refused(text, emulate):
    emulate(text)
    with pytest.raises(ValueError, match=r"GAUDI_LAB_BRIDGE_VERSION"):
        release.version()


@pytest.mark.parametrize(("text", "mode"), [("1.17", "1"), ("1.20", "1"), ("1.21", "0"), ("1.24", "0")])
def test_lazy_is_the_default_mode_up_to_1_20(text, mode, emulate, monkeypatch):
    from gaudi_lab.emulator.process import autoload
    from gaudi_lab.emulator.process import mode as modes

    emulate(text)
    monkeypatch.delenv("PT_HPU_LAZY_MODE", raising=False)
    monkeypatch.delenv("PT_HPU_AUTOLOAD", raising=False)
    assert release.default_mode() == mode
    assert modes.from_environment() is (mode == "1")
    assert autoload.is_enabled() is (mode == "0")
