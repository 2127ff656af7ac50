"""Compares the items of an agent's answers."""

import json
from collections.abc import Callable, Iterable

from .agents import HELLO, Agent, Item, output_of

REPEATS = 8  # two equal results can be a coincidence


def check_same_items(agent: Agent, answers: Iterable[tuple[str, list[Item]]]) -> None:
    """Assert that all answers to HELLO have the items of `predict`, apart from their ids.

    Items of the same type may have another order: tools that run concurrently end in any order.

    Args:
        agent: The agent.
        answers: The items of each answer, with the way to call the agent in words.
    """

    def predict() -> list[Item]:
        return _without_ids(output_of(agent, HELLO))

    predicted = predict()
    others = [(way, _without_ids(items)) for way, items in answers]
    for way, items in others:
        is_same = _sorted(items) == _sorted(predicted)
        assert is_same or not is_constant(lambda: _sorted(predict()), _sorted(predicted)), (
            f"{way} returns {items}, but predict {predicted}."
        )
        # An agent that varies its answers can still return the same types of items.
        types, expected = set(_types(items)), set(_types(predicted))
        assert types == expected, f"{way} returns {types}, but predict {expected}."


def is_constant(call: Callable[[], object], expected: object) -> bool:
    """Return whether a call has the same result again and again, neither random nor of a clock."""
    return all(call() == expected for _ in range(REPEATS))


def _types(items: list[Item]) -> list[str]:
    return [str(item.get("type")) for item in items]


def _sorted(items: list[Item]) -> tuple[list[str], list[str]]:
    """Return the types of items in order, and the items in an order of their own."""
    return _types(items), sorted(json.dumps(item, sort_keys=True, default=str) for item in items)


def _without_ids(items: list[Item]) -> list[Item]:
    volatile = ("id", "call_id")
    return [{key: item[key] for key in item if key not in volatile} for item in items]
