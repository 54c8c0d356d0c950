"""What monitoring sees: the right numbers under the standard names, bounded, and nobody's text."""

from __future__ import annotations

import json
import logging
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, generate_latest
from typer.testing import CliRunner

from frugal_plugins import Recipe
from frugal_plugins.cli.app import app
from frugal_plugins.drivers import drive
from frugal_plugins.observe.metrics import COUNTERS, MOST_VALUES, Metrics
from frugal_plugins.observe.spans import Spans
from frugal_plugins.request import Reply
from frugal_plugins.told import Told
from frugal_plugins.usage import Usage
from tests.support import FakeModel, ask_for

SECRET = "the secret recipe of the house"
ANSWER = Reply({"role": "assistant", "content": SECRET}, "gpt-4o-mini", Usage(1000, 200, output_tokens=50), id="chatcmpl-7")


def shop(tmp_path: Path, *, ledger: bool = True, **observe: bool) -> Recipe:
    return Recipe.load({
        "recipe": "shop", "tiers": {"simple": {"models": ["openai/gpt-4o-mini"]}, "complex": {"models": ["openai/gpt-4o"]}},
        "tasks": {"yes_no": {"tier": "simple", "output_tokens": 60}}, "route": {}, "cap": {}, "cache": {},
        "ledger": {"path": str(tmp_path / "l.sqlite")} if ledger else "off", "observe": observe,
    })  # fmt: skip


def ask(recipe: Recipe, **told: Any) -> None:
    flow, ctx = recipe.flow(ask_for(SECRET), told=Told(task="yes_no", tags={"team": "red", "user": "ann"}, **told))
    drive(flow, ctx, FakeModel([ANSWER]))


@pytest.fixture
def exported() -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace._TRACER_PROVIDER = provider  # type: ignore[attr-defined]
    return exporter


@pytest.mark.parametrize("ledger", [True, False])
def test_a_span_for_each_request_with_its_decisions_and_the_right_parent(
    tmp_path: Path, exported: InMemorySpanExporter, ledger: bool
) -> None:
    recipe = shop(tmp_path, ledger=ledger, opentelemetry=True)
    with trace.get_tracer("host").start_as_current_span("the host's own") as parent:
        ask(recipe)
    recipe.close()
    span = next(span for span in exported.get_finished_spans() if span.name == "chat openai/gpt-4o-mini")
    assert span.parent is not None
    assert span.parent.span_id == parent.get_span_context().span_id
    said = dict(span.attributes or {})
    assert {name: said[name] for name in said if name.startswith("gen_ai.")} == {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "openai/gpt-4o-mini", "gen_ai.response.id": "chatcmpl-7", "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 50, "gen_ai.usage.cache_read.input_tokens": 200,
        "gen_ai.usage.cache_creation.input_tokens": 0,
    }  # fmt: skip
    assert said["frugal.actual_usd"] == pytest.approx(0.000165)
    assert said["frugal.saved_usd"] == pytest.approx(said["frugal.saved_usd.route"])
    assert (said["frugal.team"], said["frugal.task"], "frugal.user" in said) == ("red", "yes_no", False)
    assert [(dict(event.attributes or {})["frugal.technique"]) for event in span.events] == [
        decision.split(":")[0] for decision in ("route:", "cap:", "cache:")
    ]
    assert span.start_time is not None
    assert span.end_time is not None
    assert 0 < span.end_time - span.start_time < 60e9
    assert SECRET not in span.to_json()


def test_a_failed_request_is_an_error_span(tmp_path: Path, exported: InMemorySpanExporter) -> None:
    recipe = shop(tmp_path, opentelemetry=True)
    flow, ctx = recipe.flow(ask_for(SECRET))
    with pytest.raises(ConnectionError):
        drive(flow, ctx, FakeModel([ConnectionError("down")]))
    recipe.close()
    span = exported.get_finished_spans()[-1]
    assert (span.status.status_code.name, dict(span.attributes or {})["error.type"]) == ("ERROR", "ConnectionError")


def test_each_call_has_a_client_span_and_the_standard_metrics_where_the_recipe_asks(
    tmp_path: Path, exported: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    monkeypatch.setattr(metrics, "get_meter", provider.get_meter)
    recipe = shop(tmp_path, opentelemetry=True, calls=True)
    flow, ctx = recipe.flow(ask_for(SECRET), told=Told(task="yes_no"))
    cut = ANSWER.with_(finish="length", usage=Usage(1000, output_tokens=60))
    drive(flow, ctx, FakeModel([cut, ANSWER]))  # cut by our limit, so it is asked again
    flow, ctx = recipe.flow(ask_for("another"), told=Told(task="yes_no"))
    with pytest.raises(ConnectionError):
        drive(flow, ctx, FakeModel([ConnectionError("down")]))
    recipe.close()
    spans = exported.get_finished_spans()
    whole = next(span for span in spans if span.kind.name == "INTERNAL")
    calls = [span for span in spans if span.kind.name == "CLIENT"]
    assert [span.parent.span_id for span in calls[:2] if span.parent] == [whole.context.span_id] * 2
    said = [dict(span.attributes or {}) for span in calls]
    assert [one["gen_ai.usage.output_tokens"] for one in said] == [60, 50, 0]
    assert (said[0]["frugal.replaced_by"], said[0]["gen_ai.request.model"]) == ("cap", "openai/gpt-4o-mini")
    assert not any(name.startswith("gen_ai.usage") for name in whole.attributes or {}), "tokens are counted once"
    assert (calls[2].status.status_code.name, said[2]["error.type"]) == ("ERROR", "ConnectionError")
    assert all(whole.start_time <= span.start_time <= span.end_time for span in calls)
    found = {metric.name: metric for metric in reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics}
    tokens = {dict(point.attributes)["gen_ai.token.type"]: point for point in found["gen_ai.client.token.usage"].data.data_points}
    assert (tokens["input"].sum, tokens["output"].sum, tokens["input"].count) == (2000, 110, 2)
    seconds = found["gen_ai.client.operation.duration"].data.data_points
    assert (found["gen_ai.client.operation.duration"].unit, sum(point.count for point in seconds)) == ("s", 3)
    assert SECRET not in "".join(span.to_json() for span in spans)


def test_without_an_sdk_nothing_happens(tmp_path: Path) -> None:
    trace._TRACER_PROVIDER = None  # type: ignore[attr-defined]
    recipe = shop(tmp_path, opentelemetry=True)
    ask(recipe)
    recipe.close()
    assert isinstance(recipe.observers[0], Spans)


def scraped(registry: CollectorRegistry) -> dict[str, float]:
    lines = generate_latest(registry).decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


def test_prometheus_sees_dollars_tokens_and_decisions(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    recipe = shop(tmp_path, opentelemetry=False)
    recipe.observers = (Metrics(registry),)
    ask(recipe)
    ask(recipe)  # the second is a hit
    recipe.close()
    seen = scraped(registry)
    assert seen['frugal_requests_total{group="treated",outcome="answered",recipe="shop",task="yes_no"}'] == 1
    assert seen['frugal_requests_total{group="treated",outcome="hit",recipe="shop",task="yes_no"}'] == 1
    assert seen['frugal_spent_usd_total{model="openai/gpt-4o-mini",recipe="shop"}'] == pytest.approx(0.000165)
    assert seen['frugal_tokens_total{kind="cache_read",model="openai/gpt-4o-mini",recipe="shop"}'] == 200
    assert seen['frugal_decisions_total{action="hit",mode="on",recipe="shop",technique="cache"}'] == 1
    base = sum(value for name, value in seen.items() if name.startswith("frugal_baseline_usd_total"))
    paid = sum(value for name, value in seen.items() if name.startswith("frugal_actual_usd_total"))
    saved = sum(value for name, value in seen.items() if name.startswith("frugal_saved_usd_total"))
    lost = sum(value for name, value in seen.items() if name.startswith("frugal_overspent_usd_total"))
    assert base - paid == pytest.approx(saved - lost)
    assert SECRET not in generate_latest(registry).decode()


def test_labels_cannot_grow_without_end(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    recipe = shop(tmp_path, opentelemetry=False)
    recipe.observers = (Metrics(registry),)
    for n in range(3 * MOST_VALUES):
        flow, ctx = recipe.flow(ask_for(f"q{n}"), told=Told(task=f"task{n}"))
        drive(flow, ctx, FakeModel([ANSWER]))
    recipe.close()
    tasks = [name for name in scraped(registry) if name.startswith("frugal_requests_total")]
    assert len(tasks) == MOST_VALUES + 1
    assert scraped(registry)['frugal_requests_total{group="treated",outcome="answered",recipe="shop",task="other"}'] == 2 * MOST_VALUES


def test_a_structured_line_for_each_request(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recipe = shop(tmp_path, opentelemetry=False, log=True)
    with caplog.at_level(logging.INFO, "frugal_plugins.requests"):
        ask(recipe)
        recipe.close()
    record = next(record for record in caplog.records if record.name == "frugal_plugins.requests")
    fields = {name: value for name, value in vars(record).items() if name.startswith("frugal_")}
    assert (fields["frugal_outcome"], fields["frugal_model"], fields["frugal_input_tokens"]) == ("answered", "openai/gpt-4o-mini", 1000)
    assert json.dumps(fields)
    assert SECRET not in record.getMessage() + json.dumps(fields)


def test_the_board_shows_only_metrics_there_are(tmp_path: Path) -> None:
    board = json.loads(files("frugal_plugins.observe").joinpath("grafana.json").read_text())
    named = {name for panel in board["panels"] for target in panel["targets"] for name in re.findall(r"frugal_\w+", target["expr"])}
    assert named == {f"frugal_{name}_total" for name in COUNTERS}
    printed = CliRunner().invoke(app, ["observe", "--grafana"])
    assert json.loads(printed.stdout) == board
    assert CliRunner().invoke(app, ["observe", "-o", str(tmp_path / "b.json")]).exit_code == 0
    assert json.loads((tmp_path / "b.json").read_text()) == board
    assert "frugal_spent_usd_total" in CliRunner().invoke(app, ["observe"]).output
