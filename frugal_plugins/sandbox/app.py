"""The door: who calls, what for, what goes wrong on order; then the endpoint answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from frugal_plugins.sandbox import api_errors
from frugal_plugins.sandbox.api_errors import ApiError
from frugal_plugins.sandbox.codec import dumps, loads, words
from frugal_plugins.sandbox.faults import ACCEPTED, Fault
from frugal_plugins.sandbox.invoice import key_hash
from frugal_plugins.sandbox.provider import Call, JsonReply, Provider, ReceivedRequest, StreamReply, new_id
from frugal_plugins.sandbox.wire import Wire

Answering = Callable[[Provider, Call], JsonReply | StreamReply]

Headers = list[tuple[bytes, bytes]]

_KEPT = words(
    """
    authorization content-type user-agent x-api-key anthropic-version anthropic-beta openai-organization openai-project
    idempotency-key x-stainless-retry-count accept traceparent
    """
)

_OPENAI_LIMITS: Headers = [
    (b"x-ratelimit-limit-requests", b"10000"),
    (b"x-ratelimit-limit-tokens", b"10000000"),
    (b"x-ratelimit-remaining-requests", b"9999"),
    (b"x-ratelimit-remaining-tokens", b"9999000"),
    (b"x-ratelimit-reset-requests", b"6ms"),
    (b"x-ratelimit-reset-tokens", b"6ms"),
    (b"openai-version", b"2020-10-01"),
    (b"openai-organization", b"sandbox"),
]

_ANTHROPIC_LIMITS: Headers = [
    (b"anthropic-ratelimit-requests-limit", b"4000"),
    (b"anthropic-ratelimit-requests-remaining", b"3999"),
    (b"anthropic-ratelimit-input-tokens-limit", b"2000000"),
    (b"anthropic-ratelimit-input-tokens-remaining", b"1999000"),
    (b"anthropic-ratelimit-output-tokens-limit", b"400000"),
    (b"anthropic-ratelimit-output-tokens-remaining", b"399000"),
    (b"anthropic-organization-id", b"sandbox"),
]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One URL.

    `dialect` None lets the request decide, as `GET /v1/models` must: Anthropic's clients send a version header.
    An endpoint that does not take JSON (a file upload) finds the body in `Call.raw`.
    """

    path: str
    method: str
    name: str
    answer: Answering
    dialect: str | None = "openai"
    takes_json: bool = True


def build_app(provider: Provider, endpoints: tuple[Endpoint, ...], admin: tuple[Route, ...] = ()) -> ASGIApp:
    """The ASGI application: the endpoints, the admin routes, and a provider-shaped 404 for anything else."""
    nowhere = Endpoint("", "", "unknown", _unknown_url, None)
    routes = [Route(one.path, _Served(provider, one), methods=[one.method]) for one in endpoints]
    router = Router([*routes, *admin], redirect_slashes=False, default=_Served(provider, nowhere))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["sandbox.transport"] = getattr(getattr(send, "__self__", None), "transport", None)
        provider.in_flight += 1
        try:
            await router(scope, receive, send)
        finally:
            provider.in_flight -= 1

    return app


class _Served:
    """An endpoint as an ASGI application."""

    def __init__(self, provider: Provider, endpoint: Endpoint) -> None:
        self._provider = provider
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wire = Wire(scope, receive, send)
        headers = _headers(scope)
        raw = await wire.read()
        dialect = self._endpoint.dialect or ("anthropic" if "anthropic-version" in headers else "openai")
        anthropic = dialect == "anthropic"
        request_id = new_id("req_")
        try:
            reply, fault = self._reply(scope, headers, raw, anthropic, request_id)
            if self._provider.latency_seconds:
                await asyncio.sleep(self._provider.latency_seconds)
            await self._send(wire, reply, fault, _reply_headers(anthropic, request_id, reply.headers))
        except ApiError as error:
            body = dumps(error.body(anthropic=anthropic, request_id=request_id))
            await wire.json(error.status, body, _reply_headers(anthropic, request_id, error.headers))
        except _Silence as silence:
            await self._be_silent(wire, silence.fault)

    def _reply(
        self, scope: Scope, headers: Mapping[str, str], raw: bytes, anthropic: bool, request_id: str
    ) -> tuple[JsonReply | StreamReply, Fault | None]:
        """Log, check the key, let faults happen, and answer."""
        api_key = _api_key(headers)
        body = _parsed(raw)
        at = self._provider.clock.now()
        kept = {name: value for name, value in headers.items() if name in _KEPT}
        self._provider.log(ReceivedRequest(scope["method"], scope["path"], body, raw, kept, api_key, at))
        self._check_key(api_key, anthropic)
        fields = body if isinstance(body, dict) else {}
        model = fields.get("model")
        fault = self._provider.faults.take(self._endpoint.name, model, streamed=fields.get("stream") is True)
        if fault is not None:
            _refuse(fault, model, anthropic, streamed=fields.get("stream") is True)
        if self._endpoint.takes_json and raw and not isinstance(body, dict):
            raise _not_json(anthropic)
        fields = {**_query(scope), **fields, **scope.get("path_params", {})}
        call = Call(self._endpoint.name, fields, key_hash(api_key or ""), request_id, headers, raw)
        reply = self._endpoint.answer(self._provider, call)
        if fault is not None and fault.kind in ACCEPTED:
            _say_otherwise(fault, anthropic)
        return reply, fault

    def _check_key(self, api_key: str | None, anthropic: bool) -> None:
        if not api_key:
            raise api_errors.no_key(anthropic=anthropic)
        if self._provider.keys is not None and api_key not in self._provider.keys:
            raise api_errors.wrong_key(api_key, anthropic=anthropic)

    async def _send(self, wire: Wire, reply: JsonReply | StreamReply, fault: Fault | None, headers: Headers) -> None:
        if isinstance(reply, StreamReply):
            await wire.stream(reply, fault, headers, self._provider.chunk_seconds)
            return
        body = reply.body if isinstance(reply.body, bytes) else dumps(reply.body)
        await wire.json(200, body[: len(body) // 2] if fault is not None else body, headers)

    async def _be_silent(self, wire: Wire, fault: Fault) -> None:
        if fault.kind in ("timeout", "accepted_timeout"):
            await wire.hold(fault.hold_seconds, lambda: self._provider.stopping)
        await wire.drop()


class _Silence(Exception):
    """This call gets no answer at all."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.kind)
        self.fault = fault


def _refuse(fault: Fault, model: str | None, anthropic: bool, *, streamed: bool) -> None:
    """Raise what a fault answers with; a fault that spoils the answer instead lets it through."""
    if fault.kind == "rate_limit":
        raise api_errors.rate_limited(fault.retry_after_seconds, model, anthropic=anthropic)
    if fault.kind == "server_error":
        raise api_errors.server_error(anthropic=anthropic)
    if fault.kind == "overloaded":
        raise api_errors.overloaded(anthropic=anthropic)
    if fault.kind == "unauthorized":
        raise api_errors.wrong_key("", anthropic=anthropic)
    if fault.kind == "forbidden":
        raise api_errors.forbidden(anthropic=anthropic)
    if fault.kind == "timeout" or (fault.kind == "disconnect" and not streamed):
        raise _Silence(fault)


def _say_otherwise(fault: Fault, anthropic: bool) -> None:
    """The call has taken effect; its caller does not get to know."""
    if fault.kind == "accepted_error":
        raise api_errors.server_error(anthropic=anthropic)
    raise _Silence(fault)


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _query(scope: Scope) -> dict[str, str]:
    """What stands behind the question mark of a GET."""
    return dict(parse_qsl(scope["query_string"].decode("latin-1"))) if scope["method"] == "GET" else {}


def _api_key(headers: Mapping[str, str]) -> str | None:
    """The key of either convention; Anthropic's clients may send both, and then `x-api-key` counts."""
    if headers.get("x-api-key"):
        return headers["x-api-key"]
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _parsed(raw: bytes) -> Any:
    try:
        return loads(raw) if raw else None
    except ValueError:
        return None


def _not_json(anthropic: bool) -> ApiError:
    if anthropic:
        return api_errors.bad_request("The request body is not valid JSON.")
    return api_errors.bad_request("We could not parse the JSON body of your request. The API expects a JSON object.")


def _reply_headers(anthropic: bool, request_id: str, extra: Mapping[str, str]) -> Headers:
    name = b"request-id" if anthropic else b"x-request-id"
    limits = _ANTHROPIC_LIMITS if anthropic else _OPENAI_LIMITS
    return [(name, request_id.encode()), *limits, *((key.encode(), value.encode()) for key, value in extra.items())]


def _unknown_url(_: Provider, call: Call) -> JsonReply:
    if "anthropic-version" in call.headers:
        raise ApiError(404, "Not found", kind="not_found_error")
    served = "/v1/chat/completions, /v1/responses, /v1/embeddings, /v1/messages, /v1/models, /v1/files and the batches of both providers"
    raise ApiError(404, f"Invalid URL: the sandbox serves {served}.")
