"""`gaudi-lab tour`: which notebooks there are. `tests/processes` runs some."""

import pytest

from gaudi_lab.cli import tour


def test_tutorials_are_those_of_the_checkout():
    assert (tour.notebooks_folder() / tour.FIRST).exists()


def test_without_a_checkout_it_says_where_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(tour, "__file__", str(tmp_path / "gaudi_lab" / "cli" / "tour.py"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="folder `notebooks` of a checkout"):
        tour.notebooks_folder()
