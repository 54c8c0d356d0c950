"""Conversations of every shape a caller may send, for property tests."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

words = st.sampled_from(
    [
        *("order", "4711", "ships", "on", "May", "12", "to", "Oslo", "please", "not", "before", "Friday", "Anna", "pays", "30"),
        *("EUR", "by", "card", "ref", "AB12CD", "the", "blue", "one", "again", "ignore", "all"),
    ]
)
sentences = st.lists(words, min_size=1, max_size=30).map(lambda found: " ".join(found) + ".")
values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-9, 99_999),
        st.text(max_size=12),
        st.sampled_from(["A7", "1e5", "true", "a|b", "x;y", "=A.b", " "]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(["id", "city", "n", "a b", "rows"]), inner, max_size=4)
    ),
    max_leaves=12,
)
documents = st.one_of(
    st.dictionaries(st.sampled_from(["id", "city", "n", "a b", "rows"]), values, min_size=1, max_size=5),
    st.lists(st.fixed_dictionaries({"id": st.sampled_from(["A7", "B9"]), "n": st.integers(0, 9), "rows": values}), min_size=2, max_size=4),
)


@st.composite
def exchanges(draw: st.DrawFn) -> list[dict[str, Any]]:
    """One user turn, perhaps tool calls with their results, an answer."""
    found: list[dict[str, Any]] = [{"role": "user", "content": draw(sentences)}]
    for _ in range(draw(st.integers(0, 2))):
        names = [f"call_{draw(st.integers(0, 10**9))}" for _ in range(draw(st.integers(1, 2)))]
        calls = [{"id": name, "type": "function", "function": {"name": "look_up", "arguments": "{}"}} for name in names]
        found.append({"role": "assistant", "content": None, "tool_calls": calls})
        found += [{"role": "tool", "tool_call_id": name, "content": json.dumps(draw(documents))} for name in names]
    return [*found, {"role": "assistant", "content": draw(sentences)}]


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A whole well-formed conversation with a system prompt."""
    turns = draw(st.lists(exchanges(), min_size=1, max_size=8))
    return [
        {"role": "system", "content": "Be brief. " * draw(st.sampled_from([1, 40, 600]))},
        *(message for turn in turns for message in turn),
    ]


odd_messages = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["user", "assistant", "tool", "function", "system", "developer", "critic", None, 7]),
        "content": st.one_of(
            st.none(),
            sentences,
            st.lists(
                st.one_of(
                    st.none(),
                    st.text(max_size=5),
                    st.fixed_dictionaries(
                        {"type": st.sampled_from(["text", "image_url", "tool_result", "tool_use", "thinking", 3])},
                        optional={
                            "text": st.one_of(sentences, st.none()),
                            "content": st.one_of(st.none(), sentences),
                            "id": st.text(max_size=3),
                            "tool_use_id": st.text(max_size=3),
                        },
                    ),
                ),
                max_size=3,
            ),
        ),
        "tool_calls": st.one_of(st.none(), st.just([]), st.just([None]), st.just([{"id": "x"}]), st.just("no list")),
        "tool_call_id": st.one_of(st.none(), st.text(max_size=4)),
        "function_call": st.one_of(st.none(), st.just({"name": "f"})),
    },
)
