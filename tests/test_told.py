"""What the caller says about a request is read carefully and never breaks it."""

from __future__ import annotations

import pytest

from frugal_plugins.told import NOTHING, read_told


@pytest.mark.parametrize("metadata", [None, {}, {"frugal": None}, {"frugal": "x"}, {"frugal": {}}, "x", 5])
def test_nothing_said_is_nothing(metadata: object) -> None:
    assert read_told(metadata) is NOTHING


def test_names_and_tags_are_read_and_bounded() -> None:
    told = read_told({"frugal": {"task": "yes_no", "tenant": "t" * 999, "team": 7, "session": "s1", "colour": "red"}})
    assert told.task == "yes_no"
    assert told.session == "s1"
    assert dict(told.tags) == {"tenant": "t" * 256, "team": "7"}


@pytest.mark.parametrize("task", ["Yes No", "", 5, ["yes_no"], "a" * 65, "x;drop"])
def test_a_task_that_is_no_name_is_left_out(task: object) -> None:
    assert read_told({"frugal": {"task": task, "tenant": "a"}}).task is None


def test_off_is_only_true_when_it_is_true() -> None:
    assert read_told({"frugal": {"off": True}}).off
    assert not read_told({"frugal": {"off": "false", "tenant": "a"}}).off


def test_litellms_cache_words_are_understood_from_both_places() -> None:
    told = read_told({"frugal": {"cache": {"no-store": True}}}, {"no-cache": True, "ttl": 30, "namespace": "n", "s-maxage": 5})
    assert dict(told.tags) == {"no_store": "yes", "no_cache": "yes", "ttl_seconds": "30", "namespace": "n"}
    assert "ttl_seconds" not in read_told({}, {"ttl": -1}).tags
