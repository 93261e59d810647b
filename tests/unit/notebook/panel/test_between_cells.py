import threading

from gaudi_lab.notebook.panel.between_cells import BetweenCells


def test_what_is_asked_while_a_cell_runs_waits_for_its_end(shell):
    done, cells = [], BetweenCells(shell, lambda: None, lambda: None)
    shell.user_ns["ask"] = lambda: cells.do(lambda: done.append(cells.busy))
    shell.user_ns["done"] = done
    with cells.follow():
        shell.run_cell("ask(); during = list(done)").raise_error()
        assert shell.user_ns["during"] == []
        assert done == [False]
        cells.do(lambda: done.append("between"))
        assert done == [False, "between"]


def test_a_panel_that_a_cell_opens_knows_that_the_cell_runs(shell):
    shell.user_ns["made"] = []
    shell.user_ns["BetweenCells"] = lambda: BetweenCells(shell, lambda: None, lambda: None)
    shell.run_cell("made.append(BetweenCells().busy)").raise_error()
    assert shell.user_ns["made"] == [True]
    assert not BetweenCells(shell, lambda: None, lambda: None).busy


def test_what_another_thread_asks_for_is_done_on_the_main_one(shell):
    scheduled, where = [], []
    shell.kernel = type("Kernel", (), {"io_loop": type("Loop", (), {"add_callback": scheduled.append})})()
    cells = BetweenCells(shell, lambda: None, lambda: None)
    asking = threading.Thread(
        target=lambda: cells.do(lambda: where.append(threading.current_thread() is threading.main_thread()))
    )
    asking.start()
    asking.join()
    assert where == []
    scheduled.pop()()
    assert where == [True]


def test_a_cell_has_ended_although_what_waited_for_it_was_interrupted(shell):
    ended, cells = [], BetweenCells(shell, lambda: None, lambda: ended.append(cells.busy))

    def interrupt():
        raise KeyboardInterrupt

    shell.user_ns["ask"] = lambda: cells.do(interrupt)
    with cells.follow():
        shell.run_cell("ask()")
    assert ended == [False]
