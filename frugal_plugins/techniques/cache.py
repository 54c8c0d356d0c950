"""Cache: the same question is asked once."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from frugal_plugins.answers import AnswerStore, StoredAnswer
from frugal_plugins.flow import Context, Flow, Next
from frugal_plugins.request import Message, Reply, Request, fingerprint

NOT_IN_THE_ANSWER: Final = frozenset(
    {"metadata", "stream_options", "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "service_tier", "store"}
)
"""Body fields that say who asks or how it is billed, not what is asked."""

_LONGEST_FOLDED_CHARS: Final = 300
_LITERAL: Final = re.compile(r"[`{}<>\[\]\"\\|=#@$^~*_]|https?:|(?<!\w)['’]\w")
_GREETING: Final = re.compile(
    r"^(?:(?:hi|hello|hey|good (?:morning|afternoon|evening)|dear)(?: (?:there|team|all|everyone))?\s*[,.!:;-]*\s+)+"
)
_LEADING: Final = re.compile(r"^(?:(?:please|pls|quick question|question)\s*[,:.!-]*\s+)+")
_TRAILING: Final = re.compile(r"(?:[\s,.!?;-]+(?:please|pls|thanks|thank you|thx|cheers)(?: (?:a lot|so much|in advance|very much))?)+$")
_EDGE_MARKS: Final = " \t\n.!?,;:-…"
# Words that mean another thing in capitals, or with a capital in the middle of a sentence.
_CAPITALS_MATTER: Final = frozenset({"aids", "it", "us", "who"})
_NAMES_TOO: Final = frozenset({"august", "china", "job", "march", "may", "mobile", "nice", "polish", "reading", "turkey"})


@dataclass(slots=True)
class Cache:
    """Returns the stored answer when the very same thing is asked again.

    Saves: the whole call. Risks: a stale answer (bounded by `ttl_seconds`). Everything the answer depends on is part of the
    key: who asks (`scope`), model, system prompt, all earlier turns, tools, response format and parameters. With
    `match="canonical"` a short plain last question may differ in case, spaces, greeting, "please" and end marks.
    Stored: only complete answers (`finish_reason` stop, some text, no tool calls, one choice). Stands down: for requests
    hotter than `max_temperature`, `no_cache`/`no_store` tags, and `n` > 1.

    Args:
        store: where answers are kept.
        scope: tags that must be equal for two requests to share an answer, on top of the request's own scope.
    """

    store: AnswerStore
    recipe: str = ""
    scope: tuple[str, ...] = ("tenant",)
    ttl_seconds: float = 86_400
    match: Literal["exact", "canonical"] = "canonical"
    max_temperature: float | None = None
    name: str = "cache"

    def __call__(self, request: Request, rest: Next, ctx: Context) -> Flow:
        """Look the answer up, or keep the one that comes."""
        problem = self._problem(request)
        if problem is not None:
            ctx.note(self.name, "bypassed", problem)
            return (yield from rest(request))
        key = self.key(request)
        if "no_cache" not in request.tags:
            found = self.store.get(key, ctx.clock())
            if found is not None:
                ctx.note(self.name, "hit", f"the same request was answered {_ago(ctx.clock() - found.at_seconds)} ago")
                return Reply(found.message, found.model, finish="stop", saved=found.usage)
        reply = yield from rest(request)
        refusal = _not_worth_keeping(reply)
        if refusal is None and "no_store" not in request.tags:
            now = ctx.clock()
            ttl = float(request.tags.get("ttl_seconds", self.ttl_seconds))
            self.store.put(StoredAnswer(key, dict(reply.message), reply.model, reply.usage, now, now + ttl, self._owner(request)))
            ctx.note(self.name, "stored", "complete answer")
        else:
            ctx.note(self.name, "miss", refusal or "the caller asked not to store it")
        return reply

    def key(self, request: Request) -> str:
        """A SHA-256 of everything the answer depends on."""
        *before, last = request.messages or ({},)
        params = {name: value for name, value in request.params.items() if name not in NOT_IN_THE_ANSWER and value is not None}
        return fingerprint([self.recipe, self._owner(request), request.endpoint, request.model, before, self._last(last), params])

    def _owner(self, request: Request) -> str:
        tags = {name: request.tags.get(name, "") for name in self.scope if name != "session"}
        session = request.session or "" if "session" in self.scope else ""
        return fingerprint([request.scope, tags, session, request.tags.get("namespace", "")])

    def _last(self, message: Message) -> Mapping[str, Any]:
        content = message.get("content")
        if self.match == "canonical" and message.get("role") == "user" and isinstance(content, str):
            return {**message, "content": canonical_question(content)}
        return message

    def _problem(self, request: Request) -> str | None:
        if (request.params.get("n") or 1) != 1:
            return "several choices were asked for"
        heat = request.params.get("temperature")
        if self.max_temperature is not None and isinstance(heat, (int, float)) and heat > self.max_temperature:
            return f"temperature {heat} is above the recipe's bound of {self.max_temperature}"
        return None


def canonical_question(text: str) -> str:
    """One form for questions that differ only in case, spaces, greeting, politeness and end marks.

    Long texts, code, quotations, markup and addresses are returned as they are.

    >>> canonical_question("Hi there,  do you ship to Norway? Thanks!") == canonical_question("do you ship to norway")
    True
    >>> canonical_question("Do you ship to us") == canonical_question("Do you ship to US")
    False
    """
    if len(text) > _LONGEST_FOLDED_CHARS or _LITERAL.search(text):
        return text
    plain = " ".join(unicodedata.normalize("NFC", text).replace("\u2019", "'").split())
    folded = " ".join(_fold(index, word) for index, word in enumerate(plain.split(" "))).strip(_EDGE_MARKS)
    folded = _LEADING.sub("", _GREETING.sub("", folded))
    kept = _TRAILING.sub("", folded).strip(_EDGE_MARKS)
    return "\u2248" + kept if kept else text


def _fold(index: int, word: str) -> str:
    bare = word.strip(_EDGE_MARKS)
    low = bare.casefold()
    keeps = (low in _CAPITALS_MATTER and bare.isupper()) or (low in _NAMES_TOO and index > 0 and bare != low)
    return word if keeps else word.casefold()


def _not_worth_keeping(reply: Reply) -> str | None:
    """Why an answer must not be served to the next caller, or None."""
    if reply.finish != "stop":
        return f"not kept: finish_reason {reply.finish or 'missing'}"
    if reply.message.get("tool_calls") or reply.message.get("function_call"):
        return "not kept: it calls tools"
    if reply.message.get("refusal") or not reply.text.strip():
        return "not kept: a refusal or empty"
    return "not kept: several choices" if reply.others else None


def _ago(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
