"""With all techniques off, nobody can tell that we are there: responses, chunks, exceptions, usage and request bytes are the host's own."""

from __future__ import annotations

from tests.contract.differential import sdk
from tests.contract.differential.corpus import corpus


def test_differential_sdk() -> None:
    assert sdk.sync_differences(corpus("chat")[::2]) == []


def test_differential_sdk_async() -> None:
    assert sdk.async_differences(corpus("chat")[1::4]) == []
