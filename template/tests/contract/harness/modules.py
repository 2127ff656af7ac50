"""The files of imported modules."""

import sys
from pathlib import Path
from typing import Any


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
    return Path(file) if isinstance(file, str) else None
