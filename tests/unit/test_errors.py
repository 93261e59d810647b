from gaudi_lab.errors import LabError, LabValueError, first_line


def test_each_reader_gets_a_line_to_run():
    error = LabError("It cannot.", python="do()", magic="%do")
    assert str(error) == "It cannot. Run: do()"
    assert error.for_notebook() == "It cannot. Run: %do"


def test_without_a_magic_the_notebook_gets_python():
    assert LabError("It cannot.", python="do()").for_notebook() == "It cannot. Run: do()"
    assert LabError("It cannot.").for_notebook() == "It cannot."


def test_python_programs_can_catch_them_as_they_are_used_to():
    assert issubclass(LabError, RuntimeError)
    assert issubclass(LabValueError, ValueError)


def test_of_an_error_of_dynamo_the_first_line_is_what_it_met():
    told = "RuntimeError when making fake tensor call\n  Explanation: node (4,): got RuntimeError('no shape')\n  Hint"
    assert first_line(told) == "RuntimeError('no shape')"
    assert first_line("no: got Out(1)\nmore") == "no: got Out(1)"
    assert first_line("") == ""
