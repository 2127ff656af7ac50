"""Whether an agent gives the same items in whatever way it is asked."""

from collections.abc import Iterable, Iterator

from .agents import HELLO, Item, Subject, output_of


def check_same_items(agent: Subject, ways: Iterable[tuple[str, list[Item]]]) -> None:
    """Assert that asking for HELLO gives the items of `predict`, ids aside.

    Args:
        agent: The agent.
        ways: Each way that was asked, in words that a sentence begins with, and its items.
    """
    predicted = list(without_ids(output_of(agent, HELLO)))
    given = [(way, list(without_ids(items))) for way, items in ways]
    again = list(without_ids(output_of(agent, HELLO)))
    for way, items in given:
        if predicted == again:
            assert items == predicted, f"{way} gave {items}, but predicted {predicted}."
        # An agent that never says the same twice can still give the same kinds of items.
        kinds, kinds_predicted = kinds_of(items), kinds_of(predicted)
        assert kinds == kinds_predicted, f"{way} gave {kinds}, but predicted {kinds_predicted}."


def kinds_of(items: list[Item]) -> set[str]:
    """The types that occur among items."""
    return {str(item.get("type")) for item in items}


def without_ids(items: list[Item]) -> Iterator[Item]:
    """Items without what is new in every answer."""
    for item in items:
        yield {key: value for key, value in item.items() if key not in ("id", "call_id")}
