import threading

from gaudi_lab.notebook.panel.between_cells import Turns


def test_what_is_asked_while_a_cell_runs_waits_for_its_end(shell):
    done, turns = [], Turns(shell, lambda: None, lambda: None)
    shell.user_ns["ask"] = lambda: turns.take(lambda: done.append(turns.busy))
    shell.user_ns["done"] = done
    with turns.follow():
        shell.run_cell("ask(); during = list(done)").raise_error()
        assert shell.user_ns["during"] == []
        assert done == [False]
        turns.take(lambda: done.append("between"))
        assert done == [False, "between"]


def test_a_panel_that_a_cell_opens_knows_that_the_cell_runs(shell):
    shell.user_ns["made"] = []
    shell.user_ns["Turns"] = lambda: Turns(shell, lambda: None, lambda: None)
    shell.run_cell("made.append(Turns().busy)").raise_error()
    assert shell.user_ns["made"] == [True]
    assert not Turns(shell, lambda: None, lambda: None).busy


def test_what_another_thread_asks_for_is_done_on_the_main_one(shell):
    scheduled, where = [], []
    shell.kernel = type("Kernel", (), {"io_loop": type("Loop", (), {"add_callback": scheduled.append})})()
    turns = Turns(shell, lambda: None, lambda: None)
    asking = threading.Thread(
        target=lambda: turns.take(lambda: where.append(threading.current_thread() is threading.main_thread()))
    )
    asking.start()
    asking.join()
    assert where == []
    scheduled.pop()()
    assert where == [True]
