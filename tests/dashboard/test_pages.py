"""The pages say what the ledger says, lead from every figure to its rows, and show nobody's text unless told to."""

from __future__ import annotations

import re
import time
from decimal import Decimal
from html import unescape

import pytest
from starlette.testclient import TestClient

from frugal_plugins import Usage
from frugal_plugins.dashboard import dashboard_app
from frugal_plugins.dashboard.plot import Bar, bars
from frugal_plugins.ledger.reader import Period
from frugal_plugins.ledger.reading import open_reader
from frugal_plugins.report.words import money
from tests.dashboard.conftest import NASTY, Serve
from tests.report.conftest import Shop
from tests.support import wait_for_later

LINK = re.compile(r'<a [^>]*href="([^"]+)"')


def links(html: str) -> list[str]:
    return [unescape(found) for found in LINK.findall(html) if not found.startswith("#")]


def test_the_first_page_says_what_the_ledger_says(shop: Shop, serve: Serve) -> None:
    page = serve().get("/").text
    with open_reader(shop.path) as reader:
        total = reader.total(Period())
    assert total.requests == 5
    assert total.hits == 2
    for usd in (total.spent_usd, total.baseline_usd, total.measured_usd, total.estimated_usd):
        assert f">{money(usd)}</a>" in page
    assert total.measured_usd
    assert total.estimated_usd
    assert money(total.saved_usd) not in page.split("Just decided")[0]


def test_every_figure_leads_to_rows_that_are_there(serve: Serve) -> None:
    browser = serve()
    found = links(browser.get("/").text)
    assert len(found) > 25
    for href in found:
        assert browser.get(f"/{href}").status_code == 200, href


def test_the_rows_behind_a_figure_are_those_it_counts(serve: Serve) -> None:
    browser = serve()
    page = browser.get("/").text
    for word, count in (("stored answers", 2), ("requests", 5)):
        href, figure = re.findall(rf'<dt>{word}</dt><dd><a href="([^"]+)">([^<]+)</a>', page)[0]
        assert int(figure) == count
        rows = browser.get(f"/{unescape(href)}").text
        assert rows.count('class="card"') == count


def test_a_filter_narrows_and_adds_up(serve: Serve) -> None:
    page = serve().get("/rows?task=yes_no").text
    assert page.count('class="card"') == 2
    assert "2 requests" in page
    assert '<option value="yes_no" selected>' in page
    assert "No such request" in serve().get("/rows?task=nothing").text


def test_the_reasons_of_one_request_and_its_calls(serve: Serve) -> None:
    browser = serve()
    href = next(href for href in links(browser.get("/rows?task=yes_no").text) if href.startswith("request"))
    page = browser.get(f"/{href}").text
    assert "<b>route</b>" in page
    assert "openai/small" in page
    assert "hashed" not in page
    assert browser.get("/request?id=nobody").status_code == 404


def test_no_prompt_is_shown_unless_told_to_and_then_it_cannot_run(serve: Serve) -> None:
    def everything(browser: TestClient) -> str:
        first = browser.get("/rows?task=document").text
        details = [browser.get(f"/{href}").text for href in links(first) if href.startswith("request")]
        return first + "".join(details) + browser.get("/review").text

    silent = everything(serve())
    assert "contract" not in silent
    shown = everything(serve(show_text=True))
    assert "contract" in shown
    assert NASTY not in shown


def test_names_from_the_ledger_and_the_address_are_escaped(shop: Shop, serve: Serve) -> None:
    shop.ask("Is it?", task="<i>odd</i>")
    browser = serve()
    for page in (browser.get("/"), browser.get("/rows", params={"task": "<i>odd</i>"}), browser.get("/rows", params={"team": '"><i>'})):
        assert "<i>" not in page.text
    assert "&lt;i&gt;odd" in browser.get("/").text


@pytest.mark.parametrize("address", ["/?span=yesterday", "/rows?from=soon", "/rows?from=nan", "/rows?at=1e300&after=x"])
def test_an_address_we_never_wrote_is_refused_in_words(serve: Serve, address: str) -> None:
    answer = serve().get(address)
    assert answer.status_code == 400
    assert "is not" in answer.text


def test_older_requests_follow_without_gap_or_repeat(shop: Shop, serve: Serve) -> None:
    for number in range(60):
        shop.now += 1
        shop.ask(f"Is {number} even?", task="yes_no")
    browser = serve()
    first = browser.get("/rows").text
    older = next(href for href in links(first) if "after=" in href)
    second = browser.get(f"/{older}").text
    names = [re.findall(r"request\?[^\"]*id=([^\"&]+)", page) for page in (first, second)]
    assert len(names[0]) == 50
    assert len(names[1]) == 15
    assert len({*names[0], *names[1]}) == 65


def test_a_day_without_requests_says_when_the_last_one_was(shop: Shop, serve: Serve) -> None:
    shop.ask("Is it?", task="yes_no")
    browser = serve()
    assert "No requests in this time" not in browser.get("/").text
    empty = Shop(shop.path.with_name("old.sqlite"))
    empty.ask("Is it?", task="yes_no")
    assert empty.recipe.ledger is not None
    empty.recipe.ledger.flush()
    page = TestClient(dashboard_app(empty.path), base_url="http://127.0.0.1").get("/").text
    assert "No requests in this time" in page
    assert "2025-06-15" in page
    empty.recipe.close()


def test_the_figures_as_json_keep_measured_and_estimated_apart(serve: Serve) -> None:
    found = serve().get("/figures.json").json()
    total = found["total"]
    assert total["requests"] == 5
    assert total["saved_measured_usd"] + total["saved_estimated_usd"] == pytest.approx(total["baseline_usd"] - total["actual_usd"])
    assert found["by_technique"]["cache"]["saved_estimated_usd"] > 0
    assert sum(one["requests"] for one in found["by_task"].values()) == 5


def test_a_ledger_that_is_gone_is_said_plainly(shop: Shop, serve: Serve) -> None:
    browser = serve()
    shop.recipe.close()
    shop.path.rename(shop.path.with_suffix(".gone"))
    answer = browser.get("/")
    assert answer.status_code == 503
    assert "there is no ledger" in answer.text


def test_an_hour_of_the_plot_shows_its_own_rows(serve: Serve) -> None:
    hour = int(time.time() // 86_400 * 86_400)
    assert serve().get(f"/rows?from={hour}&to={hour + 3600}").text.count('class="card"') == 5
    assert serve().get(f"/rows?from={hour + 3600}&to={hour + 7200}").text.count('class="card"') == 0


def test_the_control_page_says_what_is_measured_or_that_nothing_is(shop: Shop, serve: Serve) -> None:
    assert "control" in serve().get("/control").text
    measured = Shop(shop.path.with_name("measured.sqlite"), control_percent=50)
    measured.now = time.time() // 86_400 * 86_400 + 60
    for number in range(120):
        measured.ask(f"Is {number} even?", task="yes_no")
    assert measured.recipe.ledger is not None
    measured.recipe.ledger.flush()
    page = TestClient(dashboard_app(measured.path), base_url="http://127.0.0.1").get("/control").text
    measured.recipe.close()
    assert "saved, measured" in page
    assert re.search(r"\$\d+\.\d+ \(\$\d+\.\d+ to \$\d+\.\d+\)", page)
    assert "output tokens" in page


def test_the_control_page_shows_what_each_technique_adds_and_what_the_judging_cost(shop: Shop, serve: Serve) -> None:
    asked = {"control_percent": 20, "control_each_percent": 10, "judge": {"percent": 50, "usd_per_day": 9}}
    measured = Shop(shop.path.with_name("each.sqlite"), **asked)
    measured.now = time.time() // 86_400 * 86_400 + 60
    for number in range(400):
        measured.ask(f"Is {number} even?", task="yes_no")
    wait_for_later()
    assert measured.recipe.ledger is not None
    measured.recipe.ledger.flush()
    browser = TestClient(dashboard_app(measured.path), base_url="http://127.0.0.1")
    page, front = browser.get("/control").text, browser.get("/").text
    measured.recipe.close()
    assert "What each technique adds to the others" in page
    assert re.search(r"group=without\+route[^>]*>route</a>", page)
    assert "answers judged on a sample" in page
    assert "saved, less the judging" in page
    assert "treated, without cap" in front
    listed = browser.get("/rows?group=without+route").text
    assert listed.count('class="card"') > 10
    assert "held_out: left out of this request" in listed


def test_what_is_saved_on_the_page_adds_up_to_without_less_paid(shop: Shop, serve: Serve) -> None:
    """Untouched traffic that would have been cheaper in a warmer cache belongs to the sum too, under a word of its own."""
    measured = Shop(shop.path.with_name("control.sqlite"), control_percent=50)
    measured.now = time.time() // 86_400 * 86_400 + 60
    for number in range(20):
        measured.ask(f"Is {number} even?", task="yes_no", known=Usage(input_tokens=1000, output_tokens=90))
    assert measured.recipe.ledger is not None
    measured.recipe.ledger.flush()
    client = TestClient(dashboard_app(measured.path), base_url="http://127.0.0.1")
    total = client.get("/figures.json").json()["total"]
    measured.recipe.close()
    assert total["saved_untouched_usd"] != 0
    parts = total["saved_measured_usd"] + total["saved_estimated_usd"] + total["saved_untouched_usd"]
    assert parts == pytest.approx(total["baseline_usd"] - total["paid_usd"])
    assert "saved, untouched" in client.get("/").text


def test_a_model_is_one_line_whether_its_provider_is_written_in_front_or_not(shop: Shop, serve: Serve) -> None:
    tiers = {"cheap": {"models": ["openai/gpt-4o-mini"]}, "dear": {"models": ["openai/gpt-4o"]}}
    named = Shop(shop.path.with_name("named.sqlite"), tiers=tiers)
    named.now = time.time() // 86_400 * 86_400 + 60
    named.ask("Is it open?", task="yes_no", model="gpt-4o")  # answered by openai/gpt-4o-mini
    named.ask("Is it shut?", task="yes_no", model="gpt-4o-mini")  # left where it is
    assert named.recipe.ledger is not None
    named.recipe.ledger.flush()
    client = TestClient(dashboard_app(named.path), base_url="http://127.0.0.1")
    page = client.get("/").text
    table = page[page.index('id="model-h"') : page.index('id="task-h"')]
    assert table.count(">gpt-4o-mini</a>") == 1
    assert "openai/" not in table
    assert client.get("/rows?model=gpt-4o-mini").text.count('class="card"') == 2
    assert "2 calls" in client.get("/rows?model=gpt-4o-mini").text
    named.recipe.close()


def test_the_last_label_of_the_plot_is_not_cut_off() -> None:
    steps = [Bar(f"2026-10-{day:02d}", Decimal(1), Decimal(2), "rows") for day in range(1, 30)]
    (*_, last) = re.findall(r'<text class="tick" x="([0-9.]+)" y="[0-9.]+" text-anchor="(\w+)">10-\d\d</text>', bars("t", steps))
    width = float(re.search(r'viewBox="0 0 (\d+) ', bars("t", steps))[1])  # type: ignore[index]
    assert last[1] == "end"
    assert float(last[0]) <= width


def test_a_saving_without_a_range_is_not_shown_as_a_figure(shop: Shop, serve: Serve) -> None:
    """Beside measured sums it would be read as if it were as good as they."""
    few = Shop(shop.path.with_name("few.sqlite"), control_percent=30)
    few.now = time.time() // 86_400 * 86_400 + 60
    for number in range(12):
        few.ask(f"Is {number} even?", task="yes_no", session=f"s{number}")
    assert few.recipe.ledger is not None
    few.recipe.ledger.flush()
    page = TestClient(dashboard_app(few.path), base_url="http://127.0.0.1").get("/control").text
    few.recipe.close()
    assert "<dt>saved, measured</dt><dd>too little untouched traffic</dd>" in page
