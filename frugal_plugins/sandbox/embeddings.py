"""POST /v1/embeddings: vectors made of a text's words and letters, so that similar texts get similar vectors."""

from __future__ import annotations

import base64
import math
import re
from array import array
from functools import lru_cache
from typing import Any

from frugal_plugins.sandbox.api_errors import bad_request, missing, wrong_type
from frugal_plugins.sandbox.chat_checks import model_card
from frugal_plugins.sandbox.counting import count
from frugal_plugins.sandbox.dice import Dice, seed_of
from frugal_plugins.sandbox.price_sheet import ModelCard
from frugal_plugins.sandbox.provider import Call, JsonReply, Provider
from frugal_plugins.sandbox.shapes import EMBEDDINGS, check_openai
from frugal_plugins.tokens import encoding, encoding_name
from frugal_plugins.usage import Usage

FIELDS = frozenset({"input", "model", "encoding_format", "dimensions", "user"})

SIZES = {"text-embedding-3-large": 3072}
"""Numbers in a vector; 1,536 for every other model."""

_WORD = re.compile(r"\w+")


def embed(provider: Provider, call: Call) -> JsonReply:
    """Answer one embeddings request."""
    body = call.body
    for name in body:
        if name not in FIELDS:
            raise bad_request(f"Unrecognized request argument supplied: {name}")
    card = model_card(body, provider.prices, "embedding")
    check_openai(body, EMBEDDINGS)
    texts, tokens = _inputs(body, card)
    full = SIZES.get(card.id, 1536)
    size = body.get("dimensions") or full
    if not isinstance(size, int) or not 1 <= size <= full:
        raise bad_request(f"Invalid value for 'dimensions': expected a number from 1 to {full}, but got {size} instead.", "dimensions")
    usage = Usage(input_tokens=tokens)
    provider.bill(call, response_id=call.request_id, model=body["model"], card=card, usage=usage)
    in_base64 = body.get("encoding_format") == "base64"
    data = [{"object": "embedding", "index": place, "embedding": _shown(vector(text, size), in_base64)} for place, text in enumerate(texts)]
    counted = {"prompt_tokens": tokens, "total_tokens": tokens}
    return JsonReply({"object": "list", "data": data, "model": body["model"], "usage": counted})


@lru_cache(maxsize=512)
def vector(text: str, size: int) -> array[float]:
    """A unit vector: every word, and every three letters of it, adds to a few of the numbers."""
    numbers = array("f", bytes(4 * size))
    for word in _WORD.findall(text.lower()) or [text or " "]:
        _add(numbers, word, 1.0)
        for start in range(len(word) - 2):
            _add(numbers, word[start : start + 3], 0.3)
    length = math.sqrt(sum(number * number for number in numbers)) or 1.0
    return array("f", [number / length for number in numbers])


def _add(numbers: array[float], feature: str, weight: float) -> None:
    dice = Dice(seed_of(feature))
    for _ in range(8):
        drawn = dice.draw()
        numbers[drawn % len(numbers)] += weight if drawn >> 63 else -weight


def _shown(numbers: array[float], in_base64: bool) -> Any:
    return base64.b64encode(numbers.tobytes()).decode() if in_base64 else numbers.tolist()


def _inputs(body: Any, card: ModelCard) -> tuple[list[str], int]:
    """The texts and their tokens together. Token arrays, which LangChain sends, are read back into text."""
    if "input" not in body:
        raise missing("input")
    given = body["input"]
    if isinstance(given, str) or (isinstance(given, list) and given and all(isinstance(item, int) for item in given)):
        given = [given]
    if not isinstance(given, list):
        raise wrong_type("input", "a string or an array", given)
    if not given or any(item in ("", []) for item in given) or len(given) > 2048:
        raise bad_request("'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference.", "input")
    texts, total = [], 0
    for item in given:
        text, tokens = _read(item, card)
        if tokens > card.context_tokens:
            limit = card.context_tokens + 1
            text = (
                f"This model's maximum context length is {limit} tokens, however you requested {tokens} tokens. Please reduce your prompt."
            )
            raise bad_request(text, None, "context_length_exceeded")
        texts.append(text)
        total += tokens
    return texts, total


def _read(item: Any, card: ModelCard) -> tuple[str, int]:
    if isinstance(item, str):
        return item, count(item, card.id)
    if isinstance(item, list) and all(isinstance(token, int) for token in item):
        try:
            return encoding(encoding_name(card.id)).decode(item), len(item)
        except (KeyError, OverflowError) as error:
            raise bad_request("'$.input' has a token that is not in the model's vocabulary.", "input") from error
    raise wrong_type("input", "a string or an array of token ids", item)
