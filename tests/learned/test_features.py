"""What the learned parts see of a prompt: fast, bounded, and never a crash."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frugal_plugins.learned import cues, surface
from frugal_plugins.learned.cues import KINDS
from frugal_plugins.learned.embedding import NUMBERS, static_embedding
from frugal_plugins.learned.features import COLUMNS, prompt_features
from frugal_plugins.learned.kinds import kind_of
from frugal_plugins.learned.pieces import Pieces
from frugal_plugins.learned.reading import reading

ODD = [
    "",
    " \n\t",
    "word " * 200_000,
    "それは何ですか。教えてください。",
    "\ud800 broken",
    base64.b64encode(bytes(range(256)) * 40).decode(),
    "def f(x):\n    return x\n" * 500,
    "9" * 5000,
    "?" * 5000,
    "\x00\x01",
]


@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
def test_any_text_has_features_and_a_kind(text: str) -> None:
    row = prompt_features([text])
    assert row.shape == (1, COLUMNS)
    assert np.isfinite(row).all()
    kind, likely = kind_of(text)
    assert kind in KINDS
    assert 0 < likely <= 1


@settings(max_examples=600, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], deadline=None)
@given(st.data())
def test_looking_for_letters_first_never_hides_a_word(data: st.DataObject) -> None:
    sign = data.draw(st.sampled_from([*cues._CUES, *surface._SIGNS]))
    text = data.draw(st.from_regex(sign.words)).lower()
    assert sign.possible(text) or not sign.words.search(text)


def test_a_text_is_read_once_for_the_task_and_the_route() -> None:
    text = "How many ways are there to seat five people around a round table?"
    assert reading(text) is reading("".join(text))
    long = "word " * 2000
    assert reading(long).surface != reading(long + "word ").surface, "the length is part of what is read"


def test_texts_about_the_same_are_nearer_than_others() -> None:
    embed = static_embedding()
    dog, puppy, tax = (
        embed("The dog chased a ball in the garden."),
        embed("A puppy ran after its toy."),
        embed("Corporate tax law was amended."),
    )
    assert float(dog @ puppy) > float(dog @ tax) + 0.1


def test_a_word_is_split_into_the_longest_known_pieces() -> None:
    pieces = Pieces(["un", "##happi", "##ness", "##h", "happy", "."])
    assert pieces("Unhappiness happy. xyz") == [0, 1, 2, 4, 5]


def test_accents_and_case_do_not_matter() -> None:
    pieces = Pieces(["uber", "cafe"])
    assert pieces("ÜBER Café") == [0, 1]


def test_the_shipped_numbers_are_small_and_hold_no_objects() -> None:
    assert sum(file.stat().st_size for file in NUMBERS.iterdir()) < 5_000_000
    for file in NUMBERS.glob("*.npz"):
        with np.load(file, allow_pickle=False) as kept:
            assert all(kept[name].dtype != object for name in kept.files)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Here is a customer review. Tell me whether it is positive or negative: The lamp broke after a day and nobody answered.", "clf"),
        ("Give a short summary of the minutes of our board meeting so that people who were absent know what was decided.", "summarize"),
        ("Compose a birthday poem for my grandmother who loves gardening, tea and old railway stations.", "draft"),
        ("Implement a binary search tree in TypeScript with insert, delete and an in-order iterator, and add unit tests.", "code"),
        ("A farmer has 17 sheep, buys 5 more each month and sells half of them every quarter. How many are left after a year?", "reason"),
    ],
)
def test_kinds_of_work_it_never_saw_in_these_words(text: str, kind: str) -> None:
    assert kind_of(text)[0] == kind
