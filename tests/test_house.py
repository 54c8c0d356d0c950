"""The house stands as it was drawn: six floors, no circles, techniques that know nothing of each other, a light front door."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "frugal_plugins"

FLOORS = (
    ("request", "usage", "errors", "tokens", "sqlite_file", "sandbox", "workload"),
    (
        "flow",
        "drivers",
        "unseen",
        "tasks",
        "prices",
        "models",
        "told",
        "inside",
        "postgres",
        "answers",
        "meaning",
        "embedding",
        "learned",
        "text",
        "prefix",
        "structured",
    ),
    ("techniques", "ledger", "observe"),
    ("recipe", "report", "cached"),
    ("estimate", "litellm", "langchain", "batch", "calibrate", "evaluate", "dashboard"),
    ("cli",),
)
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS, 1) for room in rooms}
HEAVY = (
    "litellm",
    "langchain",
    "langchain_core",
    "faiss",
    "numpy",
    "torch",
    "sentence_transformers",
    "tiktoken",
    "plotly",
    "duckdb",
    "pydantic",
    "yaml",
    "opentelemetry",
    "prometheus_client",
    "psycopg",
)
FORBIDDEN = re.compile(r"(Manager|Handler|Helper|Utils?|Factory|Processor|Engine)$|^(Abstract|Base)[A-Z]")
UNSAFE_CALLS = {"eval", "exec", "yaml.load", "yaml.full_load", "yaml.unsafe_load", "os.system", "pickle.load", "pickle.loads"}

FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    inside = path.relative_to(PACKAGE)
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


def imported_rooms(tree: ast.Module, path: Path) -> set[str]:
    """Every room a file names, also inside functions; not those it needs for types only."""
    typing_only = {id(x) for n in ast.walk(tree) if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test) for x in ast.walk(n)}
    names: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.update({node.module, *(f"{node.module}.{alias.name}" for alias in node.names)})
    return {parts[1] for name in names if (parts := name.split("."))[0] == "frugal_plugins" and len(parts) > 1} & set(FLOOR_OF)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_room_imports_only_from_the_floors_below(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        return
    assert room in FLOOR_OF, f"{room} has no floor yet: add it to FLOORS"
    above = {other for other in imported_rooms(ast.parse(path.read_text()), path) if other != room and FLOOR_OF[other] > FLOOR_OF[room]}
    assert not above


def test_the_sandbox_and_the_workload_know_nothing_above_the_ground_floor() -> None:
    for path in FILES:
        if room_of(path) in ("sandbox", "workload"):
            assert all(FLOOR_OF[other] == 1 for other in imported_rooms(ast.parse(path.read_text()), path)), path


def test_techniques_know_nothing_of_each_other() -> None:
    for path in (PACKAGE / "techniques").glob("*.py"):
        named = {n.module for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom) and n.module}
        assert not [module for module in named if module.startswith("frugal_plugins.techniques")], path


def test_files_within_one_floor_import_each_other_in_one_direction() -> None:
    modules = {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in FILES}
    graph = {name: _module_imports(path, set(modules)) - {name} for name, path in modules.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail[trail.index(name) :], name))
        if name not in done:
            for other in graph[name]:
                visit(other, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def _module_imports(path: Path, known: set[str]) -> set[str]:
    tree = ast.parse(path.read_text())
    typing_only = {id(x) for n in ast.walk(tree) if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test) for x in ast.walk(n)}
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and id(node) not in typing_only:
            deeper = {f"{node.module}.{alias.name}" for alias in node.names} & known
            found |= deeper or ({node.module} & known)
    return found


def test_names_are_the_domains_own() -> None:
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                assert not FORBIDDEN.search(node.name), f"{path}: {node.name}"


def test_there_is_one_broad_except_and_it_is_the_guard() -> None:
    broad = [
        path.name
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler) and (node.type is None or ast.unparse(node.type) in {"Exception", "BaseException"})
    ]
    assert broad == ["flow.py"]


def test_nothing_loads_code_from_data() -> None:
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in UNSAFE_CALLS, f"{path}:{node.lineno}"
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                named = {a.name.split(".")[0] for a in node.names} if isinstance(node, ast.Import) else {(node.module or "").split(".")[0]}
                assert not named & {"pickle", "cloudpickle", "dill", "shelve", "marshal"}, path


def test_files_and_functions_can_be_read_in_one_sitting() -> None:
    for path in FILES:
        text = path.read_text()
        assert text.count("\n") <= 350, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                assert (node.end_lineno or 0) - node.lineno < 50, f"{path}:{node.lineno} {node.name}"


def in_a_fresh_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT).stdout


def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = in_a_fresh_python("import sys, frugal_plugins; print(*sorted(sys.modules))").split()
    assert not [name for name in loaded if name.split(".")[0] in HEAVY]


def test_loading_a_recipe_opens_no_socket_and_loads_no_host() -> None:
    code = """
import socket, sys
def refuse(*a, **k): raise SystemExit("a socket was opened")
socket.socket.connect = refuse
import frugal_plugins
frugal_plugins.Recipe.load("support")
print(*[m for m in ("litellm", "langchain_core", "torch", "faiss", "numpy") if m in sys.modules])
"""
    assert in_a_fresh_python(code).split() == []


def test_every_public_name_is_there_and_documented() -> None:
    import frugal_plugins

    for name in frugal_plugins.__all__:
        value = getattr(frugal_plugins, name)
        assert value.__doc__ or name in ("Flow", "Next"), name
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = frugal_plugins.Nonsense


def test_every_extra_a_message_names_can_be_installed() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {extra for path in FILES for extra in re.findall(r'MissingExtra\([^,()]+(?:\([^()]*\))?[^,()]*, "(\w+)"\)', path.read_text())}
    assert named
    assert named <= extras.keys()
