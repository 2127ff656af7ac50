"""Compares the items of an agent's answers."""

from collections.abc import Iterable

from .agents import HELLO, Agent, Item, output_of


def check_same_items(agent: Agent, answers: Iterable[tuple[str, list[Item]]]) -> None:
    """Assert that all answers to HELLO have the items of `predict`, apart from their ids.

    Args:
        agent: The agent.
        answers: The items of each answer, with the way to call the agent in words.
    """
    predicted = _without_ids(output_of(agent, HELLO))
    others = [(way, _without_ids(items)) for way, items in answers]
    is_deterministic = predicted == _without_ids(output_of(agent, HELLO))
    for way, items in others:
        if is_deterministic:
            assert items == predicted, f"{way} returns {items}, but predict {predicted}."
        # An agent that varies its answers can still return the same types of items.
        types, expected = _types(items), _types(predicted)
        assert types == expected, f"{way} returns {types}, but predict {expected}."


def _types(items: list[Item]) -> set[str]:
    return {str(item.get("type")) for item in items}


def _without_ids(items: list[Item]) -> list[Item]:
    volatile = ("id", "call_id")
    return [{key: item[key] for key in item if key not in volatile} for item in items]
