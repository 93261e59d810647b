import pytest

from gaudi_lab.diffusers.output import BatchTime, throughput

FIRST = BatchTime(4, 10.0, (7.0, 1.0, 1.0, 1.0))
LATER = BatchTime(4, 4.0, (1.0, 1.0, 1.0, 1.0))
LAST = BatchTime(2, 4.0, (1.0, 1.0, 1.0, 1.0))


def test_warm_up_batches_are_left_out_where_there_are_more():
    assert throughput([FIRST, LATER, LAST], 1) == pytest.approx(6 / 8)
    assert throughput([FIRST, LATER, LAST], 0) == pytest.approx(10 / 18)


def test_otherwise_warm_up_steps_count_as_average_ones():
    assert throughput([FIRST], 1) == pytest.approx(4 / 4)
    assert throughput([FIRST, LATER], 3) == pytest.approx(8 / (14 - 9 + 3))


def test_without_later_steps_nothing_is_left_out():
    assert throughput([FIRST], 4) == pytest.approx(4 / 10)
