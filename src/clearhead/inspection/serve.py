"""The page on demand: a server for this machine alone, where any sentence may be typed."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from clearhead import errors
from clearhead.errors import LANGUAGES, ClearheadError, UsageError
from clearhead.inspection import font
from clearhead.inspection.document import compared
from clearhead.inspection.page import policy, render

HOST = "127.0.0.1"
LONGEST = 2000
"""Characters of a text, and tokens of a prefix, that are taken."""


class Inspects(Protocol):
    """What the server asks; ``inspector.Inspector`` answers it. All may raise a ``ClearheadError``."""

    def document(self, text: str, *, prefix: str = "") -> dict[str, Any]:
        """Return what the page shows of ``text``, its translation starting with ``prefix``."""

    def rival(self, text: str, prefix: list[int]) -> dict[str, Any]:
        """Return what the model says where the target's first tokens are ``prefix``."""

    def ablation(self, text: str, part: str, head: int) -> dict[str, Any]:
        """Return what changes where a head of an attention is switched off."""

    def column(self, name: str, column: int) -> dict[str, Any]:
        """Return a column of a linear layer: its weights and its bias."""


class Server(ThreadingHTTPServer):
    """Answers browsers on this machine; one question is computed at a time.

    Args:
        inspector: what computes.
        port: where to listen; 0 for any free one, which ``server_port`` names.
        language: which one the page opens with.
        beside: what computes the same for another run, shown beside it.
    """

    daemon_threads = True

    def __init__(
        self, inspector: Inspects, port: int = 0, language: str = "en", beside: Inspects | None = None
    ) -> None:
        super().__init__((HOST, port), _Answers)
        self.inspector, self.beside = inspector, beside
        self.language = language
        self.turn = threading.Lock()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a reader who has left; leave other faults to the class above."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return f"http://{HOST}:{self.server_port}/"


def serve(server: Server) -> None:
    """Answer until Ctrl-C."""
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()


class _Answers(BaseHTTPRequestHandler):
    server: Server
    server_version = "clearhead"
    sys_version = ""
    timeout = 30  # seconds that a connection may stay silent

    def do_GET(self) -> None:
        # A foreign site's name may be made to lead here (DNS rebinding); the browser still says whom it asked for.
        own = {f"{name}:{self.server.server_port}" for name in (HOST, "localhost")}
        host = self.headers.get("Host", "")
        if host not in own:
            said = "\n".join(errors.text("inspect-wrong-host", each, host=host) for each in LANGUAGES)
            self._say(HTTPStatus.MISDIRECTED_REQUEST, "text/plain", said.encode())
            return
        address = urlsplit(self.path)
        try:
            fields = parse_qs(address.query, keep_blank_values=True, max_num_fields=20)
        except ValueError:  # too many of them
            fields = {}
        asked = {name: values[-1] for name, values in fields.items()}
        if address.path == "/":
            self._page(asked)
        elif address.path[1:] in font.FONTS.values():
            self._say(HTTPStatus.OK, "font/woff", font.whole(address.path[1:]))
        else:
            self._value(address.path[1:], asked)

    def _page(self, asked: dict[str, str]) -> None:
        language = asked.get("language", self.server.language)
        language = language if language in LANGUAGES else self.server.language
        typed: dict[str, str] = {name: asked[name] for name in ("text", "prefix", "other") if name in asked}
        document, error, status = None, None, HTTPStatus.OK
        if typed:
            document, error, status = self._turn(lambda: self._document(**typed))
        typed = {name: value[:LONGEST] for name, value in typed.items()}
        content = render(document, language, served=True, typed=typed, error=error)
        self._say(status, "text/html", content.encode("utf-8", "replace"))

    def _document(self, text: str = "", prefix: str = "", other: str = "") -> dict[str, Any]:
        inspector, beside = self.server.inspector, self.server.beside
        document = inspector.document(_checked(text), prefix=_checked(prefix))
        if not other.strip() and beside is None:
            return document
        what = {"text": _checked(other)} if other.strip() else {"text": text, "prefix": prefix}
        return compared(document, (beside or inspector).document(**what))

    def _value(self, what: str, asked: dict[str, str]) -> None:
        value, error, status = self._turn(lambda: self._computed(what, asked))
        content = json.dumps({"error": error} if value is None else value, allow_nan=False)
        self._say(status, "application/json", content.encode())

    def _turn(
        self, compute: Callable[[], dict[str, Any]]
    ) -> tuple[dict[str, Any] | None, dict[str, str] | None, HTTPStatus]:
        """Return what ``compute`` gives once it is its turn, or what went wrong in each language, and the status."""
        try:
            with self.server.turn:
                return compute(), None, HTTPStatus.OK
        except ClearheadError as problem:
            return None, {each: problem.message(each) for each in LANGUAGES}, HTTPStatus.BAD_REQUEST
        except Exception as problem:  # a fault of ours: this answer is lost, the server goes on
            said = f"{type(problem).__name__}: {problem}"
            fault = {each: errors.text("inspect-fault", each, problem=said) for each in LANGUAGES}
            return None, fault, HTTPStatus.INTERNAL_SERVER_ERROR

    def _computed(self, what: str, asked: dict[str, str]) -> dict[str, Any]:
        inspector = self.server.inspector
        match what:
            case "rival":
                prefix = [_number("prefix", each) for each in asked.get("prefix", "").split(",")[: LONGEST + 1]]
                if len(prefix) > LONGEST:
                    raise UsageError("inspect-bad-field", field="prefix", value=f"{len(prefix)}+")
                return inspector.rival(_checked(asked.get("text", "")), prefix)
            case "ablation":
                part, head = asked.get("part", ""), _number("head", asked.get("head", ""))
                return inspector.ablation(_checked(asked.get("text", "")), part, head)
            case "column":
                return inspector.column(asked.get("name", ""), _number("column", asked.get("column", "")))
        raise UsageError("inspect-not-found", path=what[:80])

    def _say(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": f"{kind}; charset=utf-8" if kind.startswith("text/") else kind,
            "Content-Length": str(len(content)),
            "Content-Security-Policy": policy(served=True) + "; frame-ancestors 'none'",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: only the command line prints."""


def _checked(text: str) -> str:
    if len(text) > LONGEST:
        raise UsageError("inspect-too-long", length=len(text), limit=LONGEST)
    return text


def _number(field: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 10):
        raise UsageError("inspect-bad-field", field=field, value=value[:80])
    return int(value)
