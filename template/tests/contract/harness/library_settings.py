"""Settings of the standard library that belong to the whole process."""

import csv
import decimal
import logging
import signal
import sys
import urllib.request
from collections.abc import Iterator
from types import ModuleType
from typing import Any


def library_settings() -> dict[str, Any]:
    """Return settings of the standard library, and the levels of all loggers."""
    opener = vars(urllib.request)["_opener"] or urllib.request.build_opener()
    handlers = sorted(type(one).__name__ for one in vars(opener)["handlers"])
    return {
        **dict(_constants()),
        **dict(_levels()),
        "the limit of digits in a number": sys.get_int_max_str_digits(),
        "csv.field_size_limit": csv.field_size_limit(),
        "decimal.DefaultContext": str(decimal.DefaultContext),
        "the default opener of urllib": [*handlers, *map(str, opener.addheaders)],
        "whether a timer sends a signal": hasattr(signal, "getitimer")
        and any(signal.getitimer(signal.ITIMER_REAL)),
    }


def changed_settings(before: dict[str, Any]) -> list[str]:
    """Describe the settings that are not as before, except those of modules imported later."""
    after = library_settings()
    return [
        f"{name} is {after[name]!r}"
        for name, value in before.items()
        if name in after and repr(after[name]) != repr(value)  # NaN differs from itself
    ]


def _constants() -> Iterator[tuple[str, object]]:
    """Yield the public numbers and texts of modules and their classes.

    Booleans of modules are left out: some are internal flags, such as `mimetypes.inited`.
    """
    for name, module in list(sys.modules.items()):
        is_library = name.partition(".")[0] in sys.stdlib_module_names
        if not is_library or name in ("sys", "time") or not isinstance(module, ModuleType):
            continue
        for key, value in list(vars(module).items()):
            if _is_constant(key, value) and not isinstance(value, bool):
                yield f"{name}.{key}", value
            elif isinstance(value, type) and value.__module__ == name:
                for attribute, inner in list(vars(value).items()):
                    if _is_constant(attribute, inner):
                        yield f"{name}.{key}.{attribute}", inner


def _is_constant(name: str, value: object) -> bool:
    return not name.startswith("_") and isinstance(value, (int, float, str))


def _levels() -> Iterator[tuple[str, int]]:
    loggers = list(logging.root.manager.loggerDict.items())
    for name, logger in loggers:
        if isinstance(logger, logging.Logger):
            yield f"the level of the logger {name}", logger.level
