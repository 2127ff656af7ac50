"""Finds credentials by the token formats of common providers.

It does not measure entropy: ids and hashes look as random as keys.
"""

import re
from collections.abc import Iterator
from pathlib import Path

# A value without quotes, but not a call, an attribute or a type such as `oauth2.Token`.
UNQUOTED = r"(?::\s+|(?<=[A-Z])=)(?!\w+\(|[A-Za-z_]+\d?\.[A-Za-z_])"

CREDENTIALS = {
    "a key of OpenAI or Anthropic": r"\bsk-[\w-]{20,}",
    "a token of Databricks": r"\b(?:dapi|dose)[0-9a-f]{32}\b",
    "a token of GitHub": r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{22,})",
    "a token of GitLab": r"\bglpat-[\w-]{20,}",
    "a token of Hugging Face": r"\bhf_[A-Za-z0-9]{30,}",
    "a key of Groq, Tavily, LangSmith or xAI": r"\b(?:gsk_|tvly-|lsv2_|xai-)[\w-]{20,}",
    "a token of PyPI or npm": r"\b(?:pypi-|npm_)[\w-]{30,}",
    "a key of Stripe or SendGrid": r"\b(?:[rs]k_live_\w{16,}|SG\.[\w-]{16,}\.[\w-]{16,})",
    "a key of Azure": r"(?i)\b(?:AccountKey|SharedAccessKey|sig)=[\w+/%]{30,}",
    "a token of Slack": r"\bxox[abprs]-[\w-]{10,}",
    "a key of AWS": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a key of Google": r"\bAIza[\w-]{35}",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a JSON Web Token": r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}",
    "a password in a URL": r"\b\w+://[^/\s:@]+:(?=[^/\s:@{}$<>]*\d)[^/\s:@{}$<>]{6,}@",
    "a value named like a credential": (
        r"(?i:password|secret|token|api_?key|access_?key|credential)\w*[\"']?"
        rf"\s*(?:[:=]\s*[\"']|{UNQUOTED})(?=[\w+/=.-]*\d)(?=[\w+/=.-]*[a-z])[\w+/=.-]{{20,}}"
    ),
    "a password": (
        r"(?i)(?:password|passwd|pwd)[\"']?\s*[:=]\s*[\"']"
        r"(?=[^\"'\s{}<>$]*\d)[^\"'\s{}<>$]{6,}"
    ),
    "a bearer token": r"(?i)\bbearer (?=[\w.+/=-]*\d)[\w.+/=-]{20,}",
}
# Files that contain only credentials.
SECRET_FILES = re.compile(
    r"\.env|\.netrc|\.pgpass|\.databrickscfg|id_(rsa|ed25519|ecdsa)|.*\.(pem|key|p12|pfx)"
)
MAX_BYTES = 1_000_000


def secrets_below(folder: Path) -> Iterator[str]:
    """Yield where files in a folder contain credentials, without the credentials themselves."""
    for path in sorted(folder.rglob("*")):
        if SECRET_FILES.fullmatch(path.name):
            yield f"{path.relative_to(folder).as_posix()} is a credentials file"
        elif path.is_file() and path.stat().st_size <= MAX_BYTES:
            text = path.read_text(encoding="utf-8", errors="replace")
            # Most files contain none, and one search is faster than one for each line.
            lines = text.splitlines() if secret_in(text) else []
            for number, line in enumerate(lines, start=1):
                if found := secret_in(line):
                    yield f"{path.relative_to(folder).as_posix()}:{number} contains {found}"


def secret_in(text: str) -> str:
    """Return the type and the first characters of a credential, or an empty string."""
    for kind, pattern in CREDENTIALS.items():
        if match := re.search(pattern, text):
            return f"{kind} ({match[0][:6]}…)"
    return ""
