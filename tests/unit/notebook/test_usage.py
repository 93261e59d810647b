"""How a line of a magic is read: words, quotes, comments."""

import pytest
from IPython.core.error import UsageError

from gaudi_lab.notebook.usage import without_comment, words_of


@pytest.mark.parametrize(
    ("line", "rest"),
    [
        ("lazy   # it's one line", "lazy"),
        ("# all", ""),
        ("net#nothing", "net#nothing"),
        ('pipe("photo #1 of a cat")', 'pipe("photo #1 of a cat")'),
        (r"""f("a \" # b", '# c')  # d""", r"""f("a \" # b", '# c')"""),
        ("it's # here", "it's"),
    ],
)
def test_a_comment_begins_at_a_sign_that_is_not_in_quotes(line, rest):
    assert without_comment(line) == rest


def test_a_line_of_many_quotes_is_read_at_once():
    line = "f(" + "'a', " * 40 + "it's)"
    assert without_comment(line) == line


def test_what_is_in_quotes_is_one_word_without_them():
    line = """--drop 'thread worker' "NAME=a b" --path="runs.jsonl" names=["a",'b']"""
    assert words_of(line) == [
        "--drop",
        "thread worker",
        "NAME=a b",
        "--path=runs.jsonl",
        """names=["a",'b']""",
    ]
    with pytest.raises(UsageError, match="No closing quotation"):
        words_of("--path 'runs")
