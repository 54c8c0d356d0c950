"""History: a long conversation is sent shorter, when that makes it cheaper."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any, Final

from frugal_plugins.flow import Call, Context, Flow, Next, afterwards
from frugal_plugins.models import capabilities
from frugal_plugins.prefix import fetching
from frugal_plugins.prefix.branches import Branches
from frugal_plugins.prefix.compaction import Choice, choose
from frugal_plugins.prefix.cost import CachePlan, plan_in_force
from frugal_plugins.prefix.lasting import Ahead, Lasting
from frugal_plugins.prefix.reading import Reading, State
from frugal_plugins.prefix.sessions import MemorySessions, SessionStore
from frugal_plugins.prefix.sizes import SUMMARY_FRAME_TOKENS, Terms, summary_budget
from frugal_plugins.prefix.summaries import SUMMARISE, is_ready, local_summary, making_units, source_of, summary_problem, too_short
from frugal_plugins.prices import PriceBook
from frugal_plugins.request import Message, Reply, Request
from frugal_plugins.text.recall import Archive, asked_back
from frugal_plugins.text.stubs import may_ask, only_asks, put_back, read_again, stubs
from frugal_plugins.text.turns import is_user_turn, tokens_of, unreadable
from frugal_plugins.text.view import ToolResults, said, said_shortly, summary_message, to_be_seen, with_recall
from frugal_plugins.tokens import count_text, part_tokens
from frugal_plugins.unseen import Unseen

_FEWEST_MESSAGES: Final = 3
_MOST_ARCHIVES: Final = 64
_RECALL_FRAME_TOKENS: Final = 24
_LEAST_RECALL_TOKENS: Final = 40
_LEAST_RECALL_SCORE: Final = 2.0
_ASK_AGAIN_AFTER: Final = 4
_MOST_FETCHES: Final = 3


@dataclass(slots=True)
class History:
    """Replaces the beginning of a long conversation by a summary, and writes tool results in fewer tokens.

    Saves: input tokens of every later call. Risks: something the model needs is gone; so the last turns stay word for word,
    facts come first in the summary, and what a question asks back for is quoted again at its end. What was sent stays the
    same bytes until the next rewrite, so the provider's prompt cache goes on working. An old tool result may become a stub of its
    facts that says how to read it whole; a model that asks is asked again with it, at the cost of that call, and where this has
    cost more than stubs saved, no more are made. Stands down: for models without a
    known price (`when="it_pays"`), for the Responses API, and where a rewrite would cost more than it saves.

    Args:
        terms: when to sum up and how much to keep.
        recall_tokens: the most that is quoted back for one question; 0 never quotes.
        compact_results: write tool results without loss in table notation.
        summariser: a model that writes the summaries, for the next turn; without one, sentences are picked locally.
        marks_come: whether `prompt_cache` (or the host) marks Anthropic prompts for caching.
        goes_to: the model a request will probably go to, where its own name (a recipe's) has no price.
        keep_days: how long a conversation's state is kept after its last call.
        embed: makes a vector of a sentence, so that what is asked back for is found in other words too.
    """

    terms: Terms = field(default_factory=Terms)
    prices: PriceBook = field(default_factory=PriceBook)
    store: SessionStore = field(default_factory=MemorySessions)
    recall_tokens: int = 300
    compact_results: bool = True
    summariser: str | None = None
    marks_come: bool = True
    goes_to: Callable[[Request], str] | None = None
    keep_days: float = 7.0
    embed: Callable[[str], Any] | None = None
    name: str = "history"
    _results: ToolResults = field(default_factory=ToolResults)
    _archives: OrderedDict[str, Archive] = field(default_factory=OrderedDict)
    _account: fetching.Account = field(default_factory=fetching.Account)
    _lasting: Lasting = field(default_factory=Lasting)
    _lock: Lock = field(default_factory=Lock)

    def __call__(self, request: Request, rest: Next, ctx: Context) -> Flow:
        """Send the conversation as it is cheapest, and remember what was sent."""
        if len(request.messages) < _FEWEST_MESSAGES:
            return (yield from rest(request))
        priced = request if self.goes_to is None else request.with_(model=self.goes_to(request))
        plan = plan_in_force(priced, self.prices, marks_come=self.marks_come)
        problem = unreadable(request)
        if problem is not None or (plan is None and self.terms.when == "it_pays"):
            ctx.note(self.name, "left", problem or f"no price is known for {request.model}, so nobody can say whether it pays")
            return (yield from rest(request))
        work = _Work(self, request, ctx, plan or CachePlan(), priced.model)
        reply = yield from work.answered(rest)
        if self.summariser and work.wants_summary:
            asked = work.ask_for_summary(self.summariser)
            if ctx.later is None:
                yield from asked
            else:
                ctx.later.append(afterwards(self.name, asked, ctx))
        return reply

    def view(self, reading: Reading, state: State, minimum_tokens: int = 0) -> list[Message]:
        """What a state sends, without recall. Results among the first `minimum_tokens` stay, lest less is sent than is cached at all."""
        messages, start = reading.messages, max(state.cut, reading.head)
        stubs_end, shown = max(start, state.stubbed), list(messages[: reading.head])
        front = reading.params_tokens + sum(reading.tokens[: reading.head])
        seen = to_be_seen(messages[reading.head : start])
        if start > reading.head and (state.summary or seen):
            shown.append(summary_message(state.summary, reading.head + 1, start, seen))
            front += count_text(state.summary) + SUMMARY_FRAME_TOKENS + part_tokens(seen)
        shown.extend(stubs(messages, start, stubs_end))
        if not self.compact_results:
            return [*shown, *messages[stubs_end:]]
        first = stubs_end
        while first < len(messages) and front < minimum_tokens:
            front += reading.tokens[first]
            first += 1
        return [*shown, *messages[stubs_end:first], *self._results.compacted(messages, reading.digests, first)]

    def archive(self, reading: Reading, state: State) -> Archive:
        """An index of what is no longer sent word for word."""
        with self._lock:
            found = self._archives.get(state.digest)
            if found is None:
                found = self._archives[state.digest] = Archive(said_shortly(reading.messages[reading.head : state.mark]), self.embed)
                while len(self._archives) > _MOST_ARCHIVES:
                    self._archives.popitem(last=False)
            self._archives.move_to_end(state.digest)
        return found


@dataclass(slots=True)
class _Work:
    """One call of one conversation."""

    history: History
    request: Request
    ctx: Context
    plan: CachePlan
    model: str
    reading: Reading = field(init=False)
    counted: dict[int, int] = field(init=False)
    branches: Branches = field(init=False)
    account: tuple[str, str] = field(init=False)
    hears: bool = field(init=False)
    ahead: Ahead = field(init=False)
    state: State = field(init=False)
    summaries: dict[tuple[int, int], str] = field(init=False, default_factory=dict)
    wants_summary: bool = field(init=False, default=False)
    expected_read: int = field(init=False, default=0)
    sent_tokens: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.reading = Reading.of(self.request)
        self.counted = {id(message): tokens for message, tokens in zip(self.reading.messages, self.reading.tokens, strict=True)}
        kept, key = self.history, f"history|{self.ctx.mode}"
        self.branches = Branches.of(kept.store, self.request, self.reading, key, self.ctx.clock(), kept.keep_days)
        self.account, self.hears = (self.model, self.branches.session.owner), fetching.hears(self.request, one_answer=self.ctx.one_answer)
        self.ahead = self.history._lasting.seen(self.reading, self.account)
        self.state = self.branches.best()
        self.plan = self.plan.counted(self.state.real_tokens)

    def answered(self, rest: Next) -> Flow:
        """The answer; one that only asks to read a stub whole is not the caller's, and is asked again with what it wants."""
        messages = tuple(self.decide())
        for _ in range(_MOST_FETCHES):
            flow = rest(self.request if messages == self.request.messages else self.request.with_(messages=messages))
            stubbed = self.hears and fetching.has_stubs(self.reading, self.state)
            reply = yield from Unseen(flow, may_ask) if stubbed and self.request.stream else flow
            self.learn(reply)
            wanted = only_asks(reply) if stubbed else []
            if not wanted:
                return reply
            self.ctx.replace_last(self.history.name)
            self.history._account.book(self.account, -fetching.paid_units(reply.usage, self.plan))
            if not all(fetching.is_sent_as_stub(self.reading, self.state, place) for place in wanted):
                break
            messages = tuple(self._with_whole(messages, wanted))
        self.ctx.note(self.history.name, "restored", "the model asked for more than stubs could give; all was sent as it came")
        return (yield from rest(self.request))

    def _with_whole(self, messages: Sequence[Message], wanted: Sequence[int]) -> list[Message]:
        """What was sent, with results read again at its end, where they stay for the calls to come."""
        self.state = fetching.with_fetched(self.reading, self.state, wanted)
        self.branches.keep(self.state)
        longer = [*messages, *read_again(self.reading.messages, wanted)]
        read, self.sent_tokens = self.sent_tokens, self.reading.params_tokens + sum(map(self._tokens, longer))
        self.expected_read = self.plan.cached(read)
        why = f"the model asked for {len(wanted)} of the tool results it had as stubs"
        self.ctx.note(self.history.name, "fetched", why, tokens_after=self.sent_tokens)
        return longer

    def decide(self) -> list[Message]:
        """The messages to send."""
        reading, now = self.reading, self.ctx.clock()
        before = sum(reading.tokens) + reading.params_tokens
        self.state = fetching.wish_met(reading, self.state)
        shown = self._view(self.state)
        sizes = self._sizes(shown)
        window = capabilities(self.model).max_input_tokens
        fits = window is None or reading.params_tokens + sum(sizes) <= window
        warm = fits and not self.branches.fresh and now - self.state.at_seconds < self.plan.ttl_seconds and self.state.cold_reads < 2
        local = self.history.summariser is None
        if not self.branches.fresh:
            self.state = self.state.followed_after(now - self.state.at_seconds, self.plan.ttl_seconds)
        choice = choose(
            reading,
            self.state,
            sizes,
            self.history.terms if self.may_stub else replace(self.history.terms, keep_results=len(reading.messages)),
            self.plan,
            warm=warm,
            shown_from=self._shown_from,
            summed_up=(lambda cut, budget: count_text(self._local_summary(cut, budget))) if local else None,
            making=None if local else self._making,
            ahead=self.ahead,
        )
        sent = sum(sizes[: self.state.seen]) + reading.params_tokens + count_text(self.state.summary)
        if fetching.has_stubs(reading, self.state):
            self.history._account.book(self.account, fetching.saved_units(reading, self.state, sizes, self.plan, warm=warm))
        self.expected_read = self.plan.cached(sent) if warm and choice.rewrite is None else 0
        if choice.rewrite is not None:
            choice = self._summed_up(choice)
        keep = rewritten = choice.rewrite is not None
        self.state = replace(choice.state, seen=len(reading.messages), seen_digest=reading.upto(len(reading.messages)), at_seconds=now)
        if not self.branches.keep(self.state) and keep:
            self.state = self.branches.again(now)
            keep = False
            choice = Choice(self.state, None, "another worker rewrote this conversation first")
        shown = put_back(self._view(self.state) if rewritten else shown, reading.messages, self.state.fetched)
        after = reading.params_tokens + sum(self._tokens(message) for message in shown)
        shown, recalled = self._recalled(shown, before - after)
        self.sent_tokens = after + recalled
        action = "compacted" if keep else "kept" if self.state.mark or after < before else "left"
        why = f"{choice.why}; {recalled} tokens quoted back" if recalled else choice.why
        self.ctx.note(self.history.name, action, why, tokens_before=before, tokens_after=after + recalled)
        return shown

    @property
    def may_stub(self) -> bool:
        """Whether tool results may become stubs now: the model can ask to read them whole, and doing so has paid so far."""
        return self.hears and fetching.can_ask(self.request) and self.history._account.holds(self.account)

    def learn(self, reply: Reply) -> None:
        """Remember what the provider's usage says about its cache and its tokens."""
        learnt = self.state.learnt(reply.usage, self.sent_tokens, self.expected_read, self.plan)
        if learnt != self.state:
            self.state = learnt
            self.branches.keep(self.state)

    def ask_for_summary(self, model: str) -> Flow:
        """Have a model write the summary for a later turn. Whatever goes wrong, the conversation is sent as it is."""
        reading, cut = self.reading, self._next_cut()
        source = source_of(reading, self.state, cut)
        budget = summary_budget(reading, cut, self.history.terms)
        self.state = replace(self.state, asked=len(reading.messages))
        if not self.branches.keep(self.state):
            self.ctx.note(self.history.name, "left", "another worker goes on with this conversation; no second summary is asked for")
            return Reply({"role": "assistant", "content": None}, model)
        body = ({"role": "system", "content": SUMMARISE}, {"role": "user", "content": f"<conversation>\n{source}\n</conversation>"})
        asked = Request(model, body, {"max_tokens": budget}, scope=self.request.scope)
        reply = yield Call(asked, purpose="summarise", technique=self.history.name)
        problem = summary_problem(reply, source, budget)
        if problem is None and not self.branches.keep_summary(self.state, (cut, reading.upto(cut), reply.text.strip()), self.ctx.clock()):
            problem = "not used: the conversation was rewritten meanwhile"
        self.ctx.note(self.history.name, "refused" if problem else "summarised", problem or "a model's summary is ready for the next turn")
        return reply

    def _making(self, cut: int) -> float:
        maker = self.history.summariser or self.model
        return making_units(self.reading, self.state, cut, self.history.terms, self.history.prices, self.model, maker)

    def _summed_up(self, choice: Choice) -> Choice:
        """The choice with its summary, or without a rewrite where the model's summary is not there yet."""
        state, reading = choice.state, self.reading
        if state.cut == self.state.cut or not state.mark:
            return choice
        if self.history.summariser is None:
            return replace(choice, state=replace(state, summary=self._local_summary(state.cut, choice.summary_tokens)))
        pending = self.state.pending
        if pending is not None and is_ready(reading, self.state, state.cut):
            if choice.rewrite is not None and too_short(reading, pending, choice.rewrite, self.plan):
                return Choice(self.state, None, "not yet: with its summary the prompt would fall below the cache's minimum")
            mark = max(pending[0], self.state.stubbed)
            ready = replace(
                state, cut=pending[0], stubbed=max(mark, pending[0]), digest=reading.upto(mark), summary=pending[2], pending=None
            )
            return replace(choice, state=ready)
        self.wants_summary = len(reading.messages) - self.state.asked >= _ASK_AGAIN_AFTER or not self.state.asked
        carried = replace(self.state, carry=self.state.carry + max(0.0, choice.saves))
        asks = "a model is asked for a summary; it is used from the next turn on"
        return Choice(carried, None, asks if self.wants_summary else "a model's summary is not there yet", choice.saves)

    def _local_summary(self, cut: int, budget_tokens: int | None = None) -> str:
        budget = budget_tokens or summary_budget(self.reading, cut, self.history.terms)
        if (cut, budget) not in self.summaries:
            self.summaries[cut, budget] = local_summary(self.reading, cut, budget)
        return self.summaries[cut, budget]

    def _next_cut(self) -> int:
        turns = [place for place, message in enumerate(self.reading.messages) if is_user_turn(message)]
        keep = self.history.terms.keep_turns
        return max(self.state.cut, turns[-keep] if len(turns) >= keep else self.reading.head)

    def _recalled(self, shown: list[Message], saved_tokens: int) -> tuple[list[Message], int]:
        """Quote back what the question asks for, within a fifth of what this call saves when it has to pay."""
        reading, history = self.reading, self.history
        if not self.state.mark or not history.recall_tokens or not is_user_turn(reading.messages[-1]):
            return shown, 0
        pays = history.terms.when == "it_pays"
        cached = self.plan.caches and sum(reading.tokens) + reading.params_tokens >= self.plan.uncached_below
        worth = saved_tokens / 5 * (self.plan.read / self.plan.write if cached else 1.0)
        budget = min(history.recall_tokens, int(worth)) if pays else history.recall_tokens
        if budget - _RECALL_FRAME_TOKENS < _LEAST_RECALL_TOKENS:
            return shown, 0
        archive = history.archive(reading, self.state)
        sent = [turn.text for turn in said(shown[reading.head : -1])]
        wanted = asked_back(self.request.last_user_text, archive, sent)
        if not wanted:
            return shown, 0
        quotes = archive.find(
            wanted, budget - _RECALL_FRAME_TOKENS, already="\n".join(sent), least=_LEAST_RECALL_SCORE, nearly=0.5 if pays else 0.3
        )
        if not quotes:
            return shown, 0
        self.ctx.task(self.request)  # found before the quotes can mislead whoever looks for it
        last = with_recall(shown[-1], quotes)
        return [*shown[:-1], last], self._tokens(last) - self._tokens(shown[-1])

    def _sizes(self, shown: list[Message]) -> list[int]:
        """Tokens of every message of the caller as it is sent; 0 for those the summary stands for."""
        start = max(self.state.cut, self.reading.head)
        tail = shown[len(shown) - (len(self.reading.messages) - start) :]
        gone = [0] * (start - self.reading.head)
        sizes = [*self.reading.tokens[: self.reading.head], *gone, *(self._tokens(message) for message in tail)]
        for place, at in self.state.fetched:
            sizes[at - 1] += sum(map(self._tokens, read_again(self.reading.messages, [place])))
        return sizes

    def _shown_from(self, cut: int) -> int:
        """Tokens of the messages from `cut` on, written as after a rewrite there."""
        state = replace(self.state, cut=cut, summary="", fetched=tuple(one for one in self.state.fetched if one[1] > cut))
        shown = put_back(self._view(state), self.reading.messages, state.fetched)
        return sum(self._tokens(message) for message in shown[self.reading.head :])

    def _view(self, state: State) -> list[Message]:
        sent = state if self.hears else replace(state, stubbed=state.cut)
        return self.history.view(self.reading, sent, self.plan.minimum_tokens if self.plan.caches else 0)

    def _tokens(self, message: Message) -> int:
        """Tokens of a message; those of the caller's own were counted when the request was read."""
        known = self.counted.get(id(message))
        return tokens_of(message, self.request.model) if known is None else known
