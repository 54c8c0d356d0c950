"""Tool results lose tokens and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frugal_plugins.text.expand import Reader
from frugal_plugins.text.tables import Told, compact
from frugal_plugins.text.turns import digest
from frugal_plugins.text.view import ToolResults
from tests.text.shapes import documents


@given(st.lists(documents, min_size=1, max_size=6))
@settings(max_examples=300, deadline=None)
def test_what_was_written_can_be_read_back_to_the_same_values(results: list[Any]) -> None:
    told, reader = Told(), Reader()
    for value in results:
        text = json.dumps(value)
        written = compact(text, told)
        if written is not None and not written.startswith("(the same result"):
            assert reader.read(written) == json.loads(text)
            assert len(written) < len(text)


def test_a_list_of_objects_becomes_a_table_and_its_columns_are_named_once() -> None:
    told = Told()
    rows = [{"id": "A7", "city": "Oslo"}, {"id": "B9", "city": "Rome"}]
    assert compact(json.dumps(rows), told) == "<1#id|city;A7|Oslo;B9|Rome>"
    assert compact(json.dumps({"id": "C3", "city": "New York"}), told) == "{1#C3|New York}"


def test_a_value_seen_before_is_referred_to() -> None:
    told = Told()
    flights = [{"no": "HAT1", "date": "2024-05-21"}, {"no": "HAT2", "date": "2024-05-22"}]
    compact(json.dumps({"reservation": "JG7FMM", "flights": flights}), told)
    assert compact(json.dumps({"reservation": "LQ940Q", "flights": flights}), told) == "{2#LQ940Q|=JG7FMM.flights}"


def test_a_value_that_changed_is_not_referred_to_under_its_old_name() -> None:
    told, reader = Told(), Reader()
    for turn, flights in enumerate(([{"no": "HAT1", "price": 100}], [{"no": "HAT9", "price": 900}], [{"no": "HAT1", "price": 100}])):
        value = {"reservation": "JG7FMM", "flights": flights * 2, "turn": turn}
        written = compact(json.dumps(value), told)
        assert written is not None
        assert reader.read(written) == value


@pytest.mark.parametrize(
    "text", ["plain words", "{broken", "[]", "{}", '{"a": 1, "a": 2}', '{"a": NaN}', "[" * 3000 + "]" * 3000, "", "12"]
)
def test_what_is_no_json_object_or_list_is_left_alone(text: str) -> None:
    assert compact(text, Told()) is None


def test_numbers_stay_as_they_were_written() -> None:
    written = compact('{"price": 10.50, "big": 12345678901234567890, "exp": 1e5, "text": "1e5", "zip": "02134"}', Told())
    assert written == '{1#price:10.50,big:12345678901234567890,exp:1e5,text:"1e5",zip:"02134"}'


def test_the_same_long_text_is_not_sent_twice() -> None:
    told, text = Told(), "No seats are left on this flight, and no other flight goes to Oslo that day."
    assert compact(text, told) is None
    assert compact(text, told) == "(the same result as above: No seats are left on thi...)"


def test_results_are_written_the_same_way_after_a_fork() -> None:
    def body(last: str) -> list[dict[str, Any]]:
        rows = json.dumps([{"id": "A7", "city": "Oslo"}, {"id": "B9", "city": "Rome"}])
        return [
            {"role": "tool", "tool_call_id": str(n), "content": text} for n, text in enumerate((rows, rows.replace("Rome", "Bonn"), last))
        ]

    one, other = body('{"id": "X1", "city": "Kyiv"}'), body('{"id": "Y2", "city": "Lima"}')
    results = ToolResults()
    names = [[digest(message) for message in messages] for messages in (one, other)]
    results.compacted(one, names[0], 0)
    forked = results.compacted(other, names[1], 0)
    assert forked == ToolResults().compacted(other, names[1], 0)
