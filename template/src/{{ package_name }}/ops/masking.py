"""Masks credentials and personal data in texts. It masks too much rather than too little.

Names and addresses of people have no pattern, so a person must still read the texts.
"""

import re
from typing import Any

_CREDENTIAL = (
    r"(?:pass(?:word|wd|phrase|code)|pwd|token|(?:api|access|private|secret)[_ -]?key|secret)"
)
_PATTERNS = {
    "SECRET": (
        r"-----BEGIN [A-Z ]*PRIVATE KEY[A-Z ]*-----.*?(?:-----END [A-Z ]*-----|\Z)",
        r"(?<=://)[^/\s:@]*:[^/\s]+(?=@)",
        r"(?i)(?:(?<=bearer )|(?<=authorization: basic )|(?<=authorization: token ))\S+",
        rf"(?i){_CREDENTIAL}\b[\"']?\s*(?:[:=]|\bis\b)[\s:=>]*\S+",
        r"\b(?:sk|xox[a-z])-[\w-]{8,}",
        # A long word with letters and digits: keys, tokens, hashes, ids.
        r"(?<![\w+/=.~-])(?=[\w+/=.~-]*\d)(?=[\w+/=.~-]*[A-Za-z])[\w+/=~-][\w+/=.~-]{19,}",
    ),
    "EMAIL": (r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+",),
    "IBAN": (
        r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b",
        r"\b[a-z]{2}\d{2}(?: ?\d{4}){2,7}(?: ?\d{1,4})?\b",
    ),
    "CARD": (r"\b(?:\d[ .-]?){11,18}\d\b",),
    "SSN": (r"\b\d{3}[ -]\d{2}[ -]\d{4}\b",),
    "PHONE": (
        r"\+\d[\d ()./-]{6,}\d",
        r"(?<![\w.:-])\(?0\d[\d ()/-]{6,}\d",
        r"(?<![\w.-])(?:1[ .-])?\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}\b",
        r"(?<![\w.-])\d{10,11}\b",
    ),
    "IP_ADDRESS": (
        r"\b(?:\d{1,3}\.){3}\d{1,3}\b",
        r"\b(?:[0-9a-fA-F]{1,4}:){4,7}[0-9a-fA-F]{1,4}\b",
        r"\b(?:[0-9a-fA-F]{1,4}:){1,7}(?::[0-9a-fA-F]{1,4}){1,7}\b",
    ),
}
_COMPILED = [
    (f"<{name}>", re.compile(pattern, re.DOTALL))
    for name, patterns in _PATTERNS.items()
    for pattern in patterns
]


def mask(value: Any) -> Any:
    """Replace credentials and personal data in a JSON value with names such as `<EMAIL>`."""
    if isinstance(value, str):
        for name, pattern in _COMPILED:
            value = pattern.sub(name, value)
        return value
    if isinstance(value, int):
        text = mask(str(value))
        return value if text == str(value) else text
    if isinstance(value, dict):
        return {mask(key): _mask_field(key, field) for key, field in value.items()}
    return [mask(item) for item in value] if isinstance(value, list) else value


def _mask_field(name: str, value: Any) -> Any:
    return "<SECRET>" if re.search(f"(?i){_CREDENTIAL}$", name) else mask(value)
