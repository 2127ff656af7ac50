"""A server with package indexes, for tests of requirements."""

import base64
import io
import threading
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, unquote

# The packages of each index, by name; "private" requires the credentials.
INDEXES = {
    "public": {"acme-forecast": "1.0"},
    "private": {"acme-prices": "2.0+cpu"},
    "default": {},
}
CREDENTIALS = "agent:sesame"


def wheel(name: str, version: str) -> bytes:
    """Return a wheel with an empty module."""
    module, content = name.replace("-", "_"), io.BytesIO()
    info = f"{module}-{version}.dist-info"
    files = {
        f"{module}.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},,\n" for file in (*files, f"{info}/RECORD"))
    with zipfile.ZipFile(content, "w") as archive:
        for file, text in (files | {f"{info}/RECORD": record}).items():
            archive.writestr(file, text)
    return content.getvalue()


class Handler(BaseHTTPRequestHandler):
    """Answers `/INDEX/simple/PACKAGE/` and `/INDEX/files/WHEEL`."""

    def do_GET(self) -> None:
        """Answer with a list of links, or with a wheel."""
        index, kind, name = unquote(self.path).strip("/").split("/")
        expected = f"Basic {base64.b64encode(CREDENTIALS.encode()).decode()}"
        if index == "private" and self.headers.get("Authorization") != expected:
            self.answer(HTTPStatus.UNAUTHORIZED)
        elif kind == "files":
            module, version, _ = name.split("-", 2)
            self.answer(HTTPStatus.OK, wheel(module.replace("_", "-"), version))
        elif version := INDEXES[index].get(name):
            file = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
            link = f'<!DOCTYPE html><a href="/{index}/files/{quote(file)}">{file}</a>'
            self.answer(HTTPStatus.OK, link.encode())
        else:
            self.answer(HTTPStatus.NOT_FOUND)

    def do_HEAD(self) -> None:
        """Answer as `GET` does, without the content."""
        self.do_GET()

    def answer(self, status: HTTPStatus, content: bytes = b"") -> None:
        """Send a response."""
        self.send_response(status)
        if status == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", "Basic realm=index")
        is_wheel = content.startswith(b"PK")
        self.send_header("Content-Type", "application/zip" if is_wheel else "text/html")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Print nothing."""


@contextmanager
def package_indexes() -> Generator[str]:
    """Start the server, and yield its address without a scheme."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
