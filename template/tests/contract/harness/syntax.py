"""Parses Python files."""

import ast
import gc
from pathlib import Path


def syntax_tree(file: Path) -> ast.Module:
    """Parse a file with garbage collection paused.

    A collection can switch to another thread that parses as well, for example to log a traceback.
    Python before 3.11.8 and 3.12.2 then raises SystemError; see
    https://github.com/python/cpython/issues/106905.
    """
    source = file.read_text(encoding="utf-8")
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(source)
    finally:
        if was_enabled:
            gc.enable()
