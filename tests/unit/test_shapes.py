from gaudi_lab.shapes import Shape, text


def test_a_size_reads_outermost_dimension_first():
    assert str(Shape("x", (2, 3, 4))) == "2×3×4"
    assert str(Shape("x", (7,))) == "7"
    assert str(Shape("x", ())) == "scalar"
    assert str(Shape("x", (0, 4))) == "0×4"


def test_equal_sizes_are_said_once_and_different_ones_by_name():
    assert text((Shape("input_ids", (8, 14)), Shape("attention_mask", (8, 14)))) == "8×14"
    assert text((Shape("sample", (2, 4, 8, 8)), Shape("timestep", ()))) == "sample 2×4×8×8, timestep scalar"
    assert text(()) == "no tensors"


def test_shapes_are_values():
    assert {Shape("x", (1,)), Shape("x", (1,)), Shape("y", (1,))} == {Shape("x", (1,)), Shape("y", (1,))}
    assert sorted([Shape("b", (1,)), Shape("a", (2,)), Shape("a", (1, 9))])[0] == Shape("a", (1, 9))
