"""Describes the state that an agent keeps on its instance, its classes and in its modules."""

import os
import re
import sys
from collections import deque
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from gc import get_referents
from logging import LoggerAdapter
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from .leftovers import state_of_process
from .modules import imported_files

PLAIN = (str, bytes, int, float, complex, bool, type(None))
# Clients of services, whose headers and cookies are sent with every request.
CLIENTS = {"httpx.Client", "httpx.AsyncClient", "requests.sessions.Session"}
# A function with a cache, and how its dictionary refers to its results.
CachedFunction = type(cache(repr))
LINK = "_lru_list_elem"
CACHED = "()"  # in the path of a cached result
MAX_DEPTH = 6
MAX_LENGTH = 200


@dataclass(frozen=True, eq=False)
class Identity:
    """The description of an object; equal only to descriptions of the same object.

    It keeps the object, so that no new object gets the same address before states are compared.
    """

    value: Any
    length: int | None = None

    def __eq__(self, other: object) -> bool:
        is_same = isinstance(other, Identity) and self.value is other.value
        return is_same and self.length == other.length


State = dict[str, str | Identity]


def state_of(instance: Any, model: Path) -> State:
    """Describe all values of an agent and of the code of its model.

    Args:
        instance: The agent.
        model: The folder of its model; only objects of code in this folder are inspected.

    Returns:
        A description per path, such as `{"Agent.limits[0]": "3"}`. Objects are described by their
        identity.
    """
    own = {name: file for name, file in imported_files().items() if file.is_relative_to(model)}
    walk = _Walk({*own, type(instance).__module__})
    state: State = dict(walk.values(type(instance).__name__, instance, 0))
    state |= {f"the variable {name}": value for name, value in os.environ.items()}
    state |= {name: repr(value) for name, value in state_of_process().items()}
    for name, file in own.items():
        for key, value in list(vars(sys.modules[name]).items()):
            state.update(walk.values(f"{file.name}: {key}", value, 0))
    return state


class _Walk:
    """Visits nested values, each object once."""

    def __init__(self, own_modules: set[str]) -> None:
        self.own_modules = own_modules
        self.visited: set[int] = set()

    def values(self, path: str, value: Any, depth: int) -> Iterator[tuple[str, str | Identity]]:
        """Yield the path and the description of a value and of the values in it."""
        name = re.split(r"[. ]", path)[-1]
        if (name.startswith("__") and name.endswith("__")) or depth > MAX_DEPTH:
            return
        yield path, self._describe(value)
        if isinstance(value, (*PLAIN, ModuleType)) or id(value) in self.visited:
            return
        self.visited.add(id(value))
        for key, inner in self._children(value):
            yield from self.values(f"{path}{key}", inner, depth + 1)

    def _describe(self, value: Any) -> str | Identity:
        if isinstance(value, PLAIN):
            return repr(value)
        if isinstance(value, ContextVar):
            return repr(_values_of(value))
        is_collection = isinstance(value, (dict, list, set, deque, bytearray))
        return Identity(value, len(value) if is_collection else None)

    def _children(self, value: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(value, dict):
            yield from ((f"[{key!r}]", inner) for key, inner in list(value.items())[:MAX_LENGTH])
        elif isinstance(value, (list, tuple, deque)):
            first = list(value)[:MAX_LENGTH]
            yield from ((f"[{index}]", inner) for index, inner in enumerate(first))
        elif isinstance(value, FunctionType):
            defaults = (*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values())
            if value.__module__ in self.own_modules:
                yield from ((f"(default {index})", one) for index, one in enumerate(defaults))
                yield from ((f".{key}", inner) for key, inner in list(vars(value).items()))
        elif isinstance(value, CachedFunction):
            if value.__module__ in self.own_modules:
                yield from ((f"{CACHED}[{id(one)}]", one) for one in _cached_results(value))
        elif isinstance(value, LoggerAdapter):
            yield ".extra", value.extra
        elif _is_client(value):
            yield ".headers", str(sorted(value.headers.items()))
            yield ".cookies", str(sorted(value.cookies.items()))
        elif isinstance(value, ContextVar):
            collections = (one for one in _values_of(value) if isinstance(one, (dict, list, set)))
            yield from ((".get()", one) for one in collections)
        elif self._is_own(value) and hasattr(value, "__dict__"):
            if not isinstance(value, type):
                yield f" of {type(value).__name__}", type(value)
            yield from ((f".{key}", inner) for key, inner in list(vars(value).items()))

    def _is_own(self, value: Any) -> bool:
        cls = value if isinstance(value, type) else type(value)
        return cls.__module__ in self.own_modules


def _is_client(value: Any) -> bool:
    names = {f"{cls.__module__}.{cls.__name__}" for cls in type(value).__mro__}
    return not names.isdisjoint(CLIENTS)


def _cached_results(function: Any) -> Iterator[Any]:
    """Yield the results that a function with `functools.cache` or `lru_cache` keeps.

    CPython has no public access to them. The function refers to its attributes and to a dictionary
    by arguments, which contains the results if their number is unlimited. Otherwise the function
    also refers to each result.
    """
    is_unlimited = function.cache_parameters()["maxsize"] is None
    for one in get_referents(function):
        if isinstance(one, dict) and one is not vars(function):
            yield from (value for value in one.values() if type(value).__name__ != LINK)
        elif not is_unlimited and not isinstance(one, (dict, tuple, FunctionType)):
            yield one


def _values_of(variable: ContextVar[Any]) -> list[Any]:
    """Return the value of a variable, or its default, in a list; an empty list without both."""
    try:
        return [variable.get()]
    except LookupError:
        return []


def changes_of_state(before: State, after: State) -> list[str]:
    """Return the paths of the values that differ; a cached function may have other results."""
    paths = [path for path in before | after if before.get(path) != after.get(path)]
    known = before.keys() & after.keys()
    changed = (path for path in paths if f"{CACHED}[" not in path or path in known)
    return list(dict.fromkeys(path.partition("[")[0] for path in changed))
