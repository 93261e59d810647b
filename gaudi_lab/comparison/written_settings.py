"""Settings as they show themselves, read: "lazy + HPU graphs + FusedSDPA (recompute, softmax fast)"."""

from __future__ import annotations

import re
from typing import Any

from gaudi_lab.errors import LabValueError
from gaudi_lab.settings import COMPILE, SWITCHES, Mode, NamedSwitch, Settings, Switch

_BY_NAME = {
    word.lower(): switch
    for switch in SWITCHES
    if switch is not COMPILE  # which is a mode
    for word in (switch.label, switch.name)
}


def parse_settings(text: str) -> Settings:
    """Return the settings that are written so.

    Raises
    ------
    LabValueError
        If a word is no mode, no switch, or no option of the switch that it stands behind.
    """
    (first, options), *switches = [_part(word, text) for word in text.split("+")]
    mode = _read_mode(first, text)
    of_mode = _read_options(COMPILE, options, text) if options and mode is Mode.COMPILE else {}
    if options and not of_mode:
        raise _unreadable(f"{first} mode has no options, and {text!r} gives it some", "compile (dynamic)")
    settings = Settings(mode, **of_mode)
    for word, options in switches:
        switch = _BY_NAME.get(word.lower())
        if switch is None:
            labels = ", ".join(switch.label for switch in SWITCHES if switch is not COMPILE)
            raise _unreadable(f"{word!r} in {text!r} is no switch; there are {labels}")
        if not isinstance(switch, NamedSwitch):
            settings = settings.replace(**switch.turn(True), **_read_options(switch, options, text))
        elif options:
            settings = settings.replace(**{switch.of: tuple(sorted(options))})
        else:
            raise _unreadable(f"{word!r} in {text!r} names none of them", f"lazy + {switch.label} (rms_norm)")
    return settings


def _part(text: str, whole: str) -> tuple[str, list[str]]:
    """Return a word, and the words in parentheses behind it."""
    found = re.fullmatch(r"\s*([^()]*?)\s*(?:\(([^()]*)\)\s*)?", text)
    if found is None:
        raise _unreadable(f"The parentheses in {whole!r} are not one pair behind each word")
    options = [" ".join(word.split()) for word in (found[2] or "").split(",")]
    return found[1], [word for word in options if word]


def _read_mode(word: str, text: str) -> Mode:
    try:
        return Mode.parse(word.lower())
    except LabValueError:
        modes = ", ".join(Mode)
        raise _unreadable(
            f"{text!r} begins with {word!r}, which is not an execution mode; there are {modes}"
        ) from None


def _read_options(switch: Switch, words: list[str], text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for word in words:
        for option in switch.options:
            if (value := option.read(word)) is not None:
                together = (*found.get(option.field, ()), *value) if isinstance(value, tuple) else value
                found[option.field] = together
                break
        else:
            there_are = [option.describe(value) for option in switch.options for value in option.choices]
            raise _unreadable(
                f"{word!r} in {text!r} is no option of {switch.label}; there are {', '.join(there_are) or 'none'}"
            )
    return found


def _unreadable(why: str, instead: str = "lazy + HPU graphs") -> LabValueError:
    return LabValueError(
        f"{why}.",
        python=f'gaudi_lab.compare(model, settings=["eager", "{instead}"])',
        magic=f'%gaudi_compare --settings "eager; {instead}" model(**batch)',
    )
