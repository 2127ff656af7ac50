"""Who owns which file; README.md explains the owners."""

from fnmatch import fnmatch
from typing import Literal

Owner = Literal["you", "shared", "template"]

# PACKAGE stands for the name of the package.
YOURS = (
    "src/PACKAGE/instructions.md",
    "src/PACKAGE/input_example.json",
    "tests/test_agent.py",
)
SHARED = (
    "src/PACKAGE/agent.py",
    "src/PACKAGE/tools.py",
    "src/PACKAGE/config.yml",
    "evaluation/*",
    "tests/conftest.py",
    "pyproject.toml",
    "README.md",
    ".gitignore",
    ".gitattributes",
    "databricks.yml",
)


def your_files(package: str) -> list[str]:
    """Return the files that updates never change, in a package with this name."""
    return [path.replace("PACKAGE", package) for path in YOURS]


def owner_of(path: str, package: str) -> Owner:
    """Return who owns a file of the template, in a package with this name."""
    if path in your_files(package):
        return "you"
    shared = (pattern.replace("PACKAGE", package) for pattern in SHARED)
    return "shared" if any(fnmatch(path, pattern) for pattern in shared) else "template"
