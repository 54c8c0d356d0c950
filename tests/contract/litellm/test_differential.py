"""With all techniques off, nobody can tell that we are there: responses, chunks, exceptions, usage and request bytes are the host's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from frugal_plugins.request import Endpoint
from tests.contract.differential import proxy, sdk
from tests.contract.differential.corpus import corpus


def test_differential_sdk() -> None:
    assert sdk.sync_differences(corpus("chat")[::2]) == []


def test_differential_sdk_async() -> None:
    assert sdk.async_differences(corpus("chat")[1::4]) == []


@pytest.fixture(scope="module")
def proxies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[proxy.Pair]:
    with proxy.pair(tmp_path_factory.mktemp("pair")) as both:
        yield both


@pytest.mark.parametrize("endpoint", ["chat", "messages"])
def test_differential_proxy(proxies: proxy.Pair, endpoint: Endpoint) -> None:
    assert proxies.differences(corpus(endpoint)[::10]) == []
