"""The page: one file that asks nobody, with sliders that have names, and a policy that lets only its own scripts run."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from frugal_plugins.estimate import Estimate
from frugal_plugins.estimate.page import estimate_page
from frugal_plugins.estimate.replay import FLOW, LIKELY, OFF, Pile, total
from tests.estimate.conftest import chat, estimated

NASTY = '</script><script>alert(1)</script>"&<b>'


class Tags(HTMLParser):
    """Every tag with its attributes, and the text of scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script":
            self.scripts.append((self.tags[-1][1], data))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Estimate:
    path = tmp_path_factory.mktemp("page") / "log.jsonl"
    records = [chat(f"yes or no: {n % 7}?", at=1_793_500_000 + 40_000 * n, frugal={"task": "yes_no"}) for n in range(30)]
    path.write_text("".join(json.dumps(record) + "\n" for record in [*records, chat(model=NASTY)]) + "{half\n")
    return estimated(path)


@pytest.fixture(scope="module")
def page(found: Estimate) -> str:
    return estimate_page(found)


def test_it_loads_nothing_and_runs_only_its_own_scripts(page: str) -> None:
    tags = Tags(page)
    assert not [tag for tag, attrs in tags.tags if {"src", "href"} & set(attrs) and not (attrs.get("href") or "").startswith("#")]
    policy = next(attrs["content"] or "" for tag, attrs in tags.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    allowed = set(re.findall(r"'(sha256-[^']+)'", policy))
    run = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert {f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}" for script in run} == allowed
    assert len(run) == 3


def test_names_from_the_logs_are_text_and_never_markup(page: str) -> None:
    assert "<script>alert" not in page
    assert "&lt;b&gt;" in page


def test_every_slider_has_a_name_and_says_its_value(page: str, found: Estimate) -> None:
    tags = Tags(page).tags
    labels = {attrs.get("for") for tag, attrs in tags if tag == "label"}
    sliders = [attrs for tag, attrs in tags if tag == "input" and attrs.get("type") == "range"]
    assert len(sliders) == len(FLOW) + 1
    ids = {attrs.get("id") for _, attrs in tags}
    for attrs in sliders:
        assert attrs["id"] in labels
        assert attrs["aria-describedby"] in ids
    disabled = {attrs["data-name"] for attrs in sliders if "disabled" in attrs}
    assert disabled == {saving.name for saving in found.savings.techniques if not saving.visible}


def test_the_script_is_given_what_it_computes_with(page: str, found: Estimate) -> None:
    data = json.loads(re.search(r'id="estimate">(.*?)</script>', page, re.DOTALL)[1])  # type: ignore[index]
    rebuilt = [Pile(**dict(zip(data["fields"], row, strict=True))) for row in data["piles"]]
    assert total(rebuilt, OFF) == pytest.approx(found.savings.before)
    assert total(rebuilt, LIKELY) == pytest.approx(found.savings.after.likely)
    assert len(data["strengths"]) == 4
    assert data["strengths"][2]["route"] == [*LIKELY.route, LIKELY.longer, LIKELY.reread]


def test_plots_have_the_same_as_a_table(page: str) -> None:
    for anchor in ("waterfall", "models", "tasks", "days"):
        assert f'id="plot-{anchor}"' in page
    assert page.count('role="region"') >= 6
