"""The snippets of a Markdown page, with what the page says about running them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

NOT_RUN = re.compile(r"<!-- not run: needs (Docker|PostgreSQL|a cluster|root|a release) -->")
"""The mark of a snippet that no test can run, with what it needs."""
_FILE_NAME = re.compile(r"(?:#|//) ([\w.-]+/)?([\w-]+\.(?:yaml|py|mjs|js|go|json|csv))\s*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    """A block of code. `line` is that of its fence, `needs` what keeps it from being run."""

    page: str
    line: int
    language: str
    text: str
    needs: str | None

    @property
    def file_name(self) -> str | None:
        """The file that the snippet is, as its first line names it in a comment."""
        named = _FILE_NAME.match(self.text.partition("\n")[0])
        return named[0].split(" ", 1)[1].strip() if named else None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def snippets(path: Path, name: str) -> Sequence[Snippet]:
    """Return the snippets of a page in their order. `name` is how messages call the page."""
    return [*_read(path.read_text(), name)]


def _read(text: str, page: str) -> Iterator[Snippet]:
    comment = ""
    for token in MarkdownIt("commonmark").parse(text):
        if token.type in ("fence", "code_block"):
            mark = NOT_RUN.fullmatch(comment)
            yield Snippet(
                page=page,
                line=token.map[0] + 1 if token.map else 0,
                language=token.info or token.type,
                text=token.content,
                needs=mark[1] if mark else None,
            )
        comment = token.content.strip() if token.type == "html_block" else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command of a console, and the output that is shown for it."""

    text: str
    output: str


def console_commands(text: str) -> Sequence[Command]:
    """Return the commands of a `console` snippet: `$ ` begins one, `> ` continues it."""
    commands: list[tuple[list[str], list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            commands.append(([line[2:]], []))
        elif line.startswith("> ") and not commands[-1][1]:
            commands[-1][0].append(line[2:])
        else:
            commands[-1][1].append(line)
    return [Command(text="\n".join(lines), output="\n".join(output)) for lines, output in commands]


def shows(expected: str, output: str) -> bool:
    """Return whether an output is the one that a page shows.

    `…` stands for any text within a line, and alone for any lines. Only the number of blanks
    between words may differ.
    """
    lines = [_blanks(line) for line in expected.splitlines()]
    pattern = "".join(
        r"(?:.*\n)*?" if line == "…" else re.escape(line).replace("…", ".*?") + r"[ ]*\n"
        for line in lines
    )
    actual = "".join(f"{_blanks(line)}\n" for line in output.splitlines())
    return re.fullmatch(pattern, actual) is not None


def _blanks(line: str) -> str:
    return " ".join(line.split())
