"""The OpenAPI description of the agent's routes."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from ..ops.project import DESCRIPTION, PROJECT_NAME
from .unsupported import PARAMETERS, accepted_values


@cache
def openapi_schema() -> dict[str, Any]:
    """Return the OpenAPI document of the server."""
    text = (Path(__file__).parent / "openapi.yml").read_text(encoding="utf-8")
    schema: dict[str, Any] = yaml.safe_load(text)
    schema["info"] |= {"title": PROJECT_NAME, "description": DESCRIPTION}
    properties = schema["components"]["schemas"]["Request"]["properties"]
    properties |= {name: {"enum": accepted_values(name)} for name in PARAMETERS}
    return schema
