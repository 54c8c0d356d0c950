"""LangChain's own standard suites for chat models, as they are."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from frugal_plugins import Recipe
from frugal_plugins.langchain import FrugalRouter
from frugal_plugins.sandbox import Sandbox

_PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
_PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"

_RECIPE = {
    "recipe": "standard",
    "tasks": {"yes_no": {"tier": "simple", "output_tokens": 5}},
    "cache": {},
    "route": {},
    "cap": {},
    "ledger": "off",
}


# What a model must say in the tests that look at the content; everything else the sandbox makes up. Off stay the tests with
# audio, which none of these models hears, and those that need recorded traffic of a provider.
_RECORDED: tuple[Mapping[str, Any], ...] = (
    {
        "user": "What is the weather in San Francisco, CA?",
        "outputs": {"*": {"tool_calls": [{"name": "get_weather", "arguments": {"location": "San Francisco, CA"}}]}},
    },
    {"user": "What is the weather in San Francisco, CA?", "after": ["It's sunny."], "outputs": {"*": "It is sunny in San Francisco."}},
    *(
        {
            "user": f"Create a customer named '{name}' ({english}) - a {kind} company",
            "outputs": {"*": {"tool_calls": [{"name": "unicode_customer", "arguments": {"customer_name": name, "description": kind}}]}},
        }
        for name, english, kind in (
            ("你好啊集团", "Hello Group", "Chinese technology"),
            ("こんにちは株式会社", "Hello Corporation", "Japanese"),
        )
    ),
    {
        "user": "Tell me a joke about cats. Return the result as a JSON with 'setup' and 'punchline' keys. Return nothing other than JSON.",
        "outputs": {"*": '{"setup": "Why did the cat sit on the computer?", "punchline": "To keep an eye on the mouse."}'},
    },
)


def _recipe(*names: str) -> Recipe:
    cheap, dear = names
    return Recipe.load({**_RECIPE, "tiers": {"simple": {"models": [cheap]}, "standard": {"models": [dear]}}})


def _openai(base_url: str) -> dict[str, Any]:
    names = ("openai/gpt-4o-mini", "openai/gpt-4o")
    models = {name: ChatOpenAI(model=name.split("/")[1], base_url=base_url, api_key="k", max_retries=0) for name in names}
    return {"recipe": _recipe(*names), "models": models}


def _anthropic(base_url: str) -> dict[str, Any]:
    names = ("anthropic/claude-haiku-4-5", "anthropic/claude-sonnet-4-5")
    models = {name: ChatAnthropic(model_name=name.split("/")[1], base_url=base_url, api_key="k", max_retries=0) for name in names}
    return {"recipe": _recipe(*names), "models": models}


class TestUnit(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return FrugalRouter

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return _openai("http://127.0.0.1:9/v1")

    @property
    def model_override_value(self) -> str:
        return "gpt-4o"

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return (
            {"OPENAI_API_KEY": "k"},
            {"recipe": _recipe("openai/gpt-4o-mini", "openai/gpt-4o"), "model": "openai/gpt-4o"},
            {"model": "openai/gpt-4o"},
        )


class _OverTheSandbox(ChatModelIntegrationTests):
    @pytest.fixture(autouse=True)
    def _provider(self, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        self._sandbox = sandbox
        # The suite reads its picture and its PDF from the internet; here they are read from this file.
        monkeypatch.setattr(httpx, "get", lambda url, **_: httpx.Response(200, content=_PDF if url.endswith(".pdf") else _PNG))
        for line in _RECORDED:
            sandbox.provider.book.add(line)

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return FrugalRouter

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def supports_image_urls(self) -> bool:
        return True

    @property
    def supports_image_tool_message(self) -> bool:
        return True

    @property
    def supports_pdf_inputs(self) -> bool:
        return True

    @property
    def supports_pdf_tool_message(self) -> bool:
        return True


class TestOpenAITiers(_OverTheSandbox):
    @property
    def chat_model_params(self) -> dict[str, Any]:
        return _openai(self._sandbox.openai_base_url)

    @property
    def model_override_value(self) -> str:
        return "gpt-4o"

    @property
    def supports_json_mode(self) -> bool:
        return True


class TestAnthropicTiers(_OverTheSandbox):
    @property
    def chat_model_params(self) -> dict[str, Any]:
        return _anthropic(self._sandbox.anthropic_base_url)

    @property
    def model_override_value(self) -> str:
        return "claude-sonnet-4-5"

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True
