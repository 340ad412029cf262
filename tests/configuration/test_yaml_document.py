"""What a file may contain: each fault is one line with its place, and shows none of the text."""

from pathlib import Path

import pytest

from watcher.configuration import yaml_document
from watcher.core.errors import ConfigurationError

QUOTES = "; text that begins with one of *&!%@` has to be in quotes"
LAUGHS = "\n".join(
    ["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9))]
)


def fault(folder: Path, content: bytes) -> str:
    path = folder / "watcher.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        yaml_document.read(path)
    (line,) = caught.value.problems
    assert "hidden" not in line
    return line.replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\na: 2026-02-30", "2: not a valid timestamp; put text in quotes"),
        (f"a: {'9' * 5000}", "1: not a valid int; put text in quotes"),
        ("a: !!timestamp hidden", "1: not a valid timestamp; put text in quotes"),
        ("a: !!bool hidden", "1: not a valid bool; put text in quotes"),
        ("a: !!int ''", "1: not a valid int; put text in quotes"),
        ("a: !hidden x", "1: text that begins with !, or is =, has to be in quotes"),
        ("a: !!binary hidden", "1: text that begins with !, or is =, has to be in quotes"),
        ("a: !!set {hidden}", "1: text that begins with !, or is =, has to be in quotes"),
        ("a: =", "1: text that begins with !, or is =, has to be in quotes"),
        ("a: *hidden", f"1: found undefined alias …{QUOTES}"),
        ("a: !hidden!x y", f"1: found undefined tag handle …{QUOTES}"),
        ("a: @hidden", f"1: found character '@' that cannot start any token{QUOTES}"),
        ("a: &a [*a]", "1: contains itself"),
        ("a: &a {<<: *a}", "1: contains itself"),
        (LAUGHS, "6: its aliases stand for more than 50,000 values"),
        ("\na: [" + "[], " * 50_000, "2: more than 50,000 values"),
        ("\na: " + "[" * 100_000, "2: nested deeper than 50 levels"),
        ("".join(f"{' ' * depth}a:\n" for depth in range(500)), "51: nested deeper than 50"),
        ("a: 1\nb: \0hidden", "2: contains the character U+0000, which YAML forbids"),
        ("token-hidden x: 1\ntoken-hidden x: 2", "2: token…: duplicate key, first on line 1"),
        ('a: "\\ud83d"', "1: contains half a surrogate pair"),
    ],
)
def test_each_fault_is_a_line(tmp_path: Path, text: str, said: str) -> None:
    line = fault(tmp_path, text.encode())
    assert line[: len(f"watcher.yaml:{said}")] == f"watcher.yaml:{said}"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1"])
def test_another_encoding_is_a_line(tmp_path: Path, encoding: str) -> None:
    assert "watcher.yaml" in fault(tmp_path, "a: é\n".encode(encoding))


def test_a_file_without_values_and_one_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "watcher.yaml"
    for content in (b"", b"# nothing\n", b"\xef\xbb\xbf"):
        path.write_bytes(content)
        assert yaml_document.read(path).values == {}
    path.write_bytes(b"\xef\xbb\xbflog: {level: info}\n")
    assert yaml_document.read(path).values == {"log": {"level": "info"}}
