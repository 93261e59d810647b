from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from gaudi_lab.measure import buckets
from gaudi_lab.measure.buckets import Load, Plan, best_plans

LOADS = st.lists(
    st.builds(Load, st.integers(1, 3), st.integers(1, 12), st.integers(1, 4)), min_size=1, max_size=8
)
KNOWN = st.sets(st.tuples(st.integers(1, 3), st.integers(1, 14)), max_size=4)
PRICES = st.sampled_from([0.0, 1.0, 3.0, 10.0, 100.0])


def lay(loads, known, boundaries):
    """Return the plan that boundaries are, by padding every batch by itself."""
    shapes, padding = set(), 0
    for load in loads:
        bucket = min(x for x in boundaries if x >= load.length)
        shapes.add((load.rows, bucket))
        padding += load.rows * load.batches * (bucket - load.length)
    return Plan(tuple(boundaries), len(shapes - known), padding)


def by_trying_all(loads, known, a_shape, an_element, most):
    rows = {x.rows for x in loads}
    candidates = sorted({x.length for x in loads} | {length for count, length in known if count in rows})
    for number in range(1, min(most, len(candidates)) + 1):
        yield min(
            lay(loads, known, chosen).cost(a_shape, an_element)
            for chosen in combinations(candidates, number)
            if chosen[-1] >= max(x.length for x in loads)
        )


@settings(max_examples=150, deadline=None)
@given(LOADS, KNOWN, PRICES, PRICES)
def test_the_plan_for_every_number_of_buckets_is_the_cheapest_there_is(loads, known, a_shape, an_element):
    found = best_plans(loads, known, a_shape=a_shape, an_element=an_element, most=4)
    costs = [plan.cost(a_shape, an_element) for plan in found]
    assert costs == list(by_trying_all(loads, known, a_shape, an_element, 4))
    for number, plan in enumerate(found, 1):
        assert len(plan.buckets) == number
        assert plan == lay(loads, known, plan.buckets)


def test_a_length_that_is_compiled_already_is_padded_to_if_that_is_cheaper():
    loads = [Load(8, 30), Load(8, 32)]
    (cheap, *_) = best_plans(loads, {(8, 40)}, a_shape=1000.0)
    assert (cheap.buckets, cheap.new_shapes) == ((40,), 0)
    (dear, *_) = best_plans(loads, {(8, 40)}, a_shape=1.0)
    assert dear.buckets == (32,)


def test_boundaries_are_multiples_of_what_is_asked_for():
    plans = best_plans([Load(2, length) for length in (3, 9, 17)], multiple_of=8)
    assert [plan.buckets for plan in plans] == [(24,), (8, 24), (8, 16, 24)]


def test_of_many_lengths_the_longest_is_always_a_boundary(monkeypatch):
    monkeypatch.setattr(buckets, "MOST_CANDIDATES", 10)
    loads = [Load(1, length) for length in range(1, 500)]
    assert all(plan.buckets[-1] == 499 for plan in best_plans(loads))


def test_without_batches_there_is_no_plan():
    assert best_plans([]) == []
