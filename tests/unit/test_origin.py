"""Where in somebody's program something happens."""

import warnings

from gaudi_lab import origin


def warned(source, monkeypatch, libraries):
    """Run source of `program.py` that may call `through`, a function of `library.py`; return the warnings."""
    names = {"__name__": "program", "warn": origin.warn}
    exec(compile("def through(text):\n    warn(text)\n", "library.py", "exec"), names)
    monkeypatch.setattr(origin, "is_library", lambda file: file in (origin.__file__, *libraries))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        exec(compile(source, "program.py", "exec"), names)
    return [(str(x.message), x.filename, x.lineno) for x in told]


def test_a_warning_is_about_the_line_that_belongs_to_no_library(monkeypatch):
    told = warned("\nthrough('look here')", monkeypatch, ["library.py"])
    assert told == [("look here", "program.py", 2)]


def test_where_all_lines_are_a_library_s_it_is_given_all_the_same(monkeypatch):
    monkeypatch.setattr(origin, "is_library", lambda _: True)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        origin.warn("nobody's line")
    assert [(str(x.message), x.filename) for x in told] == [("nobody's line", __file__)]
