"""The calls themselves: checked, bounded, sent on with the provider's key, metered as they pass by."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlencode

import httpx
import msgspec

from ganger.gateway.account import Refused
from ganger.gateway.apis import Call, Unfit, key_of
from ganger.gateway.desk import Desk, Granted, TooMuch
from ganger.gateway.meter import Meter, refusal_of
from ganger.gateway.prices import CONTEXT_MAX

BODY_BYTES_MAX = 32 << 20
BODIES_BYTES_MAX = 96 << 20
"""Of all requests of a turn that are under way at a time."""
TIMEOUT = httpx.Timeout(600.0, connect=10.0)
_DROPPED = {
    *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding"),
    *("upgrade", "host", "content-length", "accept-encoding", "expect", "cookie"),
    *("content-type", "content-encoding", "x-http-method-override", "x-http-method", "x-method-override"),
    *("authorization", "x-api-key", "x-goog-api-key"),
}
"""Headers of a request that are not sent on: those of the connection, whatever says who asks, and whatever could make a
provider read the call as another one than it was read here."""
_KEPT_BACK = {"connection", "keep-alive", "transfer-encoding", "upgrade", "set-cookie", "server", "date"}

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Gone(Exception):
    """Whoever asked has left."""


class Unrecorded(Exception):
    """What a call may cost cannot be written down, so it is not made, or not answered."""


def upstream() -> httpx.AsyncClient:
    """A client for all providers; it keeps connections open."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
    return httpx.AsyncClient(timeout=TIMEOUT, limits=limits, follow_redirects=False)


class Proxy:
    """Answers requests."""

    def __init__(self, client: httpx.AsyncClient, environ: Mapping[str, str]) -> None:
        """`environ` holds the providers' keys by the names that grants say."""
        self._client, self._environ = client, environ

    async def answer(self, desk: Desk | None, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request of a turn; None: nobody knows the turn that asks."""
        headers, query = _headers(scope), _query(scope)
        path = scope["path"]
        known = desk is not None and hmac.compare_digest(key_of(headers, query).encode(), desk.grant.key.encode())
        if desk is None or not known or desk.is_over:
            await _say(send, 401, {"error": {"message": "ganger does not know this key: the turn it was for is over"}})
            return
        try:
            await self._pass_on(desk, f"{scope['method']} {path}", headers, query, receive, send)
        except (Unfit, TooMuch) as error:
            with contextlib.suppress(OSError):
                desk.note(Refused(str(error)))
            await _say(send, 403, desk.api.error(403, f"refused by ganger: {error}"))
        except Unrecorded as error:
            await _say(send, 503, desk.api.error(503, f"ganger cannot write down what a call costs: {error}"))
        except Gone:
            # The connection is cut without an end, so that nobody takes a part for the whole.
            return

    async def _pass_on(
        self, desk: Desk, what: str, headers: Mapping[str, str], query: dict[str, str], receive: Receive, send: Send
    ) -> None:
        api, path = desk.api, what.partition(" ")[2]
        paid = api.paid.fullmatch(what) is not None
        if not paid and api.free.fullmatch(what) is None:
            raise Unfit(f"{what[:200]} is not a call that ganger knows of {api.name}")
        body = await _body(receive, desk)
        exchange = _Exchange(desk, None)
        try:
            granted = await _reserved(desk, api.read(path, body), path) if paid else None
            exchange = _Exchange(desk, granted)
            shown = _within_context(headers, granted.price.context if granted and granted.price else CONTEXT_MAX)
            request = self._request(desk, what, shown, query, granted.body if granted else body)
            await _while_there(exchange.run(self._client, request, send), receive)
        except KeyError as error:
            await exchange.settle(sent=False)
            await _say(
                send,
                502,
                api.error(502, f"ganger has no key for the provider: {error} is not set where it was started"),
            )
        finally:
            desk.held_bytes -= len(body)
            await exchange.settle(sent=True)

    def _request(
        self, desk: Desk, what: str, headers: Mapping[str, str], query: dict[str, str], body: bytes
    ) -> httpx.Request:
        method, _, path = what.partition(" ")
        kept = {name: value for name, value in headers.items() if name not in _DROPPED}
        kept["accept-encoding"] = "identity"
        if method == "POST":
            kept["content-type"] = "application/json"
        if desk.grant.key_env:
            key = self._environ[desk.grant.key_env]
            kept[desk.api.key_header] = f"Bearer {key}" if desk.api.key_header == "authorization" else key
        asked = {name: value for name, value in query.items() if _is_plain(name, value)}
        base = (desk.grant.upstream or desk.api.upstream).rstrip("/")
        url = f"{base}{path}" + (f"?{urlencode(asked)}" if asked else "")
        as_they_came = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in kept.items()]
        return self._client.build_request(method, url, headers=as_they_came, content=body)


def _within_context(headers: Mapping[str, str], context: int) -> Mapping[str, str]:
    """The headers without the wish for a longer context than a call is reckoned to have at most."""
    if context >= CONTEXT_MAX or "anthropic-beta" not in headers:
        return headers
    wishes = [one.strip() for one in headers["anthropic-beta"].split(",")]
    return {**headers, "anthropic-beta": ",".join(one for one in wishes if not one.startswith("context-1m"))}


def key_in(scope: Scope) -> str:
    """The key that a request shows."""
    return key_of(_headers(scope), _query(scope))


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def _is_plain(name: str, value: str) -> bool:
    """Whether a parameter is no key, and has no part in how the provider reads the call."""
    return name != "key" and not name.startswith("$") and (name != "alt" or value in ("sse", "json"))


def _query(scope: Scope) -> dict[str, str]:
    return dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))


class _Exchange:
    """One call on its way: it is settled exactly once, whatever becomes of it."""

    def __init__(self, desk: Desk, granted: Granted | None) -> None:
        self._desk, self._granted = desk, granted
        self._meter: Meter | None = None
        self._is_refused = False

    async def run(self, client: httpx.AsyncClient, request: httpx.Request, send: Send) -> None:
        """Send the request on and the answer back."""
        try:
            response = await client.send(request, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            await self.settle(sent=False)
            await _say(send, 502, self._desk.api.error(502, f"the provider cannot be reached: {_short(error)}"))
            return
        except httpx.HTTPError as error:
            await _say(send, 502, self._desk.api.error(502, f"the provider did not answer: {_short(error)}"))
            return
        try:
            await self._back(response, send)
        finally:
            await response.aclose()

    async def _back(self, response: httpx.Response, send: Send) -> None:
        limited = refusal_of(response.status_code, response.headers, round(time.time() * 1000))
        if limited is not None:
            self._desk.note(limited)
        self._is_refused = response.status_code >= 400
        streams = response.headers.get("content-type", "").startswith("text/event-stream")
        meter = self._meter = Meter(self._desk.api, streams=streams)
        if self._granted is not None:
            try:
                await self._granted.kept
            except OSError as error:
                raise Unrecorded(error.strerror) from error
        headers = [pair for pair in response.headers.raw if pair[0].lower().decode("latin-1") not in _KEPT_BACK]
        await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        try:
            async for chunk in response.aiter_raw():
                meter.feed(chunk)
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except httpx.HTTPError as error:
            # Cut off: whoever asked must see that as well, and not take it for the end.
            raise Gone from error
        meter.end()
        await self.settle(sent=True)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def settle(self, *, sent: bool) -> None:
        """Charge what the call used: nothing when it never left or was refused, the most when nobody said."""
        granted, self._granted = self._granted, None
        if granted is None:
            return
        if not sent or self._is_refused:
            await self._desk.nothing(granted)
        else:
            await self._desk.charge(granted, self._meter.used if self._meter and self._meter.is_told else None)


async def _while_there(work: Awaitable[None], receive: Receive) -> None:
    """Do the work unless whoever asked leaves before it is done: then Gone, and the work is broken off."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Gone
        working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _reserved(desk: Desk, call: Call, path: str) -> Granted:
    try:
        return await desk.reserve(path, call)
    except OSError as error:
        raise Unrecorded(error.strerror) from error


async def _body(receive: Receive, desk: Desk) -> bytes:
    """Take in a request; its desk holds so many bytes more when it is there."""
    parts, size = [], 0
    is_whole = False
    try:
        while not is_whole:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Gone
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            desk.held_bytes += len(parts[-1])
            if size > BODY_BYTES_MAX:
                raise Unfit(f"the request is longer than {BODY_BYTES_MAX >> 20} MiB")
            if desk.held_bytes > BODIES_BYTES_MAX:
                raise Unfit(f"requests of more than {BODIES_BYTES_MAX >> 20} MiB are under way")
            is_whole = not message.get("more_body")
        return b"".join(parts)
    finally:
        desk.held_bytes -= 0 if is_whole else size


async def _say(send: Send, status: int, body: Mapping[str, Any]) -> None:
    text = msgspec.json.encode(body)
    headers: Iterable[tuple[bytes, bytes]] = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(text)).encode()),
        (b"x-should-retry", b"false"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": text, "more_body": False})


def _short(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:200]
