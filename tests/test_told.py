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


@pytest.mark.parametrize("off", [True, 1, "true", "True", "yes", "1"])
def test_off_is_off_also_where_a_host_made_text_of_it(off: object) -> None:
    assert read_told({"frugal": {"off": off}}).off


@pytest.mark.parametrize("off", [False, None, "false", "no", "", 0])
def test_off_that_says_no_is_not_off(off: object) -> None:
    assert not read_told({"frugal": {"off": off, "tenant": "a"}}).off


def test_a_typo_breaks_nothing_and_is_said_once_with_the_word_that_is_meant(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        assert read_told({"frugal": {"tennant": "a", "colour": "red", "off": "perhaps"}}).tags == {}
    said = [record.getMessage() for record in caplog.records]
    assert said.count("metadata.frugal has 'tennant', which nothing reads; did you mean 'tenant'?") == 1
    assert not [words for words in said if "colour" in words]
    assert "metadata.frugal.off is neither true nor false and is left out." in said


def test_litellms_cache_words_are_understood_from_both_places() -> None:
    told = read_told({"frugal": {"cache": {"no-store": True}}}, {"no-cache": True, "ttl": 30, "namespace": "n", "s-maxage": 5})
    assert dict(told.tags) == {"no_store": "yes", "no_cache": "yes", "ttl_seconds": "30", "namespace": "n"}
    assert "ttl_seconds" not in read_told({}, {"ttl": -1}).tags
