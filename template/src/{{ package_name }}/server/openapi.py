"""The OpenAPI description of the agent's routes."""

from functools import cache
from typing import Any

from mlflow.types.responses import ResponsesAgentRequest, ResponsesAgentResponse
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from ..ops.project import DESCRIPTION, PROJECT_NAME


class ErrorDetails(BaseModel):
    """What is wrong with a request, or why it could not be answered."""

    type: str
    code: str
    message: str
    param: str | None


class Error(BaseModel):
    """The body of every error response."""

    error: ErrorDetails


@cache
def openapi_schema(*paths: str) -> dict[str, Any]:
    """Return the OpenAPI document for the paths that answer Responses API requests."""
    models = (ResponsesAgentRequest, ResponsesAgentResponse, Error)
    _, definitions = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
    )
    operation = {
        "summary": "Answer a request of the Responses API",
        "requestBody": {"required": True, "content": _json(ResponsesAgentRequest)},
        "responses": {
            "200": {"description": "The response", "content": _json(ResponsesAgentResponse)},
            "4XX": {"description": "The request is invalid", "content": _json(Error)},
            "5XX": {"description": "The agent could not answer", "content": _json(Error)},
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": PROJECT_NAME, "description": DESCRIPTION, "version": "1"},
        "paths": {path: {"post": operation} for path in paths},
        "components": {"schemas": definitions["$defs"]},
    }


def _json(model: type[BaseModel]) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"application/json": {"schema": schema}}
