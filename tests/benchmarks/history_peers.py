"""What other tools send for the same conversations: LangChain's trim_messages and summaries, LiteLLM's trim_messages and compress."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from frugal_plugins.text.summary import Said, summarise
from frugal_plugins.text.turns import tokens_of
from frugal_plugins.tokens import count_text
from tests.benchmarks.history_data import Talk

Message = Mapping[str, Any]
COUNTED_AS = "gpt-4o"
SHARE = 0.6
OUTPUT_PRICE = 5
SUMMARY_TOKENS = 300


def plain(talk: Talk) -> Talk:
    """The same conversation with only the fields every tool understands."""
    kept = ("role", "content", "tool_calls", "tool_call_id", "name")
    return Talk(
        talk.name,
        tuple({name: message[name] for name in kept if message.get(name) is not None or name == "content"} for message in talk.messages),
        talk.facts,
    )


def _allowed(messages: Sequence[Message]) -> int:
    """The system prompt and a share of the history."""
    return tokens_of(messages[0], COUNTED_AS) + int(sum(tokens_of(message, COUNTED_AS) for message in messages[1:]) * SHARE)


def langchain_trim(messages: Sequence[Message]) -> Sequence[Message]:
    """`trim_messages` to a share of the tokens, system kept, starting on a human message."""
    from langchain_core.messages import BaseMessage, convert_to_messages, convert_to_openai_messages, trim_messages

    def count(found: list[BaseMessage]) -> int:
        return sum(count_text(str(one.text)) + count_text(str(getattr(one, "tool_calls", None) or "")) + 4 for one in found)

    most = _allowed(messages)
    trimmed = trim_messages(
        convert_to_messages([dict(message) for message in messages]),
        max_tokens=most,
        strategy="last",
        start_on="human",
        include_system=True,
        token_counter=count,
    )
    return _plain_dicts(convert_to_openai_messages(trimmed)) or messages


def litellm_trim(messages: Sequence[Message]) -> Sequence[Message]:
    """LiteLLM's `trim_messages` to the same share."""
    from litellm.utils import trim_messages

    logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)

    body = [dict(message) for message in messages]
    trimmed = trim_messages(copy.deepcopy(body), model=COUNTED_AS, max_tokens=_allowed(messages), trim_ratio=1.0)
    return list(trimmed)


def litellm_compress(messages: Sequence[Message]) -> Sequence[Message]:
    """LiteLLM's `compress` to the same share; its stubs and its retrieval note count."""
    from litellm.compression import compress

    most = _allowed(messages)
    found = compress(messages=copy.deepcopy([dict(m) for m in messages]), model=COUNTED_AS, compression_trigger=0, compression_target=most)
    return list(found["messages"])


class Summarization:
    """SummarizationMiddleware over a whole conversation; its summaries are ours, billed as its own model would."""

    def __init__(self, trigger_tokens: int = 4000, keep_messages: int = 20) -> None:
        from langchain.agents.middleware import SummarizationMiddleware
        from langchain_core.language_models.fake_chat_models import FakeListChatModel

        self.units = 0.0
        self.middleware = SummarizationMiddleware(
            FakeListChatModel(responses=[""]),
            trigger=("tokens", trigger_tokens),
            keep=("messages", keep_messages),
            summarizer=self._summary,
        )
        self.held: list[Any] = []
        self.seen = 0

    def _summary(self, messages: Sequence[Any]) -> str:
        text = summarise([Said(str(message.type), str(message.text)) for message in messages], SUMMARY_TOKENS)
        self.units += sum(count_text(str(message.text)) + 4 for message in messages) + 450 + OUTPUT_PRICE * count_text(text)
        return text

    def __call__(self, messages: Sequence[Message]) -> Sequence[Message]:
        from langchain_core.messages import RemoveMessage, convert_to_messages, convert_to_openai_messages

        head, rest = messages[:1], messages[1:]
        self.held += convert_to_messages([dict(message) for message in rest[self.seen :]])
        self.seen = len(rest)
        changed = self.middleware.before_model({"messages": self.held}, None)  # type: ignore[typeddict-item, arg-type]
        if changed is not None:
            self.held = [message for message in changed["messages"] if not isinstance(message, RemoveMessage)]
        return [*head, *_plain_dicts(convert_to_openai_messages(self.held))]


def _summarization(trigger_tokens: int) -> Callable[[Sequence[Message]], Sequence[Message]]:
    """A call of SummarizationMiddleware on its own messages; the summary costs no time."""
    from langchain.agents.middleware import SummarizationMiddleware
    from langchain_core.language_models.fake_chat_models import FakeListChatModel
    from langchain_core.messages import convert_to_messages

    middleware = SummarizationMiddleware(
        FakeListChatModel(responses=[""]),
        trigger=("tokens", trigger_tokens),
        keep=("messages", 20),
        summarizer=lambda _: "What was said before.",
    )
    converted: list[Any] = []

    def call(messages: Sequence[Message]) -> Sequence[Message]:
        if not converted:
            converted.extend(convert_to_messages([dict(message) for message in messages]))
        middleware.before_model({"messages": list(converted)}, None)  # type: ignore[typeddict-item, arg-type]
        return messages

    return call


def _late(trigger_tokens: int) -> Callable[[Sequence[Message]], Sequence[Message]]:
    made: list[Callable[[Sequence[Message]], Sequence[Message]]] = []

    def call(messages: Sequence[Message]) -> Sequence[Message]:
        if not made:
            made.append(_summarization(trigger_tokens))
        return made[0](messages)

    return call


SUMMARIZATION = {
    "langchain SummarizationMiddleware, nothing to do": _late(10**6),
    "langchain SummarizationMiddleware, summing up": _late(100),
}


def _plain_dicts(messages: Any) -> list[Message]:
    return [dict(message) for message in (messages if isinstance(messages, list) else [messages])]


def timed(policy: Callable[[Sequence[Message]], Sequence[Message]], messages: Sequence[Message], times: int = 5) -> float:
    """Milliseconds of a call, the best of a few."""
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        policy(messages)
        best = min(best, time.perf_counter() - start)
    return round(best * 1000, 3)
