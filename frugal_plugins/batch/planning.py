"""What a job would become, before a cent is spent: rows, calls, batches, tokens, and dollars with and without the batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from frugal_plugins.batch.bodies import Wording
from frugal_plugins.batch.desk import Desk
from frugal_plugins.batch.places import MOST_INPUTS, lane_problem, length_problem, size_problem
from frugal_plugins.batch.replay import Unbooked
from frugal_plugins.batch.rows import NewRow, byte_size, to_json
from frugal_plugins.batch.settings import BatchSettings
from frugal_plugins.batch.store import JobStore
from frugal_plugins.errors import FrugalError, InputError
from frugal_plugins.ledger.rows import usd
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.request import fingerprint


@dataclass(slots=True)
class Share:
    """The calls for one model."""

    rows: int = 0
    batches: int = 0
    input_tokens: int = 0
    at_most_usd: Decimal = Decimal(0)
    at_most_realtime_usd: Decimal = Decimal(0)
    _rows_in: int = 0
    _bytes_in: int = 0
    _inputs_in: int = 0


@dataclass(slots=True)
class Plan:
    """The first wave of a job. Caps and escalations may ask some rows again, in a later wave.

    Attributes:
        answered: rows the recipe's cache answers.
        same: rows that ask what another row asks.
        refused: row numbers and why nobody can answer them.
        unpriced: models without a known price in the batch lane.
        deadline_seconds: when everything will be there, unix seconds.
    """

    rows: int = 0
    answered: int = 0
    same: int = 0
    models: dict[str, Share] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    unpriced: set[str] = field(default_factory=set)
    deadline_seconds: float = 0.0

    @property
    def at_most_usd(self) -> Decimal:
        """The most the first wave can cost, in batches."""
        return sum((share.at_most_usd for share in self.models.values()), Decimal(0))

    @property
    def at_most_realtime_usd(self) -> Decimal:
        """The same calls in real time."""
        return sum((share.at_most_realtime_usd for share in self.models.values()), Decimal(0))

    @property
    def batches(self) -> int:
        """How many batches the first wave becomes."""
        return sum(share.batches for share in self.models.values())


def plan_rows(recipe: Recipe, rows: Iterable[NewRow], settings: BatchSettings, wording: Wording, now: float) -> Plan:
    """Look at every row as it would be asked. Nothing is written or sent. Raises InputError for two rows of one name."""
    plan = Plan(deadline_seconds=now + settings.window_hours * 3600)
    desk = Desk(_NO_STORE, recipe, "plan", settings, now, wording, lambda: now)
    seen: set[str] = set()
    names: set[str] = set()
    unbooked = Unbooked(recipe)
    for number, row in enumerate(rows):
        plan.rows += 1
        if row.name is not None and row.name in names:
            raise InputError(f"custom_id '{row.name[:60]}' is used twice; give each row its own", line=number + 1)
        names.add(row.name or "")
        try:
            _plan_row(plan, desk, unbooked, row, number, seen)
        except FrugalError as error:
            plan.refused[number] = str(error)
    return plan


def _plan_row(plan: Plan, desk: Desk, recipe: Unbooked, row: NewRow, number: int, seen: set[str]) -> None:
    too_long = length_problem(row.request, desk.settings.most_bytes)
    if too_long is not None:
        raise InputError(too_long)
    explained = recipe.explain(row.request, told=row.told, reachable=desk.reachable_for(row.request.endpoint))
    request = explained.sent
    if request is None:
        plan.answered += 1
        return
    problem = lane_problem(request)
    if problem is not None and (desk.settings.no_lane == "refuse" or request.endpoint != "chat"):
        raise InputError(problem)
    body = desk.wording.body(number, request)
    size = byte_size(to_json(body))
    too_large = size_problem(size, desk.settings.most_bytes)
    if too_large is not None:
        raise InputError(too_large)
    digest = fingerprint(body)
    if desk.settings.ask_once and not (body.get("temperature") or 0) > 0:
        if digest in seen:
            plan.same += 1
            return
        seen.add(digest)
    _add(plan, desk, request, body, size + 120)


def _add(plan: Plan, desk: Desk, request: Any, body: Mapping[str, Any], size: int) -> None:
    share = plan.models.setdefault(request.model, Share())
    tokens = desk.tokens(request)
    inputs = desk.inputs(request)
    full = share._rows_in >= desk.settings.most_rows or share._bytes_in + size > desk.settings.most_bytes
    if full or share._inputs_in + inputs > MOST_INPUTS or not share.batches:
        share.batches += 1
        share._rows_in = share._bytes_in = share._inputs_in = 0
    share.rows += 1
    share._rows_in += 1
    share._bytes_in += size
    share._inputs_in += inputs
    share.input_tokens += tokens
    batched, at_once = (desk.worst(request, tokens, body, lane) for lane in ("batch", "standard"))
    if batched is None:
        plan.unpriced.add(request.model)
    share.at_most_usd += usd(batched) or Decimal(0)
    share.at_most_realtime_usd += usd(at_once) or Decimal(0)


class _NoStore(JobStore):
    """A plan has no store: it must not be asked for one."""

    def __init__(self) -> None:
        return


_NO_STORE = _NoStore()
