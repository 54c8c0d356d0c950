"""Shadow: the request travels as it came, and the ledger says what would have been saved, beside and never in the sums."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from frugal_plugins import Recipe
from frugal_plugins.drivers import drive
from frugal_plugins.ledger import Period, open_reader
from frugal_plugins.ledger.keeping import make_sums_again
from frugal_plugins.ledger.summary import summary_of
from frugal_plugins.report.evidence import read_evidence
from frugal_plugins.report.figures import evidence_figures
from frugal_plugins.request import Reply
from frugal_plugins.told import Told
from frugal_plugins.usage import Usage
from tests.support import FakeModel, ask_for

ANSWER = Reply({"role": "assistant", "content": "yes"}, "gpt-4o", Usage(1_000_000, output_tokens=1000))
DEAR, CHEAP = Decimal("2.51"), Decimal("0.1506")


def recipe(tmp_path: Path, **techniques: Any) -> Recipe:
    return Recipe.load({
        "recipe": "shop", "tiers": {"simple": {"models": ["openai/gpt-4o-mini"]}, "complex": {"models": ["openai/gpt-4o"]}},
        "tasks": {"yes_no": {"tier": "simple", "output_tokens": 60}}, "ledger": {"path": str(tmp_path / "l.sqlite")}, **techniques,
    })  # fmt: skip


def ask(of: Recipe) -> None:
    flow, ctx = of.flow(ask_for(), told=Told(task="yes_no"))
    model = FakeModel([ANSWER])
    drive(flow, ctx, model)
    assert [call.request.model for call in model.calls] == ["gpt-4o"], "it travelled as it came"


def test_a_whole_recipe_in_shadow_says_what_each_technique_would_have_saved_alone(tmp_path: Path) -> None:
    shop = recipe(tmp_path, mode="shadow", route={}, cap={}, cache={})
    ask(shop)
    ask(shop)
    shop.close()
    with open_reader(tmp_path / "l.sqlite") as reader:
        found = summary_of(reader, Period())
        would = {line.technique: line.would_usd for line in found.techniques}
        assert would == {"route": 2 * (DEAR - CHEAP), "cache": DEAR, "cap": 0}
        assert (found.saved_usd, found.actual_usd) == (0, 2 * DEAR)
        assert all(line.saved_usd == 0 for line in found.techniques)
        assert all(one.saved_by == {} for one in reader.latest(5))
        assert make_sums_again(reader.db) is True
    figures = evidence_figures(read_evidence(tmp_path / "l.sqlite"))
    assert figures["techniques"]["cache"]["would_usd"] == 2.51
    assert figures["saved_usd"] == 0


def test_one_technique_in_shadow_beside_others_that_act(tmp_path: Path) -> None:
    shop = recipe(tmp_path, route={"mode": "shadow"}, cache={})
    ask(shop)
    flow, ctx = shop.flow(ask_for(), told=Told(task="yes_no"))
    drive(flow, ctx, FakeModel([ANSWER]))
    shop.close()
    with open_reader(tmp_path / "l.sqlite") as reader:
        found = summary_of(reader, Period())
    lines = {line.technique: (line.saved_usd, line.would_usd) for line in found.techniques}
    assert lines == {"cache": (DEAR, 0), "route": (0, DEAR - CHEAP)}
    assert found.saved_usd == DEAR
