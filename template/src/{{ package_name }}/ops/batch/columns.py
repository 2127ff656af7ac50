"""The columns of a table that a batch reads."""

from collections.abc import Iterable, Mapping

from ..project import ProjectError

# `question` or `input` is required.
COLUMNS = ("id", "question", "input", "custom_inputs")
COLUMN_NAMES = {column: column for column in COLUMNS}


def column_names(pairs: Iterable[str]) -> dict[str, str]:
    """Return the name in the input of each column, from pairs such as `question=text`.

    Raises:
        ProjectError: A pair is invalid, or names an unknown column or one of an earlier pair.
    """
    names: dict[str, str] = {}
    for pair in pairs:
        column, _, name = pair.partition("=")
        if column not in COLUMNS or not name:
            raise ProjectError(
                f"--columns {pair!r} is invalid. Write COLUMN=NAME, where COLUMN is one of "
                f"{', '.join(COLUMNS)}."
            )
        if column in names:
            raise ProjectError(f"--columns names {column!r} twice. Remove one of them.")
        names[column] = name
    return COLUMN_NAMES | names


def check_columns(
    names: Mapping[str, str], available: Iterable[str], *, is_complete: bool = True
) -> None:
    """Check that an input has the columns that a batch requires.

    Args:
        names: The name in the input of each column.
        available: The columns of the input.
        is_complete: Whether these are all of them; JSON lines may have different keys.

    Raises:
        ProjectError: It lacks the ids, the questions, or a column that `--columns` names.
    """
    available = set(available)
    if not available:
        raise ProjectError("The input has no rows.")
    columns = f"The input has the columns {', '.join(sorted(available))}."
    if names["id"] not in available or not {names["question"], names["input"]} & available:
        raise ProjectError(
            f"{columns} It needs {names['id']!r}, and {names['question']!r} or {names['input']!r}. "
            "Map other names with --columns, such as --columns question=text."
        )
    mapped = {name for column, name in names.items() if name != column}
    if is_complete and (missing := sorted(mapped - available)):
        raise ProjectError(f"{columns} It lacks {missing[0]!r}, which --columns names.")
