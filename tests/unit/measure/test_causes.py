import gc

from gaudi_lab.measure.causes.cause import Cause
from gaudi_lab.measure.causes.seen import NotedCall, SeenShapes
from gaudi_lab.measure.iterations import all_causes
from gaudi_lab.shapes import Shape


class Model:
    pass


def call(model, *dims, name=""):
    return NotedCall(name, model, (Shape("input", dims),))


def texts(causes):
    return [str(cause) for cause in causes]


def test_a_shape_is_new_once():
    seen, model = SeenShapes(), Model()
    shapes, causes = seen.find_new([call(model, 3, 4), call(model, 3, 4)], "lazy")
    assert shapes == (Shape("input", (3, 4)),)
    assert texts(causes) == ["new shape 3×4"]
    assert seen.find_new([call(model, 3, 4)], "lazy") == ((), ())


def test_a_known_shape_under_other_switches_is_not_a_new_shape():
    seen, model = SeenShapes(), Model()
    seen.find_new([call(model, 3, 4)], "eager")
    shapes, causes = seen.find_new([call(model, 3, 4)], "lazy")
    assert shapes == ()
    assert texts(causes) == ["first time with lazy"]


def test_every_model_has_shapes_of_its_own_and_is_named():
    seen, one, other = SeenShapes(), Model(), Model()
    seen.find_new([call(one, 3, 4, name="one")], "lazy")
    shapes, causes = seen.find_new([call(other, 3, 4, name="other")], "lazy")
    assert shapes == (Shape("input", (3, 4)),)
    assert texts(causes) == ["new shape 3×4 for other"]


def test_remembering_keeps_no_model_alive():
    seen, model = SeenShapes(), Model()
    seen.find_new([call(model, 3, 4)], "lazy")
    del model
    gc.collect()
    assert len(seen._met) == 0


def test_what_was_counted_names_causes_that_shapes_do_not():
    none = {"compilations": 0, "captures": 0, "first_replays": 0, "fallbacks": ()}
    assert texts(all_causes((), **none)) == []
    assert texts(all_causes((), **none | {"compilations": 1})) == ["other operators or values"]
    assert texts(all_causes((), **none | {"captures": 2})) == ["captured 2 HPU graphs"]
    switched = (Cause("switch", "first time with lazy"),)
    assert texts(all_causes(switched, **none)) == ["first time with lazy"]
    assert texts(all_causes(switched, **none | {"captures": 1})) == ["captured an HPU graph"]
    assert texts(all_causes((), **none | {"compilations": 1, "first_replays": 1})) == ["first replay"]
    assert texts(all_causes((), **none | {"fallbacks": ("aten::nonzero",)})) == [
        "ran on the host: aten::nonzero"
    ]
