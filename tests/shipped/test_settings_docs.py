"""What the documents say of settings: the example has every key, the table every variable."""

import ast
import re
from collections.abc import Iterator
from typing import Any

import yaml

from scripts.reference.configuration import VARIABLES
from tests.shipped.tools import ROOT
from watcher.configuration.schema import schema
from watcher.core.settings import ConnectionSettings

EXAMPLE = ROOT / "config" / "watcher.example.yaml"
OF_CONNECTIONS = frozenset(ConnectionSettings.model_fields)
"""Described once, for all connections."""
VARIABLE = re.compile(r"(WATCHER|MIXPEEK)_[A-Z]+(_[A-Z]+)*|XDG_[A-Z_]+|NO_COLOR")


def shapes(shape: Any, definitions: Any) -> Iterator[Any]:
    """Yield the objects of a section: its own, its items', its alternatives'."""
    if "$ref" in shape:
        shape = definitions[shape["$ref"].rpartition("/")[2]]
    if "properties" in shape:
        yield shape
    for option in (*shape.get("anyOf", ()), *([shape["items"]] if "items" in shape else ())):
        yield from shapes(option, definitions)


def test_the_example_holds_every_key_of_the_schema() -> None:
    document = schema()
    text = EXAMPLE.read_text()
    sections = {part.partition(":")[0]: part for part in re.split(r"(?m)^(?=[a-z]+:)", text)}
    missing = []
    for section, shape in document["properties"].items():
        for one in shapes(shape, document.get("$defs", {})):
            for key in {name.removesuffix("_file") for name in one["properties"]}:
                where = text if {key, f"{key}_file"} & OF_CONNECTIONS else sections[section]
                if not re.search(rf"\b{key}(_file)?:", where):
                    missing.append(f"{section}.{key}")
    assert missing == []


def test_a_commented_key_of_the_example_is_one_of_the_schema() -> None:
    """A key that was renamed would stay in a comment, where nothing reads it."""
    names = set(re.findall(r"(?m)^ *#? *(?:- )?([a-z_]+): ", EXAMPLE.read_text()))
    known = {"team", "task", "runbook"}  # names that users choose
    document = schema()
    known |= set(document["properties"])
    for shape in document["properties"].values():
        for one in shapes(shape, document.get("$defs", {})):
            known |= set(one["properties"])
    assert names - known == set()


def test_every_variable_that_the_code_reads_is_in_the_table() -> None:
    read = {
        node.value
        for module in (ROOT / "watcher").rglob("*.py")
        if "demo" not in module.parts
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and VARIABLE.fullmatch(node.value)
    }
    documented = {name for name, _, _ in VARIABLES if "<" not in name}
    lists = {f"WATCHER_{name.upper()}" for name in ("sources", "channels", "routes", "discovery")}
    assert documented - lists == read - lists - {"WATCHER_SERVER"}
    page = (ROOT / "docs/configuration.md").read_text()
    assert all(f"| `{name}` |" in page for name in documented)


def test_the_example_is_yaml() -> None:
    assert isinstance(yaml.safe_load(EXAMPLE.read_text()), dict)
