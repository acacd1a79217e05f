"""Items that repeat one another come in; which of them stays for each, whatever the history of edits, goes out."""

import heapq
from collections.abc import Callable, Hashable, Iterable, Mapping
from operator import itemgetter
from typing import Any, TypeVar

Item = TypeVar("Item", bound=Hashable)


def settle(
    changed: Iterable[Item],
    *,
    order: Callable[[Item], Any],
    neighbours: Callable[[Item], Iterable[Item]],
    verdicts: Mapping[Item, Item | None],
) -> dict[Item, Item | None]:
    """Return the verdicts that change: an item's keeper, the earliest kept item that it repeats, or None to keep it.

    An item is kept if none of its earlier neighbours is. `order` gives each item its place, no two the same;
    `neighbours` the items present that it repeats, both ways round, in any order; `verdicts` holds what was settled
    before, of the items still present. `changed` are the items that were added, and of each that was removed, its
    neighbours. An item whose place or text changed was removed and added: take it out of `verdicts` first. The result,
    put into `verdicts`, then equals that of settling all items from nothing; only what can change is looked at.
    """
    settled: dict[Item, Item | None] = {}
    queue = [(order(item), item) for item in set(changed)]
    heapq.heapify(queue)
    while queue:
        place, item = heapq.heappop(queue)
        if item in settled:
            continue
        around = sorted(((order(other), other) for other in neighbours(item)), key=itemgetter(0))
        earlier = (other for at, other in around if at < place)
        keeper = next((other for other in earlier if settled.get(other, verdicts.get(other, other)) is None), None)
        settled[item] = keeper
        was_kept = item in verdicts and verdicts[item] is None
        if was_kept != (keeper is None):
            for at, other in around:
                if at > place:
                    heapq.heappush(queue, (at, other))
    return {item: keeper for item, keeper in settled.items() if item not in verdicts or verdicts[item] != keeper}
