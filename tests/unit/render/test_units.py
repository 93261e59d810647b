import pytest

from gaudi_lab.render import units


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (8.1234, "8.12 s"),
        (0.04131, "41.3 ms"),
        (0.9999, "1.00 s"),
        (0.000331, "331 µs"),
        (0.0009996, "1.00 ms"),
        (2e-8, "0.02 µs"),
        (125.0, "125 s"),
        (0, "0 s"),
        (None, "–"),
    ],
)
def test_seconds_have_three_digits(value, text):
    assert units.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(512, "512 B"), (1536, "1.50 KiB"), (90_900_000, "86.7 MiB"), (96 << 30, "96.0 GiB")]
)
def test_sizes_are_binary(value, text):
    assert units.size(value) == text


def test_nouns_agree_with_their_number():
    assert [units.count(n, "graph") for n in (0, 1, 2)] == ["no graphs", "1 graph", "2 graphs"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(1612.3, "1,610"), (99.97, "100"), (41.31, "41.3"), (4.725, "4.72"), (0.0712, "0.0712")],
)
def test_numbers_have_three_digits_and_no_exponent(value, text):
    assert units.number(value) == text
