from __future__ import annotations

import tempfile
from collections import UserDict
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from frugal_plugins.errors import RecipeError
from frugal_plugins.recipe.source import MAX_BYTES, read_recipe, shipped_recipes
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


# where it comes from


def test_a_mapping_is_copied_and_has_no_places() -> None:
    models = ["a"]
    read = read_recipe(UserDict({"tiers": {"only": {"models": models}}, "ledger": {"path": Path("x.sqlite")}}))
    models.append("b")
    assert read.data == {"tiers": {"only": {"models": ["a"]}}, "ledger": {"path": "x.sqlite"}}
    assert (read.path, read.where(("tiers",))) == (None, None)


def test_a_plain_word_is_a_shipped_recipe() -> None:
    read = read_recipe("support")
    assert read.data["recipe"] == "support"
    assert read.path is not None
    assert read.path.name == "support.yaml"


def test_an_unknown_name_gets_the_nearest_and_the_list() -> None:
    message = str(refusal("suport"))
    assert "did you mean 'support'?" in message
    assert all(name in message for name in shipped_recipes())


def test_a_file_without_an_ending_is_found_and_a_folder_does_not_hide_a_shipped_name(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "mine").write_text("mode: off\n")
    (tmp_path / "support").mkdir()
    monkeypatch.chdir(tmp_path)
    assert read_recipe("mine").data == {"mode": "off"}
    assert read_recipe("support").data["recipe"] == "support"


@pytest.mark.parametrize("missing", ["nowhere.yaml", "no/where"])
def test_a_missing_file_is_said_to_be_missing(missing: str) -> None:
    assert f"there is no file '{missing}'; check the path" in str(refusal(missing))


def test_a_folder_is_not_a_recipe(tmp_path: Path) -> None:
    assert "is a folder; give the path of a .yaml file" in str(refusal(tmp_path))


@pytest.mark.parametrize("nonsense", ["", "a\0b", "a\0/b", "x" * 5000, "/" + "x" * 5000, "\ud800", "\ud800.yaml", "a\nb"])
def test_a_name_no_file_can_have_is_refused_in_printable_words(nonsense: str) -> None:
    assert str(refusal(nonsense)).isprintable()


@pytest.mark.parametrize("source", [None, 5, b"support", ["support"]])
def test_other_kinds_of_sources_are_refused(source: object) -> None:
    assert "give a path, the name of a shipped recipe, or a mapping" in str(refusal(source))


# encodings and bounds


def test_other_encodings_are_named(write) -> None:
    latin = refusal(write("mode: on\n# für\n".encode("latin-1")))
    assert "byte 0xFC is not UTF-8; save the file as UTF-8" in str(latin)
    assert place(latin) == "own.yaml:2:4"
    assert "UTF-16; save it as UTF-8" in str(refusal(write("mode: on".encode("utf-16"))))


def test_a_file_of_a_megabyte_is_refused_and_one_at_the_bound_is_read(write) -> None:
    assert "larger than 256 kB" in str(refusal(write("#" * 1_000_000)))
    head = "mode: on\n#"
    assert read_recipe(write(head + "x" * (MAX_BYTES - len(head)))).data == {"mode": "on"}
    assert "larger than" in str(refusal(write(head + "x" * (MAX_BYTES - len(head) + 1))))


def test_mappings_have_the_same_bounds() -> None:
    circle: dict[str, object] = {}
    circle["a"] = circle
    deep: object = 1
    for _ in range(MAX_DEPTH):
        deep = {"a": deep}
    assert read_recipe(deep).data["a"]  # type: ignore[arg-type]
    for bad in (circle, {"a": deep}, {"a": ["x"] * MAX_NODES}):
        assert f"at most {MAX_NODES} values, {MAX_DEPTH} levels deep" in str(refusal(bad))


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({1: "x"}, "the key '1' is not text"),
        ({"a": {"b": [object()]}}, "a.b[0]: a object cannot stand in a recipe"),
        ({"a": b"x"}, "a: a bytes cannot stand in a recipe"),
        ({"a": float("nan")}, "a: nan is not a finite number"),
        ({"a": 10**50}, "a: this number is too large"),
        ({"a": "x\0"}, "a: the text contains a NUL"),
    ],
)
def test_a_mapping_holds_what_a_file_could_hold(bad: dict[object, object], says: str) -> None:
    assert says in str(refusal(bad))


# whatever is in the file: a dict or a RecipeError

_PIECES = st.sampled_from(
    [
        "a: 1\n",
        "b:\n",
        "  c: [",
        "]",
        "{",
        "}",
        "- ",
        "? ",
        ": ",
        "&x ",
        "*x",
        "!!t ",
        "<<: ",
        "---\n",
        "...\n",
        "%YAML 1.1\n",
        "'",
        '"',
        "\\U",
        "|\n ",
        ">-\n ",
        "\t",
        "#",
        "\n",
        "é",
    ]
)
_YAML_LIKE = st.lists(_PIECES | st.text(max_size=3), max_size=30).map("".join)


def _dict_or_refusal(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "any.yaml"
        path.write_bytes(content)
        try:
            assert isinstance(read_recipe(path).data, dict)
        except RecipeError as error:
            assert error.where is not None
            assert error.where.startswith(f"{path}:")


@settings(max_examples=300, deadline=None)
@given(_YAML_LIKE | st.text())
@example('k: "\\UFFFFFFFF"')
@example("\ufeff")
@example("a: |999999999999999999999\n x")
def test_any_text_is_read_or_refused(text: str) -> None:
    _dict_or_refusal(text.encode("utf-8", "surrogatepass"))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    _dict_or_refusal(content)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_any_name_is_found_or_refused(name: str) -> None:
    try:
        assert isinstance(read_recipe(name).data, dict)
    except RecipeError as error:
        assert str(error)
