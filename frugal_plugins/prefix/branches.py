"""The states of one conversation and its forks, as the session store keeps them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from frugal_plugins.prefix.reading import Reading, State, read_state
from frugal_plugins.prefix.sessions import Session, SessionStore, session_key
from frugal_plugins.request import Request, fingerprint

_MOST_BRANCHES: Final = 4
_TRIES: Final = 5


@dataclass(slots=True)
class Branches:
    """One conversation in the store.

    Attributes:
        fresh: nothing that is known goes on with this call.
    """

    store: SessionStore
    reading: Reading
    keep_days: float
    session: Session
    fresh: bool = field(init=False, default=True)

    @classmethod
    def of(cls, store: SessionStore, request: Request, reading: Reading, technique: str, now_seconds: float, keep_days: float) -> Branches:
        """What is known of a request's conversation."""
        key = session_key(request, technique)
        owner = fingerprint([request.scope, request.tags.get("tenant", "")])
        return cls(store, reading, keep_days, store.get(key, now_seconds) or Session(key, {}, owner=owner))

    def best(self) -> State:
        """The longest state whose beginning is unchanged."""
        holding = [state for state in self._states(self.session) if self.reading.holds(state)]
        going_on = [state for state in holding if self.reading.continues(state)]
        self.fresh = not going_on
        best = max(going_on or holding, key=lambda state: (state.seen, state.mark), default=State())
        return replace(best, carry=0.0, seen=0, seen_digest="", pending=None, fetched=()) if self.fresh else best

    def again(self, now_seconds: float) -> State:
        """The best state after another worker wrote."""
        self.session = self.store.get(self.session.key, now_seconds) or replace(self.session, data={}, version=0)
        return self.best()

    def keep(self, state: State) -> bool:
        """Put a state in place of the one it grew from; False when another worker wrote in between."""
        others = [data for data in self.session.data.get("branches", ()) if not self._grown_from(read_state(data))]
        branches = [*others, state.as_json()][-_MOST_BRANCHES:]
        until = state.at_seconds + self.keep_days * 86_400
        changed = replace(self.session, data={"branches": branches, "at_seconds": state.at_seconds}, until_seconds=until)
        kept = self.store.put(changed)
        if kept:
            self.session = replace(changed, version=changed.version + 1)
        return kept

    def keep_summary(self, state: State, pending: tuple[int, str, str], now_seconds: float) -> bool:
        """Put a summary beside the state it was asked for, however the conversation has gone on meanwhile."""
        for _ in range(_TRIES):
            found = self.store.get(self.session.key, now_seconds)
            branches = self._states(found) if found else []
            asked = [(one.asked, one.digest) for one in branches]
            if found is None or (state.asked, state.digest) not in asked:
                return False
            place = asked.index((state.asked, state.digest))
            branches[place] = replace(branches[place], pending=pending)
            if self.store.put(replace(found, data={**found.data, "branches": [branch.as_json() for branch in branches]})):
                return True
        return False

    def _states(self, session: Session) -> list[State]:
        return [read_state(data) for data in session.data.get("branches", ())]

    def _grown_from(self, state: State) -> bool:
        return self.reading.holds(state) and (not state.seen or self.reading.continues(state))
