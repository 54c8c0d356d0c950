"""The shipped month: that it is what its script writes, that its rules catch wrong answers, and that nothing in it is ambiguous."""

import gzip
import json
import subprocess
import sys
from collections import Counter, defaultdict
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import pytest

from frugal_plugins.request import canonical, text_of
from frugal_plugins.tokens import count_messages, count_text
from frugal_plugins.workload import FILE, TIERS, WorkItem, is_right, load_month, recorded_lines

SCRIPT = Path(__file__).parent / "tools" / "write_workload.py"
SHARES_PERCENT = {
    "faq": (33, 38),
    "dialogue": (13, 17),
    "yes_no": (9, 11),
    "classification": (7, 9),
    "extraction": (10, 13),
    "drafting": (8, 11),
    "document": (1.5, 2.5),
    "agent": (5, 7),
    "hard": (2, 4),
}
MONTH = load_month()


def answer(item: WorkItem, size: str) -> tuple[str, list[dict]]:
    """What `is_right` takes: the text and the tool calls of one size's answer."""
    said = item.answers[size]
    return (said, []) if isinstance(said, str) else (said["content"] or "", list(said["tool_calls"]))


def of_kind(*kinds: str) -> list[WorkItem]:
    return [item for item in MONTH if item.kind in kinds]


def right_share(size: str, *kinds: str) -> float:
    items = of_kind(*kinds)
    return sum(is_right(item.check, *answer(item, size)) for item in items) / len(items)


def system_text(item: WorkItem) -> str:
    return " ".join(text_of(m) for m in item.body["messages"] if m["role"] == "system")


def last_user_at(item: WorkItem) -> int:
    return max(at for at, m in enumerate(item.body["messages"]) if m["role"] == "user")


def last_user(item: WorkItem) -> str:
    return text_of(item.body["messages"][last_user_at(item)])


def tool_results(item: WorkItem) -> list[str]:
    return [text_of(m) for m in item.body["messages"][last_user_at(item) + 1 :] if m["role"] == "tool"]


def matches(line: dict, item: WorkItem) -> bool:
    """The sandbox's promise, written anew: the exact last user text, and every further condition of the line."""
    earlier = "\n".join(text_of(m) for m in item.body["messages"][: last_user_at(item)])
    return (
        line["user"] == last_user(item)
        and line.get("system_contains", "") in system_text(item)
        and line.get("context_contains", "") in earlier
        and line.get("after", []) == tool_results(item)
    )


def test_the_shipped_file_is_what_the_script_writes():
    written = subprocess.run([sys.executable, str(SCRIPT), "--stdout"], capture_output=True, check=True).stdout
    packed = files("frugal_plugins.workload").joinpath(FILE).read_bytes()
    assert gzip.decompress(packed) == written
    assert packed[4:8] == bytes(4), "a time stamp in the gzip header would change the file on every run"
    assert len(packed) < 300_000


def test_the_month_has_the_size_and_the_mix_of_a_small_team():
    assert 360 <= len(MONTH) <= 420
    count = Counter(item.kind for item in MONTH)
    assert count.keys() == SHARES_PERCENT.keys()
    for kind, (least, most) in SHARES_PERCENT.items():
        assert least <= 100 * count[kind] / len(MONTH) <= most, kind


def test_ids_are_unique_and_times_ascend_within_the_month():
    assert len({item.id for item in MONTH}) == len(MONTH)
    times = [item.at_seconds for item in MONTH]
    assert times == sorted(set(times))
    assert times[0] >= 0
    assert times[-1] < 31 * 86_400


def test_habit_sends_nearly_everything_to_large_models():
    models = Counter(item.body["model"] for item in MONTH)
    assert models.keys() == {"gpt-4o", "o3-mini", "claude-opus-4-5", "claude-sonnet-4-5", "gpt-4o-mini"}
    assert models["gpt-4o"] > len(MONTH) / 2
    assert models["gpt-4o-mini"] < len(MONTH) / 50
    assert sum("max_tokens" in item.body for item in MONTH) < len(MONTH) / 20


def test_about_a_tenth_is_streamed_and_about_two_thirds_of_the_small_tasks_are_declared():
    assert 0.07 < sum(bool(item.body.get("stream")) for item in MONTH) / len(MONTH) < 0.13
    small = of_kind("yes_no", "classification", "extraction")
    assert 0.55 < sum("task" in item.frugal for item in small) / len(small) < 0.8


@pytest.mark.parametrize("item", MONTH, ids=lambda item: item.id)
def test_the_largest_model_is_right(item):
    assert is_right(item.check, *answer(item, "complex"))


def test_small_models_are_right_on_easy_work_and_wrong_on_hard_work():
    easy = ("faq", "yes_no", "classification", "extraction", "drafting", "document")
    assert right_share("simple", *easy) == right_share("standard", *easy) == 1
    assert right_share("simple", "hard") == 0
    assert 0.5 <= right_share("standard", "hard") < 1


def test_routing_everything_down_would_be_noticed():
    wrong = [item for item in MONTH if not is_right(item.check, *answer(item, "simple"))]
    assert len(wrong) >= 0.03 * len(MONTH)
    assert {item.kind for item in wrong} >= {"hard", "dialogue", "agent"}


def test_the_two_shops_answer_the_same_question_differently():
    by_text = defaultdict(dict)
    for item in of_kind("faq"):
        by_text[last_user(item)][item.frugal["tenant"]] = item
    shared = [shops for shops in by_text.values() if len(shops) == 2]
    mixed_up = [shops for shops in shared if not is_right(shops["larkfield-eu"].check, *answer(shops["larkfield-us"], "complex"))]
    assert len(shared) >= 15
    assert len(mixed_up) >= 0.9 * len(shared)


def test_no_faq_answer_passes_for_another_question_of_the_same_shop():
    for tenant in ("larkfield-eu", "larkfield-us"):
        items = {canonical(item.check): item for item in of_kind("faq") if item.frugal["tenant"] == tenant}
        for item in items.values():
            for other in items.values():
                if other is not item:
                    for size in TIERS:
                        assert not is_right(item.check, *answer(other, size)), (item.id, other.id, size)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Are you open on Sunday?", "Are you open on Monday?"),
        ("Can I return a chair within 30 days?", "Can I return a chair within 90 days?"),
        ("Can I change the delivery address after I ordered?", "Why can't I change the delivery address after I ordered?"),
        ("How much weight can the Alder desk lift?", "How much weight can the Aspen desk lift?"),
        ("How long is the warranty on the Finch chair?", "How long is the warranty on the Wren chair?"),
    ],
)
def test_near_misses_are_in_the_month_and_need_different_answers(one, other):
    for tenant in ("larkfield-eu", "larkfield-us"):
        found = {last_user(item): item for item in of_kind("faq") if item.frugal["tenant"] == tenant}
        assert not is_right(found[one].check, *answer(found[other], "standard"))


def test_the_faq_repeats_itself_exactly_and_nearly():
    exact = Counter((item.frugal["tenant"], last_user(item)) for item in of_kind("faq"))
    assert sum(times - 1 for times in exact.values()) >= 30
    near = Counter((tenant, "".join(c for c in text.lower() if c.isalnum())) for tenant, text in exact)
    assert sum(times - 1 for times in near.values()) >= 25


def test_faq_prompts_are_long_and_the_same_bytes_each_time():
    prompts = {(item.frugal["tenant"], system_text(item)) for item in of_kind("faq")}
    assert len(prompts) == 2
    for _, prompt in prompts:
        assert 1_400 <= count_text(prompt) <= 2_200


def test_some_faq_come_while_a_provider_still_has_the_prompt():
    for tenant in ("larkfield-eu", "larkfield-us"):
        times = [item.at_seconds for item in of_kind("faq") if item.frugal["tenant"] == tenant]
        warm = sum(later - earlier < 300 for earlier, later in pairwise(times))
        assert 0.4 < warm / len(times) < 0.9


def test_a_dialogue_grows_by_one_turn_and_keeps_what_was_said():
    sessions = defaultdict(list)
    for item in of_kind("dialogue", "agent"):
        sessions[item.frugal["session"]].append(item)
    for items in sessions.values():
        assert 3 <= len(items) <= 9
        for earlier, later in pairwise(items):
            before = earlier.body["messages"]
            assert later.body["messages"][: len(before)] == before
            assert later.body["messages"][len(before)]["role"] == "assistant"


@pytest.mark.parametrize("item", of_kind("faq", "dialogue"), ids=lambda item: item.id)
def test_a_support_answer_of_five_words_is_not_right(item):
    for size in TIERS:
        assert not is_right(item.check, " ".join(item.answers[size].split()[:5]))


def test_a_cap_of_200_tokens_would_spoil_the_long_support_answers():
    support = of_kind("faq", "dialogue")
    long = [item for item in support if count_text(item.answers["standard"]) > 200]
    assert 0.03 <= len(long) / len(support) <= 0.07
    for item in long:
        for size in TIERS:
            cut = item.answers[size].split()
            kept = " ".join(cut[: next(n for n in range(len(cut), 0, -1) if count_text(" ".join(cut[:n])) <= 200)])
            assert not is_right(item.check, kept), (item.id, size)


@pytest.mark.parametrize(
    ("kind", "least", "most"),
    [("yes_no", 1, 40), ("classification", 1, 15), ("extraction", 12, 90), ("document", 500, 800)],
)
def test_answers_are_as_long_as_their_kind_is_in_life(kind, least, most):
    for item in of_kind(kind):
        for size in TIERS:
            assert least <= count_text(item.answers[size]) <= most, (item.id, size)


def test_outlines_and_support_answers_are_as_long_as_in_life():
    for item in MONTH:
        if item.frugal.get("task") == "outline":
            assert all(150 <= count_text(item.answers[size]) <= 380 for size in TIERS), item.id
    usual = sorted(count_text(item.answers["complex"]) for item in of_kind("faq", "dialogue"))
    assert usual[len(usual) // 10] >= 60
    assert usual[len(usual) * 9 // 10] <= 160


def test_extraction_answers_have_exactly_the_fields_of_their_schema():
    for item in of_kind("extraction"):
        schema = item.body["response_format"]["json_schema"]["schema"]
        for size in TIERS:
            assert list(json.loads(item.answers[size])) == schema["required"], item.id


def test_every_request_finds_exactly_one_recorded_answer_and_it_is_its_own():
    lines = recorded_lines(MONTH)
    for item in MONTH:
        found = [line for line in lines if matches(line, item)]
        assert len(found) == 1, item.id
        assert set(found[0]["outputs"]) == {model for models in TIERS.values() for model in models}
        for size, models in TIERS.items():
            assert all(found[0]["outputs"][model] == item.answers[size] for model in models), item.id


def test_the_same_words_in_two_dialogues_are_told_apart_by_their_order():
    told = [line["context_contains"] for line in recorded_lines(MONTH) if "context_contains" in line]
    assert sorted(told) == ["WR-20418", "WR-20609"]


def test_equal_questions_have_equal_checks():
    checks = defaultdict(set)
    for item in MONTH:
        if item.kind != "dialogue":
            checks[item.frugal["tenant"], system_text(item), last_user(item), *tool_results(item)].add(canonical(item.check))
    assert all(len(found) == 1 for found in checks.values())


def test_prompts_can_be_counted():
    assert 300_000 < sum(count_messages(item.body["messages"], params=item.body) for item in MONTH) < 600_000


@pytest.mark.parametrize(
    ("check", "text", "right"),
    [
        ({"kind": "contains", "all": ["30 days"], "none": ["90 days"]}, "You have 30 Days.", True),
        ({"kind": "contains", "all": ["30 days"], "none": ["90 days"]}, "30 days, or 90 days for members.", False),
        ({"kind": "starts_with", "value": "no"}, "**No.** It is fine.", True),
        ({"kind": "starts_with", "value": "no"}, "Not sure.", False),
        ({"kind": "starts_with", "value": "yes"}, "Sure! Yes.", False),
        ({"kind": "label", "value": "billing"}, "Label: billing", True),
        ({"kind": "label", "value": "billing"}, "billing_other", False),
        ({"kind": "json", "value": {"total": 1890}}, '{"total": 1890.0, "note": "x"}', True),
        ({"kind": "json", "value": {"total": 1890}}, '{"total": 1890', False),
        ({"kind": "json", "value": {"city": None}}, "{}", False),
        ({"kind": "any", "min_words": 3}, "one two", False),
        ({"kind": "tool", "name": "refund"}, "I refunded it.", False),
    ],
)
def test_a_rule_accepts_the_right_answer_only(check, text, right):
    assert is_right(check, text) is right


@pytest.mark.parametrize(
    ("call", "right"),
    [
        ({"name": "refund", "arguments": {"order_id": "LF-1", "reason": "late"}}, True),
        ({"id": "c1", "type": "function", "function": {"name": "refund", "arguments": '{"order_id": "LF-1"}'}}, True),
        ({"name": "refund", "arguments": {"order_id": "LF-2"}}, False),
        ({"name": "send_email", "arguments": {"order_id": "LF-1"}}, False),
        ({"type": "function", "function": {"name": "refund", "arguments": '{"order_id": "LF-'}}, False),
    ],
)
def test_a_tool_call_is_read_in_either_shape(call, right):
    assert is_right({"kind": "tool", "name": "refund", "arguments": {"order_id": "LF-1"}}, "", [call]) is right


def test_a_tool_call_where_a_text_was_wanted_is_wrong():
    assert not is_right({"kind": "any", "min_words": 1}, "two words", [{"name": "refund", "arguments": {}}])
