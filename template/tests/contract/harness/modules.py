"""The files of imported modules."""

from pathlib import Path
from typing import Any


def file_of(module: Any) -> Path | None:
    """Return the file of a module, or None if it has none.

    A module may import its code when an attribute is read, so this reads none.
    """
    try:
        values = object.__getattribute__(module, "__dict__")
    except AttributeError:  # code may set anything in `sys.modules`
        return None
    file = values.get("__file__")
    return Path(file) if isinstance(file, str) else None
