"""The chat page: static files, and the settings they load.

The files contain no secrets, so they need no token. The settings do.
"""

from html import escape
from string import Template

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from ..ops.project import DESCRIPTION, PACKAGE, PROJECT_NAME
from ..ops.traces import trace_location
from ..runtime.config import load_input_example

# Set here because the system's table of types may be wrong, as on some Windows machines.
MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
# Content written by an LLM must not run or load anything, even if the page has a bug.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
STATIC = PACKAGE / "server" / "static"
FILES = {file.name: file for file in STATIC.iterdir() if file.suffix in MEDIA_TYPES}
OPEN_PATHS = {"/", *(f"/static/{name}" for name in FILES)}


def page_routes() -> list[Route]:
    """Return the routes of the page."""
    return [
        Route("/", page),
        Route("/static/{name}", static_file),
        Route("/chat/settings", chat_settings),
    ]


async def page(_request: Request) -> Response:
    """Respond with the HTML of the page."""
    template = Template((STATIC / "index.html").read_text(encoding="utf-8"))
    names = {"name": PROJECT_NAME, "description": escape(DESCRIPTION)}
    return HTMLResponse(template.substitute(names), headers=HEADERS)


async def static_file(request: Request) -> Response:
    """Respond with a script, a style sheet or the icon."""
    file = FILES.get(request.path_params["name"])
    if file is None:
        raise HTTPException(404)
    return FileResponse(file, headers=HEADERS, media_type=MEDIA_TYPES[file.suffix])


async def chat_settings(_request: Request) -> Response:
    """Respond with an example request and the location of traces."""
    return JSONResponse({"example": load_input_example()} | trace_location())
