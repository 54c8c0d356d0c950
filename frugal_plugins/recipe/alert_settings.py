"""What a recipe may say about budgets and monitoring."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from frugal_plugins.ledger.budgets import Budget
from frugal_plugins.recipe.checks import rule
from frugal_plugins.recipe.fields import Flag, Section, TaskName, dollars

_LOOPBACK = ("http://127.0.0.1", "http://localhost", "http://[::1]")
Limit = Annotated[Decimal, Field(gt=0), BeforeValidator(dollars)]
Tag = Annotated[str, Field(min_length=1, max_length=200)]


class AlertSettings(Section):
    """A budget, and what happens when it is reached."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,60}$", description="The budget's name in logs, webhooks and errors.")
    usd: Limit = Field(description="US dollars that may be spent.")
    per: Literal["hour", "day", "month"] = Field(default="month", description="In which time, UTC.")
    team: Tag | None = Field(default=None, description="Only requests with this team. Without team, feature and task: the whole recipe.")
    feature: Tag | None = Field(default=None, description="Only requests with this feature.")
    task: TaskName | None = Field(default=None, description="Only requests of this kind of work.")
    action: Literal["log", "webhook", "stop"] = Field(
        default="log",
        description="log: warn. webhook: also post the figures to url. stop: also refuse requests until the time is over (BudgetReached).",
    )
    url: str | None = Field(default=None, max_length=2000, description="Where to post the figures: https, or a loopback address.")

    @model_validator(mode="after")
    def _make_sense(self) -> AlertSettings:
        if sum(value is not None for value in (self.team, self.feature, self.task)) > 1:
            raise rule("names more than one of team, feature and task; write one alert for each")
        if self.action == "webhook" and self.url is None:
            raise rule("needs a url to post to")
        if self.url is not None and not _is_allowed(self.url):
            raise rule("has a url that is neither https nor a loopback address; write https://...")
        return self

    def budget(self) -> Budget:
        """As the ledger counts it."""
        return Budget(self.name, self.usd, self.per, self.team, self.feature, self.task, self.action, self.url)


class ObserveSettings(Section):
    """Tells monitoring of every request: numbers and names, never text."""

    opentelemetry: Flag = Field(default=True, description="A span for each request (gen_ai.*), its decisions as events. Needs [observe].")
    calls: Flag = Field(
        default=False,
        description=(
            "With opentelemetry: also a CLIENT span for each call to a provider, and the metrics gen_ai.client.token.usage and "
            "gen_ai.client.operation.duration. Leave it off where the host makes them, or they count twice."
        ),
    )
    prometheus: Flag = Field(default=False, description="Counters in the process's own Prometheus registry. Needs [observe].")
    log: Flag = Field(default=False, description="One structured INFO line a request on the logger frugal_plugins.requests.")


def _is_allowed(url: str) -> bool:
    if url.startswith("https://") and len(url) > len("https://"):
        return True
    return any(url == home or url.startswith((f"{home}:", f"{home}/")) for home in _LOOPBACK) and "@" not in url
