"""The providers' own clients, pointed at the sandbox, with their retries off."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from anthropic import Anthropic
from openai import OpenAI

from frugal_plugins.sandbox import Sandbox


@pytest.fixture
def openai_client(sandbox: Sandbox) -> Iterator[OpenAI]:
    with OpenAI(base_url=sandbox.openai_base_url, api_key="sk-one", max_retries=0) as client:
        yield client


@pytest.fixture
def anthropic_client(sandbox: Sandbox) -> Iterator[Anthropic]:
    with Anthropic(base_url=sandbox.anthropic_base_url, api_key="sk-ant-one", max_retries=0) as client:
        yield client
