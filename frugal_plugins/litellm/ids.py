"""The provider's own names for answers, out of those LiteLLM gives them."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

_PREFIX: Final = "resp_"
_WITHIN: Final = b"response_id:"


def provider_name(named: Any) -> str | None:
    """An answer's id as the provider knows it; LiteLLM wraps those of the Responses API, with the deployment, in base64.

    >>> provider_name("resp_bGl0ZWxsbTptb2RlbF9pZDp4O3Jlc3BvbnNlX2lkOnJlc3BfMQ==")
    'resp_1'
    >>> provider_name("msg_01")
    'msg_01'
    """
    if not isinstance(named, str) or not named:
        return None
    if not named.startswith(_PREFIX):
        return named
    try:
        inside = base64.b64decode(named.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return named
    found = inside.partition(_WITHIN)[2]
    return found.decode("utf-8", "replace") or named
