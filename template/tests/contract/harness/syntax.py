"""Parses files of Python."""

import ast
import gc
from pathlib import Path


def syntax_tree(file: Path) -> ast.Module:
    """Parse a file; no garbage is collected meanwhile.

    A collection would let other threads parse in between, those that log a traceback among them,
    which Python before 3.11.8 and 3.12.2 takes for an error of its own, a SystemError. See
    https://github.com/python/cpython/issues/106905.
    """
    source = file.read_text(encoding="utf-8")
    collecting = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(source)
    finally:
        if collecting:
            gc.enable()
