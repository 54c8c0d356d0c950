"""What was asked, sent, paid and avoided: one row for each request, decision and call, priced when it is written."""

from frugal_plugins.ledger.file import Ledger
from frugal_plugins.ledger.summary import Summary, TechniqueLine, summarize

__all__ = ["Ledger", "Summary", "TechniqueLine", "summarize"]
