"""The recipe cache on disk."""

from __future__ import annotations

import os

import pytest

from gaudi_lab.emulator.lazy import recipes


@pytest.fixture
def cache(tmp_path):
    return recipes.DiskCache(tmp_path / "recipes")


def test_what_was_stored_is_found_under_its_key_only(cache):
    cache.store("a", b"code")
    assert cache.load("a") == b"code"
    assert cache.load("b") is None


def test_another_process_finds_it_and_delete_empties(cache, tmp_path):
    cache.store("a", b"code")
    (tmp_path / "recipes" / "notes.txt").write_text("mine")
    assert recipes.DiskCache(tmp_path / "recipes").load("a") == b"code"
    assert recipes.DiskCache(tmp_path / "recipes", delete=True).load("a") is None
    assert (tmp_path / "recipes" / "notes.txt").exists()


def test_the_least_recently_used_makes_room(tmp_path):
    cache = recipes.DiskCache(tmp_path, limit=20)
    for number, key in enumerate("abc"):
        cache.store(key, b"8 bytes.")
        os.utime(tmp_path / f"{key}.recipe", (number, number)) if key != "c" else None
    assert [cache.load(key) is not None for key in "abc"] == [False, True, True]


def test_a_folder_that_became_unusable_keeps_nothing_and_breaks_nothing(cache, tmp_path):
    (tmp_path / "recipes").rmdir()
    cache.store("a", b"code")
    assert cache.load("a") is None


def test_a_folder_of_somebody_else_is_read(cache, monkeypatch):
    def refuse(*_):
        raise PermissionError

    cache.store("known", b"recipe")
    monkeypatch.setattr("os.utime", refuse)
    assert cache.load("known") == b"recipe"


def test_a_recipe_that_cannot_be_read_is_as_none(cache, tmp_path):
    (tmp_path / "recipes" / "known.recipe").mkdir()
    assert cache.load("known") is None


def test_what_cannot_be_written_leaves_no_file_behind(cache, tmp_path):
    with pytest.raises(TypeError):
        cache.store("a", object())
    assert list((tmp_path / "recipes").iterdir()) == []


def test_a_key_tells_its_parts_apart_and_is_the_same_again():
    assert recipes.key_of(["a", 1]) == recipes.key_of(["a", 1])
    assert len({recipes.key_of(parts) for parts in (["a", 1], ["a", "1"], ["a1"], ["a"], [1, "a"])}) == 5


@pytest.mark.parametrize(
    ("text", "path", "delete", "limit"),
    [
        ("", None, False, 1024 * 2**20),
        ("here", "here", False, 1024 * 2**20),
        ("here,true,3", "here", True, 3 * 2**20),
        (" here , False , 0 , true", "here", False, 0),
    ],
)
def test_the_configuration_is_read_field_by_field(text, path, delete, limit, monkeypatch):
    monkeypatch.setenv("PT_HPU_RECIPE_CACHE_CONFIG", text)
    found = recipes.read_config()
    assert (found.path and str(found.path), found.delete, found.limit) == (path, delete, limit)


@pytest.mark.parametrize("text", ["here,perhaps", "here,true,many", "here,true,1,false,more"])
def test_a_field_that_is_none_of_its_kind_is_refused(text, monkeypatch):
    monkeypatch.setenv("PT_HPU_RECIPE_CACHE_CONFIG", text)
    with pytest.raises(ValueError, match="PT_HPU_RECIPE_CACHE_CONFIG"):
        recipes.read_config()
