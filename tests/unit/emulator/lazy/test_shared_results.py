"""Results of a run that there was not."""

from __future__ import annotations

import torch

from gaudi_lab.emulator.lazy.program import Meta, Slot, Step
from gaudi_lab.emulator.lazy.shared_results import make_uncomputed

aten = torch.ops.aten


def meta(size, stride, offset=0, dtype=torch.float32):
    return Meta(torch.Size(size), stride, offset, dtype)


def test_a_view_lies_in_the_memory_of_what_it_is_of():
    steps = [
        Step(None, (), {}, None, 0),
        Step(aten.neg.default, [Slot(0)], {}, meta((2, 3), (3, 1)), 1),
        Step(aten.select.int, [Slot(1), 0, 1], {}, meta((3,), (1,), 3), 2),
        Step(aten.select.int, [Slot(2), 0, 2], {}, meta((), (), 5), 3),
        Step(aten.t.default, [Slot(0)], {}, meta((3, 2), (1, 3)), 4),
    ]
    host = torch.arange(6.0).view(2, 3)

    row, last, turned, whole = make_uncomputed(steps, (2, 3, 4, 1), [host])

    row.copy_(torch.tensor([3.0, 4.0, 5.0]))
    assert last == 5
    assert whole.isnan().tolist() == [[True] * 3, [False] * 3]
    assert torch.equal(turned, host.t())
    assert turned.data_ptr() == host.data_ptr()


def test_a_result_with_an_offset_has_memory_up_to_there():
    steps = [Step(aten.unsafe_split.Tensor, [], {}, [meta((2,), (1,)), meta((2,), (1,), 2)], 0)]

    first, second = make_uncomputed(steps, (0, 1), [])

    assert (first.storage_offset(), second.storage_offset()) == (0, 2)
    assert second.isnan().all()


def test_what_has_no_nan_is_memory_as_it_comes():
    steps = [Step(aten.ones.default, [[2]], {}, meta((2,), (1,), 0, torch.int64), 0)]

    (found,) = make_uncomputed(steps, (0,), [])

    assert (found.shape, found.dtype) == ((2,), torch.int64)
