"""Talking to a provider: every answer is one of done, refused (nothing happened), or nobody knows."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from frugal_plugins.errors import FrugalError, NotReachable

_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol, httpx.ProxyError)
_UNKNOWN_STATUS: Final = frozenset({408, 409})


class Refusal(FrugalError):
    """The provider said no, or was not reached: nothing happened and nothing is paid.

    Attributes:
        again: whether the same may work later (a rate limit, no connection).
        wait_seconds: how long the provider asked to wait.
    """

    def __init__(self, message: str, *, status: int | None = None, again: bool = False, wait_seconds: float = 0.0, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.again = again
        self.wait_seconds = wait_seconds
        self.code = code


class NoAnswer(FrugalError):
    """Nobody knows whether the call took effect: the connection broke after it was sent, or the provider failed on the way."""


@dataclass(frozen=True, slots=True)
class Account:
    """Where a provider is and who asks."""

    provider: str
    base_url: str
    headers: Mapping[str, str]


_PLACES: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "openai": (("OPENAI_BASE_URL", "OPENAI_API_BASE"), "https://api.openai.com/v1"),
    "anthropic": (("ANTHROPIC_API_BASE", "ANTHROPIC_BASE_URL"), "https://api.anthropic.com/v1"),
    "groq": (("GROQ_API_BASE", "GROQ_BASE_URL"), "https://api.groq.com/openai/v1"),
    "mistral": (("MISTRAL_API_BASE", "MISTRAL_BASE_URL"), "https://api.mistral.ai/v1"),
}
"""The variables that may name another address, and the provider's own."""


def account(provider: str, env: Mapping[str, str] | None = None) -> Account:
    """The account the environment names. Raises NotReachable when its key is not set."""
    env = os.environ if env is None else env
    key = env.get(f"{provider.upper()}_API_KEY", "")
    if provider == "azure":
        place = env.get("AZURE_API_BASE", "")
        if key and not place:
            raise NotReachable("AZURE_API_BASE is not set, and azure needs it (https://NAME.openai.azure.com). Set it and run again.")
        url = place.rstrip("/").removesuffix("/openai/v1") + "/openai/v1"
    else:
        names, own = _PLACES[provider]
        url = next((env[name] for name in names if env.get(name)), own)
    if not key:
        raise NotReachable(f"{provider.upper()}_API_KEY is not set, and a batch at {provider} needs it. Set it and run again.")
    if provider in ("anthropic", "mistral"):  # both are named with and without the version
        url = url.rstrip("/").removesuffix("/v1") + "/v1"
    return Account(provider, url.rstrip("/"), _headers(provider, key, env))


def _headers(provider: str, key: str, env: Mapping[str, str]) -> Mapping[str, str]:
    if provider == "anthropic":
        return {"x-api-key": key, "anthropic-version": "2023-06-01"}
    if provider == "azure":
        return {"api-key": key}
    headers = {"authorization": f"Bearer {key}"}
    if provider == "openai" and env.get("OPENAI_ORGANIZATION"):
        headers["openai-organization"] = env["OPENAI_ORGANIZATION"]
    return headers


class Line:
    """One provider's HTTP connection, without retries of its own: a create that is sent twice is paid twice."""

    def __init__(self, account: Account, timeout_seconds: float = 600.0) -> None:
        self.account = account
        self._client = httpx.Client(
            base_url=account.base_url + "/",
            headers=dict(account.headers),
            timeout=httpx.Timeout(timeout_seconds, connect=20.0),
            limits=httpx.Limits(max_connections=300),
        )

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def ask(self, method: str, path: str, **how: Any) -> dict[str, Any]:
        """A call that answers with a JSON object. Raises Refusal or NoAnswer."""
        try:
            response = self._client.request(method, path, **how)
        except _NOT_SENT as error:
            raise Refusal(f"{self.account.provider} was not reached ({type(error).__name__}); check the network", again=True) from error
        except httpx.HTTPError as error:
            raise NoAnswer(
                f"{self.account.provider} did not answer ({type(error).__name__}); it is looked up before anything is sent again"
            ) from error
        _check(response, self.account.provider)
        try:
            body = response.json()
        except ValueError as error:
            raise NoAnswer(f"{self.account.provider} answered something that is not JSON; it is looked up again") from error
        if not isinstance(body, dict):
            raise NoAnswer(f"{self.account.provider} answered JSON that is not an object; it is looked up again")
        return body

    def lines(self, path: str) -> Iterator[bytes]:
        """The lines of a download, as they come. Raises Refusal or NoAnswer."""
        try:
            with self._client.stream("GET", path) as response:
                if response.status_code != httpx.codes.OK:
                    response.read()
                    _check(response, self.account.provider)
                rest = b""
                for chunk in response.iter_bytes(1 << 16):
                    *whole, rest = (rest + chunk).split(b"\n")
                    yield from (line for line in whole if line.strip())
                if rest.strip():
                    yield rest
        except _NOT_SENT as error:
            raise Refusal(f"{self.account.provider} was not reached ({type(error).__name__}); check the network", again=True) from error
        except httpx.HTTPError as error:
            raise NoAnswer(f"the download from {self.account.provider} broke off ({type(error).__name__}); it is begun again") from error


def _check(response: httpx.Response, provider: str) -> None:
    status = response.status_code
    if status < httpx.codes.MULTIPLE_CHOICES:
        return
    if status >= httpx.codes.INTERNAL_SERVER_ERROR or status in _UNKNOWN_STATUS:
        raise NoAnswer(f"{provider} answered {status}; it is looked up before anything is sent again")
    message, code = _said(response)
    raise Refusal(
        f"{provider} refused ({status}): {message}",
        status=status,
        again=status == httpx.codes.TOO_MANY_REQUESTS,
        wait_seconds=_wait(response),
        code=code,
    )


def _said(response: httpx.Response) -> tuple[str, str]:
    try:
        error = json.loads(response.content)["error"]
        return str(error["message"])[:300], str(error.get("code") or error.get("type") or "")
    except (ValueError, KeyError, TypeError):
        return "no reason given; look at the provider's status page", ""


def _wait(response: httpx.Response) -> float:
    try:
        return min(600.0, max(0.0, float(response.headers.get("retry-after", "0"))))
    except ValueError:
        return 0.0
