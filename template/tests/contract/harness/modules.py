"""The files of imported modules."""

import sys
from functools import cache
from pathlib import Path
from typing import Any

_path = cache(Path)  # called for thousands of modules


def imported_files() -> dict[str, Path]:
    """Return the files of all imported modules, by the names of the modules."""
    files = {name: file_of(module) for name, module in list(sys.modules.items())}
    return {name: file for name, file in files.items() if file}


def file_of(module: Any) -> Path | None:
    """Return the file of a module, or None if it has none.

    Reading an attribute of a lazy module would import its code.
    """
    try:
        values = object.__getattribute__(module, "__dict__")
    except AttributeError:  # code may set anything in `sys.modules`
        return None
    file = values.get("__file__")
    return _path(file) if isinstance(file, str) else None
