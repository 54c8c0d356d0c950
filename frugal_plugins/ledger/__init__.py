"""What was asked, sent, paid and avoided: one row for each request, decision and call, priced when it is written."""

from frugal_plugins.ledger.file import Ledger
from frugal_plugins.ledger.reader import LedgerReader, Period, Spend, Wanted
from frugal_plugins.ledger.reading import open_reader
from frugal_plugins.ledger.summary import Summary, TechniqueLine, summarize

__all__ = ["Ledger", "LedgerReader", "Period", "Spend", "Summary", "TechniqueLine", "Wanted", "open_reader", "summarize"]
