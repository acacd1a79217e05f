"""Which of several alike items stays: the same after any edits as when all are settled at once."""

from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from loaders.settling import settle

ITEMS = range(12)
edges = st.sets(st.tuples(st.sampled_from(ITEMS), st.sampled_from(ITEMS)).filter(lambda pair: pair[0] < pair[1]))
edits = st.lists(st.tuples(st.sets(st.sampled_from(ITEMS)), st.sets(st.sampled_from(ITEMS))), max_size=8)


@settings(max_examples=300)
@given(edges, edits, st.permutations(ITEMS))
def test_any_edits_settle_as_all_at_once(
    alike: set[tuple[int, int]], steps: list[tuple[set[int], set[int]]], places: list[int]
) -> None:
    present: set[int] = set()

    def near(item: int) -> Iterable[int]:
        return [other for other in present if {(item, other), (other, item)} & alike]

    verdicts: dict[int, int | None] = {}
    for added, removed in steps:
        gone = removed & present
        touched = {other for item in gone for other in near(item)} - gone
        present = (present - gone) | added
        for item in gone:
            del verdicts[item]
        changed = touched | (added - verdicts.keys())
        verdicts |= settle(changed, order=places.__getitem__, neighbours=near, verdicts=verdicts)
        assert verdicts == settle(present, order=places.__getitem__, neighbours=near, verdicts={})
        for item, keeper in verdicts.items():
            earlier_kept = [o for o in near(item) if places[o] < places[item] and verdicts[o] is None]
            assert keeper == min(earlier_kept, key=places.__getitem__, default=None)


def test_only_what_can_change_is_looked_at() -> None:
    asked = []

    def near(item: int) -> list[int]:
        asked.append(item)
        return [item - 1, item + 1]

    alternating = {item: None if item % 2 else item - 1 for item in range(1, 1001)}
    assert settle([1000], order=int, neighbours=near, verdicts=alternating) == {}
    assert asked == [1000]


def test_what_repeats_only_a_dropped_item_stays() -> None:
    around = {"0": ["1"], "1": ["0", "2"], "2": ["1"]}
    assert settle("012", order=int, neighbours=around.__getitem__, verdicts={}) == {"0": None, "1": "0", "2": None}
