"""What a provider's error means for a run: try again, write it down as this request's answer, or stop."""

from __future__ import annotations

from enum import Enum
from typing import Any, Final

_UNREACHED: Final = frozenset({"ConnectError", "ConnectTimeout", "ClientConnectorError", "ConnectionRefusedError"})
_DEEPEST: Final = 12


class Verdict(Enum):
    """What to do about an error."""

    SLOWER = "slower"
    AGAIN = "again"
    STOP = "stop"
    ANSWER = "answer"


def verdict(error: Exception) -> Verdict:
    """Sort an error of LiteLLM by what it means."""
    from litellm import exceptions as e

    if isinstance(error, e.RateLimitError):
        return Verdict.SLOWER
    if isinstance(error, (e.AuthenticationError, e.PermissionDeniedError)):
        return Verdict.STOP
    if isinstance(error, (e.InternalServerError, e.ServiceUnavailableError, e.BadGatewayError, e.APIConnectionError, e.Timeout)):
        return Verdict.AGAIN
    return Verdict.ANSWER


def was_refused(error: BaseException) -> bool:
    """Whether it is certain that nothing was paid: the provider answered with an error, or was never reached."""
    if getattr(error, "litellm_response_headers", None):
        return True
    return any(type(link).__name__ in _UNREACHED for link in _chain(error))


def may_be_paid(error: Exception) -> bool:
    """Whether the provider may bill a request that ended with this error: it was reached, and failed or fell silent on the way."""
    return verdict(error) is Verdict.AGAIN and not any(type(link).__name__ in _UNREACHED for link in _chain(error))


def what_to_do(error: Exception) -> str:
    """Why a run stops at this error, and what helps."""
    said = plain(error)
    if verdict(error) is Verdict.STOP:
        return f"the provider refuses the key: {said} Check the key in the environment"
    if verdict(error) is Verdict.SLOWER:
        return f"the provider keeps refusing for too many requests: {said} Wait a while, or use a lower --concurrency"
    return f"the provider cannot be reached or fails again and again: {said} Check its status page, the network and the base URL"


def error_record(error: Exception) -> dict[str, Any]:
    """An error as it stands in an output line."""
    return {"type": type(error).__name__, "message": plain(error), "status": getattr(error, "status_code", None)}


def plain(error: BaseException) -> str:
    """An error's first line, ended like a sentence, without LiteLLM's own prefix."""
    first = next(iter(str(error).strip().splitlines()), type(error).__name__)
    words = first.removeprefix(f"litellm.{type(error).__name__}: ").removeprefix(f"{type(error).__name__}: ")[:300].rstrip()
    return words if words.endswith((".", "!", "?")) else f"{words}."


def _chain(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting and len(found) < _DEEPEST:
        link = waiting.pop()
        if link is not None and link not in found:
            found.append(link)
            waiting += [link.__cause__, link.__context__, getattr(link, "os_error", None)]
    return found
