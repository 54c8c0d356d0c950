from __future__ import annotations

from pathlib import Path

import pytest

from frugal_plugins.errors import RecipeError
from frugal_plugins.recipe.source import read_recipe
from frugal_plugins.recipe.strict_yaml import MAX_DEPTH, MAX_NODES


@pytest.fixture
def write(tmp_path: Path):
    def _write(content: str | bytes, name: str = "own.yaml") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return _write


def refusal(path: object) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        read_recipe(path)  # type: ignore[arg-type]
    return caught.value


def place(error: RecipeError) -> str:
    assert error.where is not None
    return error.where.rsplit("/", 1)[-1]


# what a recipe looks like when it is read


def test_words_are_what_they_look_like(write) -> None:
    read = read_recipe(
        write(
            "mode: on\nother: off\nyes: no\nt: true\nf: false\nwhole: 12\nsigned: -3\nhalf: 0.5\nmillion: 1e6\nclock: 1:30\noctal: 010\n"
            "day: 2026-11-01\nnothing:\ntilde: ~\nquoted: '12'\nunder: 1_000\nversion: 1.2.3\n"
        )
    ).data
    assert read == {
        "mode": "on",
        "other": "off",
        "yes": "no",
        "t": True,
        "f": False,
        "whole": 12,
        "signed": -3,
        "half": 0.5,
        "million": 1e6,
        "clock": "1:30",
        "octal": 10,
        "day": "2026-11-01",
        "nothing": None,
        "tilde": None,
        "quoted": "12",
        "under": "1_000",
        "version": "1.2.3",
    }
    assert [type(read[key]) for key in ("t", "whole", "half", "million")] == [bool, int, float, float]


def test_every_key_and_item_has_its_place(write) -> None:
    path = write("recipe: own\ntiers:\n  simple: {models: [a, b]}\n  big:\n    models:\n      - c\n")
    read = read_recipe(path)
    assert read.where(("recipe",)) == f"{path}:1:1"
    assert read.where(("tiers", "simple", "models")) == f"{path}:3:12"
    assert read.where(("tiers", "simple", "models", 1)) == f"{path}:3:24"
    assert read.where(("tiers", "big", "models", 0)) == f"{path}:6:9"


def test_the_place_of_a_key_that_is_not_there_is_what_surrounds_it(write) -> None:
    path = write("# a comment\ntiers:\n  simple: {}\n")
    assert read_recipe(path).where(("tiers", "simple", "models", 0)) == f"{path}:3:3"
    assert read_recipe(path).where(("baseline",)) == f"{path}:2:1"


def test_a_file_gives_its_name_and_path(write) -> None:
    path = write("tiers: {}", "my-own.yml")
    assert (read_recipe(path).name_hint, read_recipe(str(path)).path) == ("my-own", path)


def test_a_byte_order_mark_moves_nothing(write) -> None:
    path = write(b"\xef\xbb\xbfmode: on\n")
    assert (read_recipe(path).data, read_recipe(path).where(("mode",))) == ({"mode": "on"}, f"{path}:1:1")


def test_one_document_with_its_marks_is_fine(write) -> None:
    assert read_recipe(write("%YAML 1.2\n---\nmode: on\n...\n")).data == {"mode": "on"}


# what is refused, where, and what to do


@pytest.mark.parametrize(
    ("text", "where", "says"),
    [
        ("mode: on\ncache: {}\nmode: off\n", "3:1", "the key 'mode' is here twice, first on line 1; keep one"),
        ("a: {b: 1, b: 2}", "1:11", "the key 'b' is here twice, first on line 1"),
        ("a: &x 1\nb: *x\n", "1:4", "anchors and aliases"),
        ("a: 1\nb: *x\n", "2:4", "anchors and aliases"),
        ("a: &x {b: 1}\n", "1:4", "write the value out"),
        ("? &x a\n: 1\n", "1:3", "anchors and aliases"),
        ("a: {<<: {b: 1}}\n", "1:5", "merge keys (<<) are not allowed"),
        ("a: !!python/object/apply:os.system ['true']\n", "1:4", "tags (!name) are not allowed"),
        ("a: !!str 5\n", "1:4", "tags"),
        ("!own {a: 1}\n", "1:1", "tags"),
        ("1: x\n", "1:1", "a key must be text; put 1 in quotes"),
        ("true: x\n", "1:1", "put true in quotes"),
        ("?\n: x\n", "1:2", "a key must be text; put it in quotes"),
        ("? [a]\n: x\n", "1:3", "a key must be text"),
        ("a: {{b}}\n", "1:5", "a key must be text; put a text that begins with { or [ in quotes"),
        ("a: 1\n---\nb: 2\n", "2:1", "a file holds one recipe"),
        ("- a\n- b\n", "1:1", "a recipe is a mapping"),
        ("just words\n", "1:1", "a recipe is a mapping"),
        ("", "1:1", "the file is empty"),
        ("# nothing\n\n", "1:1", "the file is empty"),
        ("a: 1e999\n", "1:4", "this number is too large"),
        (f"a: {'9' * 5000}\n", "1:4", "this number is too large"),
        ('a: "\\0"\n', "1:4", "a NUL"),
        ('a: "\\ud800"\n', "1:4", "half a character"),
        ('"\\0": 1\n', "1:1", "a NUL"),
    ],
)
def test_what_a_recipe_never_needs_is_refused(write, text: str, where: str, says: str) -> None:
    error = refusal(write(text))
    assert says in str(error)
    assert place(error).startswith("own.yaml:")
    if "empty" not in says:
        assert place(error) == f"own.yaml:{where}"


@pytest.mark.parametrize(
    ("text", "where", "hint"),
    [
        ("tiers:\n\tsimple: {}\n", "2:1", "indent with spaces, not with tabs"),
        ("a: b: c\n", "1:5", "put a text that contains ': ' in quotes"),
        ("a: 1\n  b: 2\n", "2:4", "line this key up with its neighbours"),
        ("a: [1, 2\n", "2:1", "close the bracket"),
        ("a: 'x\n", "2:1", "close the quotation mark"),
        ("user: {text} please\n", "1:14", "put a text that begins with { or [ in quotes"),
        ("a: @x\n", "1:4", "put a text that begins with this character in quotes"),
        ("a: `x`\n", "1:4", "in quotes"),
        ("a: 1\nb\n", "3:1", "with a space after the colon"),
        ('a: "\\q"\n', "1:6", "write \\\\ for a backslash"),
        ("a: 1\nb: \x07\n", "2:4", "the character U+0007 is not allowed in YAML; delete it"),
        ("a: 1\nb: x\0y\n", "2:5", "the character U+0000 is not allowed"),
        ('a: 1\nb: "\\UFFFFFFFF"\n', "2:1", "out of range"),
        ("%YAML " + "9" * 5000 + ".1\n---\na: 1\n", "1:1", "out of range"),
        ("%YAML 2.0\n---\na: 1\n", "1:1", "check the indentation"),
    ],
)
def test_broken_yaml_is_refused_with_its_place_and_a_hint(write, text: str, where: str, hint: str) -> None:
    error = refusal(write(text))
    assert hint in str(error)
    assert place(error) == f"own.yaml:{where}"


# bounds


@pytest.mark.parametrize(
    "bomb", ["a: " + "[" * 100_000, "a: " + "{b: " * 20_000, "- " * 100_000, "? " * 100_000, "\n".join(" " * i + "a:" for i in range(600))]
)
def test_deep_nesting_ends_at_the_bound_and_not_in_a_crash(write, bomb: str) -> None:
    assert refusal(write(bomb)).where is not None


def test_the_depth_bound_is_where_it_says(write) -> None:
    def nested(levels: int) -> str:
        return "{a: " * levels + "1" + "}" * levels

    read_recipe(write(nested(MAX_DEPTH)))
    assert f"deeper than {MAX_DEPTH} levels" in str(refusal(write(nested(MAX_DEPTH + 1))))


def test_an_alias_bomb_is_refused_at_its_first_anchor(write) -> None:
    bomb = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    assert place(refusal(write(bomb))) == "own.yaml:1:4"


def test_the_number_of_values_is_bounded(write) -> None:
    many = MAX_NODES // 2 - 1
    assert len(read_recipe(write("".join(f"k{n}: 1\n" for n in range(many)))).data) == many
    assert f"at most {MAX_NODES}" in str(refusal(write("".join(f"k{n}: 1\n" for n in range(many + 1)))))
