"""Text that matches a simple regular expression: literals, classes, groups, alternatives and repeats."""

from __future__ import annotations

import re

from frugal_plugins.sandbox.dice import Dice

_CLASSES = {"d": "0123456789", "w": "abcdefghijklmnopqrstuvwxyz0123456789_", "s": " "}
_ANY = "abcdefghijklmnopqrstuvwxyz0123456789"
_MOST_REPEATS = 1_000
_REPEAT = re.compile(r"\{(\d+)(,?)(\d*)\}\??|[*+?]\??")


def matching(pattern: str, dice: Dice) -> str | None:
    """Text that `pattern` finds, or None for a pattern with parts this writer does not know (look-around, back references)."""
    try:
        text = _Reader(pattern, dice).alternatives()
        return text if re.search(pattern, text) else None
    except (re.error, IndexError, ValueError, ZeroDivisionError):
        return None


class _Reader:
    def __init__(self, pattern: str, dice: Dice) -> None:
        self._pattern = pattern
        self._place = 0
        self._dice = dice

    def alternatives(self) -> str:
        """One of the branches up to the closing bracket or the end. All are read, so that the place moves past them."""
        branches = [self._branch()]
        while self._peek() == "|":
            self._place += 1
            branches.append(self._branch())
        return self._dice.pick(branches)

    def _peek(self) -> str:
        return self._pattern[self._place : self._place + 1]

    def _branch(self) -> str:
        written = []
        while self._peek() not in ("", "|", ")"):
            start = self._place
            text = self._atom()
            end = self._place
            low, high = self._repeat()
            after = self._place
            times = self._dice.between(low, high)
            parts = [text] if times else []
            for _ in range(times - 1):
                self._place = start
                parts.append(self._atom())
            self._place = after if times else max(after, end)
            written.extend(parts)
        return "".join(written)

    def _repeat(self) -> tuple[int, int]:
        found = _REPEAT.match(self._pattern, self._place)
        if not found:
            return 1, 1
        self._place = found.end()
        if found[1] is not None:
            low = int(found[1])
            high = int(found[3]) if found[3] else low + 2 if found[2] else low
            if high > _MOST_REPEATS:
                raise ValueError("too many repeats to write out")
            return low, high
        return {"*": (0, 3), "+": (1, 4), "?": (0, 1)}[found[0][0]]

    def _atom(self) -> str:
        sign = self._pattern[self._place]
        self._place += 1
        if sign == "(":
            return self._group()
        if sign == "[":
            return self._dice.pick(self._set())
        if sign == "\\":
            return self._escape()
        if sign in "^$":
            return ""
        return self._dice.pick(_ANY) if sign == "." else sign

    def _group(self) -> str:
        if self._pattern.startswith("?:", self._place):
            self._place += 2
        elif self._peek() == "?":
            raise ValueError("only plain groups can be written")
        text = self.alternatives()
        self._place += 1
        return text

    def _escape(self) -> str:
        sign = self._pattern[self._place]
        self._place += 1
        if sign in "bB":
            return ""
        return self._dice.pick(_CLASSES[sign]) if sign in _CLASSES else {"n": "\n", "t": "\t"}.get(sign, sign)

    def _set(self) -> str:
        """The characters a bracket expression allows."""
        negated = self._peek() == "^"
        self._place += negated
        allowed: list[str] = []
        while self._peek() != "]" or not allowed:
            sign = self._pattern[self._place]
            self._place += 1
            if sign == "\\":
                sign = self._pattern[self._place]
                self._place += 1
                if sign in _CLASSES:
                    allowed.extend(_CLASSES[sign])
                    continue
            if self._peek() == "-" and self._pattern[self._place + 1] != "]":
                last = self._pattern[self._place + 1]
                self._place += 2
                allowed.extend(chr(code) for code in range(ord(sign), ord(last) + 1))
            else:
                allowed.append(sign)
        self._place += 1
        return "".join(one for one in _ANY if one not in allowed) if negated else "".join(allowed)
