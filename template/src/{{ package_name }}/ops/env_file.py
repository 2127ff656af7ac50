"""Reads environment variables from the file `.env`."""

from io import StringIO
from pathlib import Path

from dotenv import load_dotenv
from dotenv.parser import parse_stream

from .project import ProjectError


def load_env_file(path: Path) -> None:
    """Set the variables of a file that are not set yet. Without the file, change nothing.

    Raises:
        ProjectError: The file is not readable or not UTF-8 text, or a line sets no variable.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return
    except OSError as error:
        raise ProjectError(
            f"{path.name} cannot be read: {error.strerror}. Replace it with a file that you may "
            "read."
        ) from error
    except UnicodeDecodeError as error:
        raise ProjectError(f"{path.name} is not UTF-8 text. Save it as UTF-8.") from error
    for binding in parse_stream(StringIO(text)):
        line = binding.original
        is_incomplete = binding.key is not None and binding.value is None
        if binding.error or is_incomplete or "\0" in line.string:
            # The line may contain a secret, so the message does not repeat it.
            raise ProjectError(f"{path.name} is invalid at line {line.line}. Write NAME=VALUE.")
    load_dotenv(stream=StringIO(text))
