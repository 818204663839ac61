"""A body is taken so far, and no longer than it should take."""

from __future__ import annotations

import json
import socket
from typing import Any

import anyio
import pytest
from django.conf import settings

from loomsite import bodies

LIMIT = settings.DATA_UPLOAD_MAX_MEMORY_SIZE


def _say(web: str, *parts: bytes) -> tuple[int, bytes]:
    """Send raw bytes until the server has answered, and read its answer."""
    host, port = web.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        try:
            for part in parts:
                connection.sendall(part)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has heard enough
        answer = b""
        try:
            while part := connection.recv(65536):
                answer += part
        except ConnectionResetError:
            pass
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def _head(web: str, **headers: str) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"POST /api/v1/runs HTTP/1.1\r\nHost: {web}\r\nConnection: close\r\n{lines}\r\n".encode()


def test_a_body_that_is_announced_too_long_is_not_read(web: str) -> None:
    status, body = _say(web, _head(web, Content_Length="100000000"))

    assert (status, json.loads(body)["code"]) == (413, "too_large")
    assert str(LIMIT) in json.loads(body)["detail"]


def test_a_body_that_becomes_too_long_is_cut_off(web: str) -> None:
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"

    status, body = _say(web, _head(web, Transfer_Encoding="chunked"), *[chunk] * 100)

    assert (status, json.loads(body)["code"]) == (413, "too_large")


def test_a_body_in_pieces_is_put_together(web: str) -> None:
    pieces = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (b'{"agent":', b'"x","input":', b'"y"}')]

    status, body = _say(web, _head(web, Transfer_Encoding="chunked"), *pieces, b"0\r\n\r\n")

    assert (status, json.loads(body)["code"]) == (401, "unauthenticated")


async def test_a_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MAX_BODY_SECONDS", 0.01)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await anyio.sleep_forever()
        return {}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def application(*_: Any) -> None:
        pytest.fail("nobody waits for a body that does not come")

    await bodies.BodyLimit(application)({"type": "http", "headers": []}, receive, send)

    assert sent[0]["status"] == 408


async def test_a_client_that_goes_before_its_body_is_whole_is_let_go() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def nothing(*_: Any) -> None:
        pytest.fail("there is nobody to answer")

    await bodies.BodyLimit(nothing)({"type": "http", "headers": []}, receive, nothing)


def test_a_query_that_is_not_utf8_is_no_failure_of_ours(web: str) -> None:
    request = f"GET /api/v1/runs?q=%ff%fe HTTP/1.1\r\nHost: {web}\r\nConnection: close\r\n\r\n".encode()

    assert _say(web, request)[0] in (400, 401)


def test_a_header_that_is_very_long_is_no_failure_of_ours(web: str) -> None:
    assert _say(web, _head(web, X_Long="x" * 300_000, Content_Length="0"))[0] in (400, 401, 431)
