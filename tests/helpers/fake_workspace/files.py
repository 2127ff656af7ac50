"""The Files API, in which Unity Catalog stores the files of models."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tests.helpers.fake_workspace.routes import Api, ApiError, Body, read, reply
from tests.helpers.fake_workspace.state import State

CHANGED = "Wed, 01 Jan 2025 00:00:00 GMT"


class Path(Body):
    path: str
    expire_time: str = ""


def add_routes(api: Api, state: State) -> None:
    """Add the routes of the Files API."""

    def content_of(path: str) -> bytes:
        if path not in state.files:
            raise ApiError(404, "NOT_FOUND", f"File {path} does not exist.")
        return state.files[path]

    def entries_of(path: str) -> list[dict[str, Any]]:
        folder = path.rstrip("/") + "/"
        entries: dict[str, dict[str, Any]] = {}
        for name, content in state.files.items():
            if name.startswith(folder):
                child, _, rest = name.removeprefix(folder).partition("/")
                entries[child] = {
                    "path": f"/{folder}{child}",
                    "name": child,
                    "is_directory": bool(rest),
                    "file_size": len(content),
                    "last_modified": 1,
                }
        if not entries:
            raise ApiError(404, "NOT_FOUND", f"Folder {path} does not exist.")
        return list(entries.values())

    async def put_file(request: Request) -> Response:
        state.files[request.path_params["path"]] = await request.body()
        return Response(status_code=204)

    async def get_file(request: Request) -> Response:
        content = content_of(request.path_params["path"])
        return Response(content, headers={"Last-Modified": CHANGED})

    async def head_file(request: Request) -> Response:
        size = str(len(content_of(request.path_params["path"])))
        return Response(headers={"Last-Modified": CHANGED, "Content-Length": size})

    async def get_folder(request: Request) -> Response:
        return reply({"contents": entries_of(request.path_params["path"])})

    async def head_folder(request: Request) -> Response:
        entries_of(request.path_params["path"])
        return Response()

    async def create_folder(request: Request) -> Response:
        return Response(status_code=204)

    async def create_download_url(request: Request) -> Response:
        path = (await read(request, Path)).path.lstrip("/")
        content_of(path)
        headers = [{"name": "Authorization", "value": request.headers["Authorization"]}]
        return reply({"url": f"{request.base_url}api/2.0/fs/files/{path}", "headers": headers})

    files, folders = "/api/2.0/fs/files/{path:path}", "/api/2.0/fs/directories/{path:path}"
    api.add("PUT", files, put_file)
    api.add("GET", files, get_file)
    api.add("HEAD", files, head_file)
    api.add("GET", folders, get_folder)
    api.add("HEAD", folders, head_folder)
    api.add("PUT", folders, create_folder)
    api.add("POST", "/api/2.0/fs/create-download-url", create_download_url)
