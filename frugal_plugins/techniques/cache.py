"""Cache: the same question is asked once."""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar, cast

from frugal_plugins.answers import AnswerStore, MemoryAnswers, NearAnswers, Served, StoredAnswer
from frugal_plugins.answers.flights import Flights
from frugal_plugins.answers.place import Place, place_of
from frugal_plugins.errors import FrugalError
from frugal_plugins.flow import Attempt, Call, Context, Flow, Next
from frugal_plugins.meaning.search import Look, Meaning
from frugal_plugins.meaning.sureness import degree
from frugal_plugins.request import Reply, Request
from frugal_plugins.usage import Usage

_log = logging.getLogger("frugal_plugins")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class AtHand:
    """What an async host fetched off the event loop before the flow began: by key, by meaning, and the similar question's answer."""

    place: Place
    exact: StoredAnswer | None = None
    look: Look | None = None
    similar: StoredAnswer | None = None


@dataclass(slots=True)
class Cache:
    """Returns the stored answer when the same thing is asked again, in the same words or, with `meaning`, in others.

    Saves: the whole call. Risks: a stale answer (bounded by `ttl_seconds`), and with `meaning` a wrong one (bounded by its
    `max_wrong_percent`). Everything the answer depends on is part of the key: who asks (`scope`), model, system prompt, all
    earlier turns, tools, response format and parameters. With `match="canonical"` a short plain last question may differ in
    case, spaces, greeting, "please" and end marks. Only the last user text is ever compared by meaning; all the rest must be equal.
    Stored: only complete answers (`finish_reason` stop, some text, no tool calls, one choice). Stands down: for requests
    hotter than `max_temperature`, `no_cache`/`no_store` tags, and `n` > 1.

    Args:
        store: where answers are kept.
        scope: tags that must be equal for two requests to share an answer, on top of the request's own scope.
        meaning: the search by meaning; without it only equal requests share an answer.
        wait_seconds: how long a request waits for the same one of another thread before it is asked on its own.
    """

    store: AnswerStore
    recipe: str = ""
    scope: tuple[str, ...] = ("tenant",)
    ttl_seconds: float = 86_400
    match: Literal["exact", "canonical"] = "canonical"
    max_temperature: float | None = None
    name: str = "cache"
    meaning: Meaning | None = None
    wait_seconds: float = 30.0
    flights: Flights = field(default_factory=Flights)

    def __call__(self, request: Request, rest: Next, ctx: Context) -> Flow:
        """Look the answer up, or keep the one that comes."""
        problem = self.problem(request)
        if problem is not None:
            ctx.note(self.name, "bypassed", problem)
            return (yield from rest(request))
        known: AtHand | None = ctx.at_hand
        place, look = known.place if known is not None else self.place(request), None
        if "no_cache" not in request.tags:
            found = self._exact(place, ctx, known) or (self._waited(place, ctx) if ctx.mode == "on" else None)
            if found is not None:
                return found
            look = self.look(place, ctx.clock()) if known is None else known.look
            self._book_embedding(ctx)
            if look is not None and look.verdict.near is not None:
                return (yield from self._near_hit(request, rest, ctx, look))
        leads = ctx.mode == "on" and self.flights.lead(place.key)
        try:
            reply = yield from rest(request)
            self._keep(request, reply, ctx, look, place)
        finally:
            if leads:
                self.flights.land(place.key)
        return reply

    def key(self, request: Request) -> str:
        """A SHA-256 of everything the answer depends on."""
        return self.place(request).key

    def place(self, request: Request) -> Place:
        """Key and partition of a request."""
        return place_of(
            request, recipe=self.recipe, scope=self.scope, canonical=self.match == "canonical", by_meaning=self.meaning is not None
        )

    async def ahead(self, request: Request, ctx: Context) -> None:
        """What an async host awaits before it starts the flow, so that nothing in it blocks the event loop.

        First the store is asked by key, on a thread; then the question's vector is made (at most the embedding's time limit) and
        the store searched with it, on a thread; last the same request under way is awaited, if there is one.
        """
        if self.problem(request) is not None or "no_cache" in request.tags:
            return
        place = self.place(request)
        found = AtHand(place, await self._aside(lambda: self.store.get(place.key, ctx.clock())))
        if found.exact is None:
            if self.meaning is not None and place.question is not None and self.meaning.readable(place.question):
                await self.meaning.embeddings.ahead(place.question)
                found = await self._aside(lambda: self._fetched(place, ctx.clock()))
            while found.exact is None and await self.flights.landed(place.key, self.wait_seconds):
                found = replace(found, exact=await self._aside(lambda: self.store.get(place.key, ctx.clock())))
        ctx.at_hand = found

    async def _aside(self, ask: Callable[[], _Result]) -> _Result:
        """Ask the store on a thread, unless it is in memory and cannot block."""
        if isinstance(self.store, MemoryAnswers):
            return ask()
        import asyncio

        return await asyncio.to_thread(ask)

    def _fetched(self, place: Place, now_seconds: float) -> AtHand:
        look = self.look(place, now_seconds)
        near = None if look is None else look.verdict.near
        similar = None if near is None else self._use(lambda: cast("NearAnswers", self.store).at_row(near.row, now_seconds))
        return AtHand(place, None, look, similar)

    def reject(self, id: str) -> bool:  # noqa: A002 - the ledger's word
        """A person says that the answer served to a request (its id in the ledger, `x-frugal-id`) was wrong.

        The stored answer is dropped and, when it was found by meaning, weighed against the budget. False when this cache served
        no such request, or has forgotten it since. Raises FrugalError when the store cannot be used.
        """
        store = cast("NearAnswers", self.store)
        served = self._use(lambda: store.served(id))
        if served is None:
            return False
        if served.asked and self.meaning is not None:
            self.meaning.rejected(served.degree)
            self._learned()
        self._use(lambda: store.drop(served.key))
        return True

    def find(self, request: Request, now_seconds: float, id: str = "") -> tuple[StoredAnswer | None, Look | None]:  # noqa: A002
        """The stored answer for a request, by key and then by meaning; for hosts that have no flow (LangChain's `BaseCache`).

        With an `id` the hit is remembered, so that `reject(id)` finds it.
        """
        place, look = self.place(request), None
        found = self._use(lambda: self.store.get(place.key, now_seconds))
        if found is None:
            look = self.look(place, now_seconds)
            near = None if look is None else look.verdict.near
            found = self._use(lambda: cast("NearAnswers", self.store).at_row(near.row, now_seconds)) if near is not None else None
            if found is not None and look is not None and self.meaning is not None:
                self.meaning.served(look)
        if found is not None and id:
            self._remember(id, found, now_seconds, look)
        self._learned()
        return found, look

    def look(self, place: Place, now_seconds: float) -> Look | None:
        """Search by meaning; None when it is off, cannot read the question or could not be done in time."""
        meaning, question = self.meaning, place.question
        if meaning is None or question is None or not meaning.readable(question):
            return None
        return self._use(lambda: meaning.look(cast("NearAnswers", self.store), place.partition, question, now_seconds))

    def keep(self, request: Request, reply: Reply, now_seconds: float, look: Look | None = None, known: Place | None = None) -> str | None:
        """Store an answer and learn from it; says why not, when it is not worth keeping. `known` is the request's place, if it is."""
        refusal = not_worth_keeping(reply)
        if refusal is not None or "no_store" in request.tags:
            return refusal or "the caller asked not to store it"
        place = known or self.place(request)
        ttl = float(request.tags.get("ttl_seconds", self.ttl_seconds))
        return self._use(lambda: self._put(place, reply, now_seconds, now_seconds + ttl, look)) or None

    def problem(self, request: Request) -> str | None:
        """Why a request is neither looked up nor stored, or None."""
        if (request.params.get("n") or 1) != 1:
            return "several choices were asked for"
        heat = request.params.get("temperature")
        if self.max_temperature is not None and isinstance(heat, (int, float)) and heat > self.max_temperature:
            return f"temperature {heat} is above the recipe's bound of {self.max_temperature}"
        return None

    def _book_embedding(self, ctx: Context) -> None:
        """What a provider's embedding has read since the last time is booked with this request, as a call of the cache."""
        meter = None if self.meaning is None or ctx.host == "explain" else self.meaning.embeddings.meter
        tokens = 0 if meter is None else meter.taken()
        if meter is not None and tokens:
            asked = Call(Request(meter.model, (), endpoint="embeddings"), "embed", self.name)
            ctx.attempts.append(Attempt(asked, Reply({"role": "assistant", "content": None}, meter.model, Usage(tokens), finish="stop")))

    def _exact(self, place: Place, ctx: Context, known: AtHand | None = None) -> Reply | None:
        found = known.exact if known is not None else self._use(lambda: self.store.get(place.key, ctx.clock()))
        if found is None:
            return None
        return self._serve(found, ctx, f"the same request was answered {_ago(ctx.clock() - found.at_seconds)} ago")

    def _waited(self, place: Place, ctx: Context) -> Reply | None:
        """Single flight: the answer another thread was just waiting for."""
        return self._exact(place, ctx) if self.flights.wait(place.key, self.wait_seconds) else None

    def _near_hit(self, request: Request, rest: Next, ctx: Context, look: Look) -> Flow:
        """Serve a similar question's answer; in shadow, and for the audited share, ask all the same and compare."""
        near, known = look.verdict.near, ctx.at_hand
        if known is not None:
            found = known.similar
        else:
            found = self._use(lambda: cast("NearAnswers", self.store).at_row(near.row, ctx.clock())) if near else None
        if found is None or self.meaning is None:
            ctx.note(self.name, "miss", "the similar question's answer has just gone")
            return (yield from rest(request))
        audited = ctx.mode == "on" and _drawn(ctx.id) < self.meaning.audit_percent / 100
        if ctx.mode == "on" and not audited:
            self.meaning.served(look)
            self._learned()
            return self._serve(found, ctx, look.verdict.why, look)
        ctx.note(self.name, "audited" if audited else "hit", look.verdict.why)
        reply = yield from rest(request)
        if not_worth_keeping(reply) is None:
            group = self.meaning.group(cast("NearAnswers", self.store), look.neighbours, reply.text, ctx.clock())
            right = near is not None and group == near.answer
            if audited:
                self.meaning.audited(look, right)
                self._learned()
            ctx.note(self.name, "compared", "the stored answer says the same" if right else "the stored answer says something else")
            self.keep(request, reply, ctx.clock())
        return reply

    def _serve(self, found: StoredAnswer, ctx: Context, why: str, look: Look | None = None) -> Reply:
        ctx.note(self.name, "hit", why)
        ctx.answer_key = found.key if ctx.mode == "on" else None
        if ctx.mode == "on" and ctx.host != "explain":
            self._remember(ctx.id, found, ctx.clock(), look)
        return Reply(found.message, found.model, finish="stop", saved=found.usage)

    def _remember(self, name: str, found: StoredAnswer, now_seconds: float, look: Look | None) -> None:
        """Write down who was served what; that it could not be written costs nobody the answer."""
        try:
            self._use(lambda: cast("NearAnswers", self.store).note_served(_served(name, found, now_seconds, look)))
        except FrugalError as error:
            _log.warning("A hit was served and not remembered: %s", error)

    def _learned(self) -> None:
        """Keep what was learned where it outlives the process; that it could not be kept costs nobody anything."""
        meaning = self.meaning
        if meaning is None or not meaning.due:
            return
        try:
            self._use(lambda: meaning.share(cast("NearAnswers", self.store)))
        except FrugalError as error:
            _log.warning("What the cache has learned was not kept: %s", error)

    def _keep(self, request: Request, reply: Reply, ctx: Context, look: Look | None, place: Place) -> None:
        refusal = self.keep(request, reply, ctx.clock(), look, place)
        why = "" if look is None else f"; {look.verdict.why}"
        ctx.note(self.name, "stored" if refusal is None else "miss", (refusal or "complete answer") + why)

    def _put(self, place: Place, reply: Reply, now_seconds: float, until_seconds: float, look: Look | None) -> str:
        """Write the row, with its vector when the question can be searched by meaning."""
        answer = StoredAnswer(
            place.key, dict(reply.message), reply.model, reply.usage, now_seconds, until_seconds, place.owner, labels=place.labels
        )
        meaning, question, store = self.meaning, place.question, cast("NearAnswers", self.store)
        if meaning is not None and question is not None and meaning.readable(question):
            known = look or meaning.look(store, place.partition, question, now_seconds)
            if known is not None:
                group = meaning.group(store, known.neighbours, reply.text, now_seconds)
                if look is not None:
                    meaning.missed(look, group)
                found = {"partition": place.partition, "question": question, "group": group, "vector": known.vector}
                answer = replace(answer, embedder=meaning.embeddings.fingerprint, **found)
        self.store.put(answer)
        self._learned()
        return ""

    def _use(self, use: Callable[[], _Result]) -> _Result | None:
        """Use the store; when it cannot be used (disk full, locked, gone) the lookup is a miss and the answer is not kept."""
        try:
            return use()
        except (sqlite3.Error, OSError) as error:
            raise FrugalError(f"the answer store cannot be used: {error}. The request goes on without it.") from error


def not_worth_keeping(reply: Reply) -> str | None:
    """Why an answer must not be served to the next caller, or None."""
    if reply.finish != "stop":
        return f"not kept: finish_reason {reply.finish or 'missing'}"
    if reply.message.get("tool_calls") or reply.message.get("function_call"):
        return "not kept: it calls tools"
    if reply.message.get("refusal") or not reply.text.strip():
        return "not kept: a refusal or empty"
    return "not kept: several choices" if reply.others else None


def _served(name: str, found: StoredAnswer, now_seconds: float, look: Look | None) -> Served:
    if look is None or look.verdict.near is None:
        return Served(name, found.key, now_seconds, found.owner)
    sure = look.verdict.probability
    cosine = round(look.verdict.near.cosine, 4)
    return Served(name, found.key, now_seconds, found.owner, look.question, cosine, None if sure is None else degree(sure))


def _drawn(name: str) -> float:
    """A number from 0 to 1 that is always the same for one request."""
    return int.from_bytes(hashlib.sha256(f"audit {name}".encode()).digest()[:4]) / 2**32


def _ago(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
