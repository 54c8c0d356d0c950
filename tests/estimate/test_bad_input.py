"""What people really have: half lines, wrong files, impossible numbers. Each is named, and the rest is still counted."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from frugal_plugins.errors import FrugalError, InputError
from frugal_plugins.estimate import Numbers, estimate_numbers
from frugal_plugins.estimate.sources import look_at
from tests.estimate.conftest import Write, chat, estimated
from tests.estimate.test_formats import GPT_4O, litellm

BAD = {
    "half a line": '{"timestamp": 1793500000, "request": {"model": "gpt-4o", "mess',
    "a list": "[1, 2]",
    "negative": chat(prompt=-5),
    "absurd": chat(prompt=10**12),
    "no number": {"model": "gpt-4o", "usage": {"prompt_tokens": "many"}},
    "not finite": '{"model": "gpt-4o", "usage": {"prompt_tokens": Infinity}}',
    "no model": {"messages": [{"role": "user", "content": "x"}], "usage": {"prompt_tokens": 3}},
    "other fields": {"level": "info", "message": "started"},
    "too deep": "[" * 100_000,
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_line_is_named_and_the_rest_is_counted(name: str, lines: Write) -> None:
    path = lines([chat(), BAD[name], chat("other")])
    found = estimated(path)
    assert found.spend.usd == 2 * GPT_4O
    assert found.intake.unusable == 1
    assert found.intake.problems[0].startswith(f"{path}:2: ")


def test_only_the_first_bad_lines_are_named_but_all_are_counted(lines: Write) -> None:
    found = estimated(lines([chat(), *["{half"] * 50]))
    assert found.intake.unusable == 50
    assert len(found.intake.problems) == 20


@pytest.mark.parametrize("content", ["", "  \n\n", "{half\n", "just words\nand more\n", '{"a": 1}\n', "PK\x03\x04zip", "[]", "a,b\n1,2\n"])
def test_a_file_without_a_usable_record_is_an_error_that_says_what_was_expected(content: str, text: Write) -> None:
    with pytest.raises(InputError) as caught:
        estimated(text(content))
    assert str(caught.value).endswith(("output_tokens", "another file", "or CSV", "again"))


def test_a_folder_a_missing_file_and_a_foreign_database(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing.jsonl"):
        with pytest.raises(InputError):
            estimated(path)
    other = tmp_path / "other.sqlite"
    import sqlite3

    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE t (x)")
    with pytest.raises(FrugalError):
        estimated(other)


def test_a_broken_document_is_named_with_its_line(text: Write) -> None:
    with pytest.raises(InputError, match=r"log\.json:5"):
        estimated(text('[\n {"a":\n 1},\n {"b": \n', "log.json"))


def test_a_list_with_an_object_on_each_line_is_read_line_by_line_and_may_break_off(text: Write) -> None:
    one = json.dumps(chat())
    whole = estimated(text(f"[\n{one},\n{one},\n{one}\n]\n", "whole.json"))
    assert (whole.spend.usd, whole.intake.unusable) == (3 * GPT_4O, 0)
    path = text(f"[{one},\n{one},\n{one[:60]}", "cut.json")
    cut = estimated(path)
    assert cut.spend.usd == 2 * GPT_4O
    assert cut.intake.problems == [f"{path}:3: it is not a whole JSON object (a half line?); remove it or write it again"]
    assert estimated(text(f"{one},\n{one}\n", "commas.jsonl")).spend.usd == 2 * GPT_4O


def test_one_line_in_another_encoding_or_full_of_zeros_spoils_no_other(text: Write) -> None:
    one = json.dumps(chat("caf\u00e9"), ensure_ascii=False)
    path = text(b"\n".join([one.encode(), one.encode("cp1252"), b"\0" * 400, one.encode()]) + b"\n", "log.jsonl")
    found = estimated(path)
    assert found.spend.usd == 3 * GPT_4O
    assert found.intake.problems[0].startswith(f"{path}:3: ")


def test_unknown_models_are_unpriced_and_named(lines: Write) -> None:
    found = estimated(lines([chat(), chat(model="house-model-7b"), chat(model="gpt-4o-mini-typo-9")]))
    assert "house-model-7b" in found.spend.unpriced
    assert any("house-model-7b" in note.what and "--recipe" in note.means for note in found.notes)
    assert found.spend.usd >= GPT_4O


def test_times_in_three_zones_meet_on_one_clock(lines: Write) -> None:
    times = [
        "2026-11-01T12:00:00+02:00",
        "2026-11-01T10:00:00Z",
        "2026-11-01 10:00:00",
        1793527200,
        "1793527200000",
        "2026-11-01T05:00:00-05:00",
    ]
    found = estimated(lines([chat(at=time) for time in times]))
    assert found.spend.first_seconds == found.spend.last_seconds == 1793527200
    assert any("name no time zone" in note.what for note in found.notes)


def test_future_and_ancient_dates_are_counted_and_said(lines: Write) -> None:
    found = estimated(lines([chat(), chat("b", at="2031-01-01T00:00:00Z"), chat("c", at="1999-01-01T00:00:00Z"), chat("d", at="soon")]))
    assert found.spend.usd == 4 * GPT_4O
    assert found.spend.future == 1
    assert found.spend.untimed == 2
    assert {"1 rows lie in the future", "2 rows have no time"} <= {note.what for note in found.notes}


def test_names_from_a_log_cannot_steer_a_terminal(lines: Write) -> None:
    found = estimated(lines([chat(), chat(model="gpt\x1b[31m-red\r\nnext")]))
    assert list(found.spend.unpriced) == ["gpt?[31m-red next"]
    with pytest.raises(InputError) as caught:
        estimated(lines([{"\x1b[2J": 1}], "steering.jsonl"))
    assert "\x1b" not in str(caught.value)


def test_more_cached_than_read_is_said(lines: Write) -> None:
    found = estimated(lines([chat(prompt=100, cached=600)]))
    assert any("more cached than read" in note.what for note in found.notes)


def test_windows_encodings_are_read(text: Write) -> None:
    line = '{"timestamp": 1793500000, "request": {"model": "gpt-4o", "messages": [{"role": "user", "content": "caf\u00e9"}]}, '
    line += '"response": {"model": "gpt-4o", "usage": {"prompt_tokens": 1000, "completion_tokens": 100}}}\n'
    assert estimated(text(line.encode("cp1252"), "log.jsonl")).spend.usd == GPT_4O


def test_a_table_with_a_short_line_and_quoted_newlines(text: Write) -> None:
    content = 'model,input_tokens,output_tokens,note\ngpt-4o,1000,100,"two\nlines"\ngpt-4o,1000\ngpt-4o,"1,000",100.0,x\n'
    path = text(content)
    found = estimated(path)
    assert found.spend.usd == 2 * GPT_4O
    assert found.intake.problems == [f"{path}:4: it has 2 columns, the table has 4; export it again or remove it"]


def test_failed_calls_cost_nothing_and_are_said(lines: Write) -> None:
    found = estimated(lines([litellm(), litellm(status="failure")]))
    assert found.spend.usd == GPT_4O
    assert found.intake.left_out == 1
    with pytest.raises(InputError, match="cost nothing"):
        estimated(lines([litellm(status="failure")], "failed.jsonl"))


@pytest.mark.parametrize("parts", [2, 3])
def test_a_large_file_is_cut_between_records(parts: int, text: Write) -> None:
    from frugal_plugins.estimate.sources import cuts, look_at, records

    rows = "".join(f'gpt-4o,{n},5,"a ""quoted""\nnewline {n}"\n' for n in range(1, 400))
    source = look_at(text("model,input_tokens,output_tokens,note\n" + rows))
    stretches = cuts(source, parts)
    assert len(stretches) == parts
    seen = [record["input_tokens"] for start, end in stretches for _, record in records(source, start, end)]  # type: ignore[index]
    assert seen == [str(n) for n in range(1, 400)]


def test_files_in_processes_come_to_the_same(monkeypatch: pytest.MonkeyPatch, lines: Write) -> None:
    from frugal_plugins.estimate import intake

    path = lines([*(chat(f"question {n}") for n in range(60)), "{half", *(chat(f"other {n}") for n in range(60))])
    whole = estimated(path)
    monkeypatch.setattr(intake, "_OWN_PROCESS_BYTES", 1_000)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    parted = estimated(path)
    assert parted.spend == whole.spend
    assert parted.intake.problems == whole.intake.problems


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_column_by_column_is_the_same_as_line_by_line(kind: str, monkeypatch: pytest.MonkeyPatch, lines: Write, text: Write) -> None:
    import csv
    import io
    import json

    from frugal_plugins.estimate import intake

    odd = [
        {"prompt_tokens": -1}, {"prompt_tokens": "many"}, {"model": ""}, {"status": "failure"}, {"cache_hit": "True"},
        {"startTime": "soon"},
        {"startTime": "2026-11-01 10:00:00"}, {"call_type": "aretrieve_batch"}, {"prompt_tokens": 10**12}, {"custom_llm_provider": ""},
        {"metadata": json.dumps({"usage_object": {"prompt_tokens_details": {"cached_tokens": 300}, "service_tier": "flex"}})},
        {"metadata": '{"usage_object": half'}, {"session_id": "s1", "team_id": "t"}, {"request_tags": '["nightly"]'},
        {"model": "nobody-knows"},
    ]  # fmt: skip
    every = {"metadata": "{}", "session_id": "", "team_id": "", "request_tags": "[]", "status": "success"}
    records = [litellm(**{**every, **one}) for one in odd for _ in range(3)]
    if kind == "jsonl":
        path = lines([*records, "{half a line"])
    else:
        out = io.StringIO()
        writer = csv.DictWriter(out, list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
        path = text(out.getvalue() + "too,short\n")
    slow = estimated(path)
    monkeypatch.setattr(intake, "COLUMNAR_BYTES", 1)
    fast = estimated(path)
    assert fast.spend == slow.spend
    assert (fast.intake.unusable, fast.intake.left_out, fast.intake.zoneless) == (
        slow.intake.unusable,
        slow.intake.left_out,
        slow.intake.zoneless,
    )
    assert fast.intake.problems == slow.intake.problems
    assert fast.savings == slow.savings


def test_numbers_that_cannot_be() -> None:
    with pytest.raises(InputError, match="cannot be"):
        estimate_numbers([Numbers("gpt-4o", 10, 10**9, 5)])


@pytest.mark.parametrize(("mark", "word"), [(";", "semicolons"), ("\t", "tabs")])
def test_a_table_with_other_marks_than_commas_is_told_so(tmp_path: Path, mark: str, word: str) -> None:
    """Excel writes semicolons in half of Europe."""
    (tmp_path / "usage.csv").write_text("model,input_tokens,output_tokens\ngpt-4o,1000,100\n".replace(",", mark))
    with pytest.raises(InputError, match=rf"usage\.csv: its columns are separated by {word}; export it with commas"):
        look_at(tmp_path / "usage.csv")
