"""Refusals in the providers' own words and envelopes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """What a provider answers instead of a completion.

    `kind` is the provider's error type; `param` and `code` exist on OpenAI's side only.
    """

    def __init__(
        self, status: int, message: str, *, kind: str = "invalid_request_error", param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.param = param
        self.code = code
        self.headers: Mapping[str, str] = {}

    def body(self, *, anthropic: bool, request_id: str) -> dict[str, Any]:
        """The error envelope of the provider that was asked."""
        if anthropic:
            return {"type": "error", "error": {"type": self.kind, "message": self.message}, "request_id": request_id}
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}


def bad_request(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """A 400 of either provider."""
    return ApiError(400, message, param=param, code=code)


def missing(name: str) -> ApiError:
    """OpenAI: a required field is not there."""
    return bad_request(f"Missing required parameter: '{name}'.", name, "missing_required_parameter")


def wrong_type(name: str, expected: str, value: Any) -> ApiError:
    """OpenAI: a field has another JSON type than it must have."""
    got = {bool: "a boolean", int: "an integer", float: "a decimal", str: "a string", list: "an array", dict: "an object"}
    found = "null" if value is None else got.get(type(value), "something else")
    return bad_request(f"Invalid type for '{name}': expected {expected}, but got {found} instead.", name, "invalid_type")


def below_minimum(name: str, minimum: int, value: int) -> ApiError:
    """OpenAI: a whole number is too small."""
    message = f"Invalid '{name}': integer below minimum value. Expected a value >= {minimum}, but got {value} instead."
    return bad_request(message, name, "integer_below_min_value")


def unsupported_parameter(name: str, instead: str | None = None) -> ApiError:
    """OpenAI: a reasoning model does not take this field."""
    hint = f" Use '{instead}' instead." if instead else ""
    return bad_request(f"Unsupported parameter: '{name}' is not supported with this model.{hint}", name, "unsupported_parameter")


def no_such_model(model: str, *, anthropic: bool) -> ApiError:
    """404 for a model nobody sells."""
    if anthropic:
        return ApiError(404, f"model: {model}", kind="not_found_error")
    return ApiError(404, f"The model `{model}` does not exist or you do not have access to it.", code="model_not_found")


def no_key(*, anthropic: bool) -> ApiError:
    """401: no API key was sent."""
    if anthropic:
        return ApiError(401, "x-api-key header is required", kind="authentication_error")
    return ApiError(
        401,
        "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
        "(i.e. Authorization: Bearer YOUR_KEY).",
    )


def wrong_key(key: str, *, anthropic: bool) -> ApiError:
    """401: the key is not one of those the sandbox was given. The message shows no more of it than OpenAI does."""
    if anthropic:
        return ApiError(401, "invalid x-api-key", kind="authentication_error")
    shown = f"{key[:4]}****{key[-4:]}" if len(key) > 12 else "****"
    return ApiError(401, f"Incorrect API key provided: {shown}. Check the key the client was built with.", code="invalid_api_key")


def forbidden(*, anthropic: bool) -> ApiError:
    """403: the key is known and may not do this."""
    if anthropic:
        return ApiError(403, "Your API key does not have permission to use the specified resource.", kind="permission_error")
    return ApiError(403, "You have insufficient permissions for this operation. Missing scopes: api.batch.write.", code="missing_scope")


def rate_limited(retry_after_seconds: float, model: str | None, *, anthropic: bool) -> ApiError:
    """429, with the header that says how long to wait."""
    if anthropic:
        error = ApiError(429, "This request would exceed your organization's rate limit. Please try again later.", kind="rate_limit_error")
    else:
        message = f"Rate limit reached for {model} on requests per min (RPM). Please try again in {retry_after_seconds:g}s."
        error = ApiError(429, message, kind="requests", code="rate_limit_exceeded")
    error.headers = {"retry-after": f"{retry_after_seconds:g}"}
    return error


def server_error(*, anthropic: bool) -> ApiError:
    """500."""
    if anthropic:
        return ApiError(500, "Internal server error", kind="api_error")
    return ApiError(500, "The server had an error while processing your request. Sorry about that!", kind="server_error")


def overloaded(*, anthropic: bool) -> ApiError:
    """529 at Anthropic, 503 at OpenAI."""
    if anthropic:
        return ApiError(529, "Overloaded", kind="overloaded_error")
    return ApiError(503, "The engine is currently overloaded, please try again later.", kind="service_unavailable_error")
