"""A sample of a job's answers is judged, as the recipe's `judge:` asks: in one wave more, at the price of a batch.

A row that was drawn is delivered at once and booked when the judge has spoken. Nothing waits for a judge: what is not handed in when
the deadline, the dollar limit or a request to stop comes is not judged, and the ledger counts that.
"""

from __future__ import annotations

from typing import Final

from frugal_plugins.batch.desk import Desk
from frugal_plugins.batch.direct import give_up
from frugal_plugins.batch.places import lane_problem
from frugal_plugins.batch.replay import Replayed
from frugal_plugins.batch.rows import Journaled
from frugal_plugins.flow import Attempt, Call
from frugal_plugins.learned.judging import WORD_TOKENS, judge_request
from frugal_plugins.ledger.settle import SAMPLE_JUDGE
from frugal_plugins.models import always_thinks
from frugal_plugins.recipe.sampling import SampleJudge
from frugal_plugins.request import Reply, Request
from frugal_plugins.usage import Usage

_THOUGHT_TOKENS: Final = 2000
_OF_JUDGES: Final = "AND row IN (SELECT n FROM rows WHERE rows.job = calls.job AND rows.state = 'judging')"


def question_on(desk: Desk, got: Replayed) -> Request | None:
    """What a judge is asked about an answer; None where it was not drawn, or cannot be judged, which is noted then."""
    judge = desk.recipe.sample_judge
    if judge is None or got.reply is None or desk.recipe.ledger is None or got.ctx.group == "bypassed":
        return None
    if not judge.draws(got.request, got.reply, got.ctx):
        return None
    question = judge_request(judge.model, got.request, got.reply)
    why = _why_not(desk, judge, question)
    if why is not None:
        not_judged(got, why)
    return question if why is None else None


def not_judged(got: Replayed, why: str) -> None:
    """Write down that an answer was drawn for the sample and why nobody judged it."""
    got.ctx.note(SAMPLE_JUDGE, "left", f"drawn for the sample and not judged: {why}")


def heard(desk: Desk, got: Replayed, word: Journaled) -> None:
    """Take a judge's word in, as a call of the row it is about."""
    judge = desk.recipe.sample_judge
    if judge is None or got.reply is None:
        return
    call = Call(judge_request(word.model, got.request, got.reply), purpose="judge", technique=SAMPLE_JUDGE)
    for usage in word.lost:
        got.ctx.attempts.append(Attempt(call, Reply({}, word.model, usage, "lost", billed_as=word.model, lane="batch"), "LineLost"))
    if word.reply is None:
        not_judged(got, word.error or "the judge's word did not come")
        return
    got.ctx.attempts.append(Attempt(call, word.reply))
    ledger = desk.recipe.ledger
    if ledger is not None:
        judge.hear(word.reply, got.ctx, ledger)


def drop_judging(desk: Desk, why: str) -> int:
    """Judges that are not asked yet are not asked any more; returns how many."""
    return give_up(desk, why, _OF_JUDGES) if desk.recipe.sample_judge is not None else 0


def _why_not(desk: Desk, judge: SampleJudge, question: Request) -> str | None:
    if desk.stopping():
        return "the job was cancelled"
    if desk.late():
        return "the deadline is near"
    if lane_problem(question) is not None or not desk.reachable_for("chat")(question.model):
        return f"{judge.model} cannot be asked in a batch here"
    tokens = _THOUGHT_TOKENS if always_thinks(judge.model) else WORD_TOKENS
    usd = desk.usd(judge.model, Usage(input_tokens=desk.tokens(question), output_tokens=tokens), "batch")
    if usd is None:
        return f"{judge.model} has no known price in a batch"
    return None if judge.sets_aside(usd) else "judge.usd_per_day is spent"
