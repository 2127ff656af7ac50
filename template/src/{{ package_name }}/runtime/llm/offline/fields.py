"""Answers to prompts that request fields with markers such as `[[ ## answer ## ]]`.

Some frameworks write such prompts for answers with several outputs, and read the outputs from text.
"""

import json
import re

from .arguments import answer_from_schema

_MARKER = re.compile(r"^\[\[ ## \w+ ## \]\]\n", re.MULTILINE)
_FIELD = re.compile(
    r"^\[\[ ## (\w+) ## \]\]\n\{\1\}(?: +# note: the value you produce (.*))?$", re.MULTILINE
)
_OUTPUTS = re.compile(r"Your output fields are:\n(.*?)\nAll interactions", re.DOTALL)
_REMINDER = re.compile(
    r"\s*Respond with the corresponding output fields, starting with .*\Z", re.DOTALL
)


def in_fields(text: str, prompt: str) -> str:
    """Return an answer in the fields that the prompt requests; otherwise, the text itself."""
    outputs = _OUTPUTS.search(prompt)
    if not outputs:
        return text
    names = re.findall(r"^\d+\. `(\w+)`", outputs[1], re.MULTILINE)
    notes = dict(_FIELD.findall(prompt))
    fields = [(name, _value(notes.get(name, ""), text)) for name in names]
    fields.append(("completed", ""))
    return "\n\n".join(f"[[ ## {name} ## ]]\n{value}".rstrip() for name, value in fields)


def _value(note: str, text: str) -> str:
    """Return a value as the note in the prompt requires it; fields without a note are texts."""
    if " JSON schema: " in note:
        schema = json.loads(note.partition(" JSON schema: ")[2])
        return json.dumps(answer_from_schema(schema, text))
    if " one of: " in note:
        return note.partition(" one of: ")[2].split("; ")[0]
    if note.startswith("must be a single "):
        return "1"
    return "True" if note == "must be True or False" else text


def without_markers(message: str) -> str:
    """Return the last field in a message of the user, without the reminder of the outputs."""
    return _MARKER.split(_REMINDER.sub("", message))[-1]


def is_reminder(message: str) -> bool:
    """Return whether a message contains only the reminder, so the assistant's turn continues."""
    return bool(message) and not _REMINDER.sub("", message)
