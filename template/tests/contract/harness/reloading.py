"""Compares a model that was loaded on another day with the same model, loaded today.

It finds what `clock.py` does not recognize as a date: a weekday, a season, a computed age.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mlflow
import pytest
import time_machine

from .agents import Request, unload_code
from .clock import let_a_year_pass, llm_data, names_the_day, stale_dates
from .nested_data import leaves
from .observations import Observations
from .offline import OfflineLLM
from .waiting import Attempt


def stale_since_loading(
    model: Any, model_path: Path, request: Request, loaded: datetime
) -> list[str]:
    """Describe the texts that differ from those of the same model, loaded today.

    Args:
        model: The model that was loaded on another day.
        model_path: Its folder.
        request: A request that the model answers.
        loaded: The time of loading.
    """

    def compare(model: Any) -> list[str]:
        old = lasting_texts(model, request, repeats=4)
        new = lasting_texts(reloaded(model_path), request, repeats=2)
        if not list(differences(old, new, new)):
            return []
        # A value that is chosen at random, for each answer or while loading, differs again.
        again = lasting_texts(reloaded(model_path), request, repeats=10)
        return list(differences(old, new, again))

    let_a_year_pass()  # cached values expire
    with time_machine.travel(another_day(loaded), tick=False):
        attempt = Attempt(compare, model)
        attempt.finished()  # on a clock that stands still, a tool that waits never ends
    return attempt.answer or []  # `loads-again` checks whether the model can be loaded again


def sure_dates(dates: list[str], model_path: Path, request: Request, loaded: datetime) -> list[str]:
    """Return the texts with the date of loading that do not merely have a number like its year.

    A table by year has that number on every day, so the model is loaded again today.

    Args:
        dates: Texts that `stale_dates` has found.
        model_path: The folder of the model.
        request: The request that it answered.
        loaded: The time of loading.
    """
    sure = [text for text in dates if names_the_day(text, loaded)]
    if not dates or sure:
        return sure

    def dates_of_today(request: Request) -> list[str]:
        with pytest.MonkeyPatch.context() as patch:
            llm = OfflineLLM(patch, Observations)
            output = reloaded(model_path).predict(request)["output"]
        return stale_dates(llm.bodies, output, loaded)

    attempt = Attempt(dates_of_today, request)
    attempt.finished()
    return [] if attempt.answer else dates


def another_day(loaded: datetime) -> datetime:
    """Return a time soon, with another month, weekday and hour than the time of loading."""
    hour = (loaded.hour + 9) % 24
    day = datetime.now(UTC).replace(hour=hour, minute=34) + timedelta(days=2)
    while day.month == loaded.month or day.weekday() == loaded.weekday():
        day += timedelta(days=1)
    return day


def reloaded(model_path: Path) -> Any:
    """Load a model again, with its modules."""
    unload_code(model_path, even_own=True)
    return mlflow.pyfunc.load_model(str(model_path), suppress_warnings=True)


def lasting_texts(model: Any, request: Request, *, repeats: int) -> list[Any]:
    """Return what the LLM and the caller get, with None for what differs from call to call."""
    with pytest.MonkeyPatch.context() as patch:
        llm = OfflineLLM(patch, Observations)
        answers = []
        for _ in range(repeats):
            start = len(llm.bodies)
            output = model.predict(request)["output"]
            answers.append(list(leaves([*llm_data(llm.bodies[start:]), output])))
    if len(set(map(len, answers))) > 1:
        return []
    pairs = zip(*answers, strict=True)
    return [first if all(one == first for one in others) else None for first, *others in pairs]


def differences(old: list[Any], new: list[Any], again: list[Any]) -> Iterator[str]:
    """Describe each text or number of the old model that both new models replace by another."""
    if len(old) == len(new) == len(again):
        for one, other, third in zip(old, new, again, strict=True):
            if one is not None and other is not None and one != other == third:
                text = f"{excerpt(other, one)} if the agent is loaded on that day"
                yield f"{excerpt(one, other)}, but {text}"


def excerpt(text: Any, other: Any) -> str:
    """Return the part of a text where it begins to differ from another one."""
    text, other = str(text), str(other)
    pairs = zip(text, other, strict=False)
    position = next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(text), len(other)))
    return repr(" ".join(text[max(0, position - 60) : position + 30].split()))
