"""LangChain's messages as the techniques see them, and back."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage

from frugal_plugins.langchain.messages import Conversation, as_dict, from_dict, plain_text

IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
CALL = {"name": "weather", "args": {"city": "Oslo"}, "id": "call_1", "type": "tool_call"}


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (SystemMessage("Be brief."), {"role": "system", "content": "Be brief."}),
        (SystemMessage("x", additional_kwargs={"__openai_role__": "developer"}), {"role": "developer", "content": "x"}),
        (HumanMessage("hi", name="ann"), {"role": "user", "content": "hi", "name": "ann"}),
        (HumanMessage(["hi", IMAGE]), {"role": "user", "content": [{"type": "text", "text": "hi"}, IMAGE]}),
        (HumanMessage([{"type": "not_known_yet", "x": 1}]), {"role": "user", "content": [{"type": "not_known_yet", "x": 1}]}),
        (ChatMessage("hi", role="critic"), {"role": "critic", "content": "hi"}),
        (AIMessage("Yes.", response_metadata={"id": "chatcmpl-1"}, id="x"), {"role": "assistant", "content": "Yes."}),
        (
            AIMessage("", tool_calls=[CALL]),  # type: ignore[list-item]
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}],
            },
        ),
        (ToolMessage("Sunny", tool_call_id="call_1"), {"role": "tool", "content": "Sunny", "tool_call_id": "call_1"}),
        (
            ToolMessage("No", tool_call_id="call_1", status="error"),
            {"role": "tool", "content": "No", "tool_call_id": "call_1", "status": "error"},
        ),
    ],
)
def test_a_message_in_the_chat_apis_words(message: BaseMessage, said: dict[str, Any]) -> None:
    assert as_dict(message) == said
    assert as_dict(from_dict(said)) == said


def test_a_model_gets_the_callers_own_messages_except_the_changed_ones() -> None:
    mine = [SystemMessage("Be brief."), HumanMessage("Is it late?", id="h1")]
    conversation = Conversation.of(mine)
    shorter = {"role": "user", "content": "Late?"}
    back = conversation.back((conversation.dicts[0], shorter))
    assert back[0] is mine[0]
    assert (type(back[1]), back[1].content) == (HumanMessage, "Late?")
    assert conversation.back(conversation.dicts)[1] is mine[1]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Yes.", "Yes."),
        ([{"type": "thinking", "thinking": "..."}, {"type": "text", "text": "Yes."}], "Yes."),
        ([{"type": "text", "text": "Yes.", "citations": [{"url": "x"}]}], None),
        ([IMAGE], None),
        ([], ""),
    ],
)
def test_the_text_worth_storing(content: Any, text: str | None) -> None:
    assert plain_text(content) == text
