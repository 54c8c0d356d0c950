"""Calls outside of batches: what the batches did not finish in time, and models that have no batch lane."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from frugal_plugins.batch.desk import Desk
from frugal_plugins.batch.harvest import give_back, wake
from frugal_plugins.batch.http import NoAnswer, Refusal
from frugal_plugins.batch.places import BATCHED, PATHS
from frugal_plugins.batch.rows import reply_text, to_json
from frugal_plugins.errors import FrugalError, InputError
from frugal_plugins.ledger.rows import pico
from frugal_plugins.request import Lane, Reply
from frugal_plugins.usage import Usage

Call = Mapping[str, Any]

_AT_ONCE: Final = 5000

_ANSWERED: Final = (
    "UPDATE calls SET state = 'answered', reply = ?, raw = ?, picousd = ?, took_seconds = ?, lane = ?, body = NULL "
    "WHERE job = ? AND row = ? AND n = ?"
)
_DEARER: Final = (
    "UPDATE calls SET state = 'planned', lane = 'standard', error = ?, worst_picousd = worst_picousd * 2, attempts = attempts - 1 "
    "WHERE job = ? AND row = ? AND n = ?"
)


@dataclass(frozen=True, slots=True)
class Came:
    """What came of one call: a reply, or why there is none, whether asking again can help, and how long it took."""

    reply: Reply | None = None
    error: str = ""
    again: bool = False
    seconds: float = 0.0


def send_direct(desk: Desk) -> int:
    """Send the next few planned calls that are not for a batch. Returns how many there were."""
    calls = desk.store.all(
        "SELECT * FROM calls WHERE job = ? AND state = 'planned' AND lane != 'batch' ORDER BY row, n LIMIT ?",
        desk.job, desk.settings.concurrency,
    )  # fmt: skip
    calls = _within_limit(desk, calls)
    if not calls:
        return 0
    with desk.store.writing() as db:
        db.executemany(
            "UPDATE calls SET state = 'sent', attempts = attempts + 1 WHERE job = ? AND row = ? AND n = ?",
            [(desk.job, call["row"], call["n"]) for call in calls],
        )
    desk.persisted("sending")
    for provider in {call["provider"] for call in calls} & set(BATCHED):
        desk.line(provider)  # made here: the threads share it
    with ThreadPoolExecutor(desk.settings.concurrency) as pool:
        came = list(pool.map(lambda call: _ask(desk, call), calls))
    with desk.store.writing() as db:
        for call, one in zip(calls, came, strict=True):
            _take(desk, db, call, one)
    desk.persisted("sent")
    return len(calls)


def _take(desk: Desk, db: Any, call: Call, came: Came) -> None:
    """Write an answer down; a call that flex had no room for goes to real time, where the recipe allows that."""
    place, reply = (call["row"], call["n"]), came.reply
    if reply is None:
        if came.again and call["lane"] == "flex" and desk.settings.deadline_lane == "realtime":
            db.execute(_DEARER, (came.error, desk.job, *place))
            return
        give_back(desk, db, place, call["attempts"] + 1, came.error, again=came.again)
        return
    usd = pico(desk.usd(call["model"], reply.usage, reply.lane))
    raw = to_json(reply.raw) if isinstance(reply.raw, dict) else None
    db.execute(_ANSWERED, (reply_text(reply), raw, usd, came.seconds, reply.lane, desk.job, *place))
    wake(desk, db, [place])


def go_direct(desk: Desk) -> int:
    """The time of batches is over: plan what is left for flex where the model has it, else for real time. Returns how many."""
    if desk.settings.deadline_lane == "none":
        return 0
    changed = 0
    for row in desk.store.all("SELECT DISTINCT model FROM calls WHERE job = ? AND state = 'planned' AND lane = 'batch'", desk.job):
        model = row["model"]
        flex = desk.usd(model, Usage(input_tokens=1000), "flex") is not None
        if not flex and desk.settings.deadline_lane == "flex":
            continue
        lane = "flex" if flex else "standard"
        factor = 1 if flex else 2  # a batch costs half
        most = desk.settings.max_attempts - 1
        with desk.store.writing() as db:
            changed += db.execute(
                "UPDATE calls SET lane = ?, batch = NULL, place = NULL, marked_tokens = 0, worst_picousd = worst_picousd * ?, "
                "attempts = CASE WHEN attempts > ? THEN ? ELSE attempts END "
                "WHERE job = ? AND model = ? AND state = 'planned' AND lane = 'batch'",
                (lane, factor, most, most, desk.job, model),
            ).rowcount
    if changed:
        desk.persisted("direct")
    return changed


def give_up(desk: Desk, words: str, only: str = "") -> int:
    """What is still only planned ends as an error, or `only` what a condition fits. Returns how many calls that were."""
    count = 0
    while planned := desk.store.all(f"SELECT row, n FROM calls WHERE job = ? AND state = 'planned' {only} LIMIT ?", desk.job, _AT_ONCE):
        with desk.store.writing() as db:
            for call in planned:
                give_back(desk, db, (call["row"], call["n"]), 0, words, again=False)
        count += len(planned)
        desk.persisted("given up")
    return count


def resume_direct(desk: Desk) -> int:
    """Calls that were in flight when the process ended: perhaps paid, without an answer, so they are asked again."""
    if not desk.store.count("SELECT count(*) FROM calls WHERE job = ? AND state = 'sent'", desk.job):
        return 0
    with desk.store.writing() as db:
        return int(db.execute("UPDATE calls SET state = 'planned' WHERE job = ? AND state = 'sent'", (desk.job,)).rowcount)


def _within_limit(desk: Desk, calls: list[Call]) -> list[Call]:
    purse, fitting = desk.purse(), []
    for call in calls:
        if not purse.takes(call["worst_picousd"]):
            break
        fitting.append(call)
    return fitting


def _ask(desk: Desk, call: Call) -> Came:
    """One call: its reply, or why there is none and whether asking again can help."""
    body = json.loads(call["body"])
    began = desk.clock()
    try:
        if call["provider"] not in BATCHED:
            return Came(_through_litellm(body, call["model"]), seconds=desk.clock() - began)
        if call["lane"] == "flex":
            body["service_tier"] = "flex"
        path = "messages" if call["provider"] == "anthropic" else PATHS[call["endpoint"]].removeprefix("/v1/")
        said = desk.line(call["provider"]).ask("POST", path, json=body)
        lane: Lane = "standard"
        return Came(desk.wording.reply(call["row"], call["model"], said, lane), seconds=desk.clock() - began)
    except Refusal as error:
        return Came(error=str(error), again=error.again)
    except (NoAnswer, InputError) as error:
        return Came(error=str(error), again=True)
    except FrugalError as error:
        return Came(error=str(error))


def _through_litellm(body: dict[str, Any], model: str) -> Reply:
    """A model of a provider without a batch lane."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm
    from openai import OpenAIError

    from frugal_plugins.litellm.convert import reply_of

    try:
        response = litellm.completion(**body, max_retries=0)
    except OpenAIError as error:
        raise Refusal(
            f"{model} refused: {str(error)[:300]}", again=getattr(error, "status_code", 0) in (408, 429, 500, 502, 503, 529)
        ) from error
    return reply_of(response, asked_model=model).with_(raw=response.model_dump(), billed_as=model)
