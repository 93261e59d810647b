from gaudi_lab.shapes import Shape, text


def test_equal_sizes_are_said_once_and_different_ones_by_name():
    assert text((Shape("input_ids", (8, 14)), Shape("attention_mask", (8, 14)))) == "8×14"
    assert text((Shape("sample", (2, 4, 8, 8)), Shape("timestep", ()))) == "sample 2×4×8×8, timestep scalar"
    assert text(()) == "no tensors"
