"""Routes with authentication, validation and faults."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

TOKEN = "dapi-token-of-the-fake-workspace"
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]

Handler = Callable[[Request], Awaitable[Response]]
ModelT = TypeVar("ModelT", bound=BaseModel)


class Body(BaseModel):
    """A request; fields that the workspace does not know are errors."""

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)


class ApiError(Exception):
    """An error response of the workspace."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    def response(self) -> JSONResponse:
        """Return the error as Databricks sends it."""
        content = {"error_code": self.code, "message": str(self)}
        return JSONResponse(content, status_code=self.status)


def not_found(what: str) -> ApiError:
    """Return the error for something that does not exist."""
    return ApiError(404, "RESOURCE_DOES_NOT_EXIST", f"{what} does not exist.")


def invalid(message: str) -> ApiError:
    """Return the error for a request with a value that the workspace rejects."""
    return ApiError(400, "INVALID_PARAMETER_VALUE", message)


@dataclass
class Fault:
    """Lets a route fail, once or until the fault is removed.

    Attributes:
        route: The method and the path of the route, as in `Api.requests`.
        after: Whether the request takes effect, so that only its response is lost.
        status: The status of the response.
        number: Which request of the route fails, from 1; 0 for all of them.
        requests: How many requests there have been.
    """

    route: str
    after: bool = False
    status: int = 500
    number: int = 0
    requests: int = 0

    def hits(self, route: str) -> bool:
        """Count a request, and return whether it fails."""
        self.requests += route == self.route
        return route == self.route and self.number in (0, self.requests)


@dataclass
class Api:
    """The routes of the workspace.

    Attributes:
        requests: The routes of all requests, in order.
        unknown: The requests for which there is no route.
        fault: The fault to inject.
    """

    routes: list[Route] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    fault: Fault | None = None

    def __post_init__(self) -> None:
        self.routes.append(Route("/{path:path}", self._refuse, methods=METHODS))

    def add(self, method: str, path: str, handler: Handler, *, is_public: bool = False) -> None:
        """Add a route, which can fail, and needs the token unless it is public."""
        name = f"{method} {path}"

        async def handle(request: Request) -> Response:
            if not is_public and request.headers.get("Authorization") != f"Bearer {TOKEN}":
                return ApiError(401, "UNAUTHENTICATED", "The token is missing.").response()
            self.requests.append(name)
            fault = self.fault if self.fault and self.fault.hits(name) else None
            if fault and not fault.after:
                return self._failure(fault)
            try:
                response = await handler(request)
            except ApiError as error:
                response = error.response()
            return self._failure(fault) if fault else response

        route = Route(path, handle, methods=[method])
        route.methods = {method}  # Starlette would answer HEAD with the route for GET
        self.routes.insert(-1, route)

    def _failure(self, fault: Fault) -> Response:
        message = f"{fault.route} failed."
        return ApiError(fault.status, "INTERNAL_ERROR", message).response()

    async def _refuse(self, request: Request) -> Response:
        name = f"{request.method} {request.url.path}"
        self.unknown.append(name)
        return ApiError(404, "ENDPOINT_NOT_FOUND", f"There is no route {name}.").response()


async def read(request: Request, model: type[ModelT]) -> ModelT:
    """Return the body of a request, or the query of one that has no body."""
    raw = await request.body()
    try:
        if raw:
            return model.model_validate_json(raw)
        return model.model_validate(dict(request.query_params))
    except ValidationError as error:
        raise ApiError(400, "BAD_REQUEST", str(error)) from error


def reply(content: Any = None) -> JSONResponse:
    """Return a response with a JSON object."""
    return JSONResponse({} if content is None else content)
