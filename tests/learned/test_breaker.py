"""The dear tier's share and dollars stay within their bounds, whatever the traffic."""

from __future__ import annotations

from frugal_plugins.learned.breaker import FEWEST_SEEN, Breaker


def test_the_share_of_the_dear_tier_is_bounded_over_the_window() -> None:
    breaker = Breaker(most_dear_percent=20)
    dear = 0
    for second in range(1000):
        goes = breaker.closed(second) is None
        dear += goes
        breaker.note(dear=goes, paid_usd=0.01, baseline_usd=0.01, now_seconds=second)
    assert dear <= 200 + FEWEST_SEEN


def test_a_budget_for_an_hour_opens_again_when_the_hour_is_over() -> None:
    breaker = Breaker(most_dear_usd_per_hour=1.0)
    breaker.note(dear=True, paid_usd=1.5, baseline_usd=1.5, now_seconds=100)
    assert "$1" in (breaker.closed(200) or "")
    assert breaker.closed(100 + 3601) is None


def test_without_limits_it_never_speaks() -> None:
    breaker = Breaker()
    for second in range(200):
        breaker.note(dear=True, paid_usd=5, baseline_usd=5, now_seconds=second)
    assert breaker.closed(300) is None
    assert not breaker.overspent()


def test_a_window_that_cost_more_than_the_baseline_is_noticed_and_forgotten() -> None:
    breaker = Breaker(window_requests=60)
    for second in range(60):
        breaker.note(dear=False, paid_usd=2, baseline_usd=1, now_seconds=second)
    assert breaker.overspent()
    for second in range(60):
        breaker.note(dear=False, paid_usd=1, baseline_usd=2, now_seconds=second)
    assert not breaker.overspent()
