"""How much longer a conversation will last, from how long those before it lasted.

A rewrite near the end of a conversation never pays back. Where all conversations of a program end after about as many calls, that
would be lost in each of them; so the calls they reach are counted, as a life table counts years.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from frugal_plugins.prefix.reading import Reading
from frugal_plugins.text.turns import answers_in

Kind = tuple[str, str, int]
"""Conversations that are counted together: by model, owner and the size of what stands in front."""

_SAME_FRONT_TOKENS: Final = 64
_MOST_KINDS: Final = 1024
_MOST_CALLS: Final = 2000
_SURE_AFTER: Final = 3.0
"""Worth so many conversations is what is believed without having seen any."""


Ahead = Callable[[float], float]
"""How many calls are expected after this one, where so many would be believed without knowing other conversations."""


@dataclass(slots=True)
class Lasting:
    """Counts, for each kind of conversation, how many reached which call."""

    _reached: OrderedDict[Kind, list[int]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def seen(self, reading: Reading, account: tuple[str, str]) -> Ahead:
        """Count a call of a conversation; gives back how many to expect after it."""
        front = reading.params_tokens + sum(reading.tokens[: reading.head])
        kind, call = (*account, front // _SAME_FRONT_TOKENS), answers_in(reading.messages) + 1
        if call < _MOST_CALLS:
            self._count(kind, call)
        return lambda believed: self._expected(kind, call, believed)

    def _count(self, kind: Kind, call: int) -> None:
        with self._lock:
            reached = self._reached.setdefault(kind, [])
            reached.extend([0] * (call + 1 - len(reached)))
            reached[call] += 1
            self._reached.move_to_end(kind)
            if len(self._reached) > _MOST_KINDS:
                self._reached.popitem(last=False)

    def _expected(self, kind: Kind, call: int, believed: float) -> float:
        reached = self._reached.get(kind, ())
        others = (reached[call] if call < len(reached) else 0) - 1
        if others < 1:
            return believed
        went_on = sum(min(1.0, later / others) for later in reached[call + 1 :])
        return (_SURE_AFTER * believed + others * went_on) / (_SURE_AFTER + others)
