"""Masks credentials and personal data in texts. It masks too much rather than too little.

Names and addresses of people have no pattern, so a person must still read the texts.
"""

import re
from typing import Any

_PATTERNS = {
    "SECRET": (
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
        r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)",
        r"(?i)(?<=bearer )\S+",
        r"(?i)\b(?:password|passwd|pwd|secret|token|api[_ -]?key)\b[\"']?\s*(?:[:=]|\bis\b)\s*\S+",
        # A long word with letters and digits: keys, tokens, hashes, ids.
        r"(?=[\w+/=.~-]*\d)(?=[\w+/=.~-]*[A-Za-z])(?<![\w+/=.~-])[\w+/=~-][\w+/=.~-]{19,}",
    ),
    "EMAIL": (r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+",),
    "IBAN": (r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b",),
    "CARD": (r"\b(?:\d[ -]?){12,18}\d\b",),
    "SSN": (r"\b\d{3}-\d{2}-\d{4}\b",),
    "PHONE": (
        r"\+\d[\d ()./-]{6,}\d",
        r"(?<![\w.-])\(?0\d[\d ()/-]{6,}\d",
        r"(?<![\w.-])\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}\b",
    ),
    "IP_ADDRESS": (
        r"\b(?:\d{1,3}\.){3}\d{1,3}\b",
        r"\b(?:[0-9a-fA-F]{1,4}:){4,7}[0-9a-fA-F]{1,4}\b",
    ),
}
_COMPILED = [
    (f"<{name}>", re.compile(pattern, re.DOTALL))
    for name, patterns in _PATTERNS.items()
    for pattern in patterns
]


def mask(value: Any) -> Any:
    """Replace credentials and personal data in all texts of a JSON value, such as by `<EMAIL>`."""
    if isinstance(value, str):
        for name, pattern in _COMPILED:
            value = pattern.sub(name, value)
        return value
    if isinstance(value, dict):
        return {mask(key): mask(field) for key, field in value.items()}
    return [mask(item) for item in value] if isinstance(value, list) else value
