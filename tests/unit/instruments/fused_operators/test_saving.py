"""What a call takes: operators, and memory."""

import gc

import torch

from gaudi_lab.instruments.fused_operators import saving


def test_what_earlier_calls_left_in_cycles_is_not_taken_from_what_a_call_needs(workbench):
    x = torch.zeros(1024, device="hpu")

    class Cycle:
        def __init__(self):
            self.me, self.tensor = self, torch.zeros(4096, device="hpu")

    def run():
        gc.collect()
        return x + 1

    gc.collect()
    taken = saving.measure(run)
    Cycle()
    assert saving.measure(run) == taken
    assert taken.memory >= x.nbytes
