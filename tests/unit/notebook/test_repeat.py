from gaudi_lab.notebook import repeat


def ran(source, times=2):
    once, again = repeat.parts(source)
    names = {"log": []}
    repeat.run(once, names)
    for _ in range(times):
        repeat.run(again, names)
    return names


def test_what_is_above_a_last_expression_runs_once():
    assert ran("log.append('setup')\nx = 1\nlog.append('work')")["log"] == ["setup", "work", "work"]


def test_a_cell_without_a_last_expression_runs_as_a_whole():
    assert ran("log.append('a')\nx = len(log)")["x"] == 2


def test_names_stay_set():
    assert ran("x = 3\nx + 1")["x"] == 3
