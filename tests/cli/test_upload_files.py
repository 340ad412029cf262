"""Files of uploads: both formats, and an error for each mistake."""

from io import StringIO
from pathlib import Path

import pytest

from watcher.cli.upload_files import read
from watcher.core.errors import ConfigurationError

ROWS = [{"upload_id": "u1", "etag": '"x"', "file_size_bytes": 5}, {"upload_id": "u2"}]


@pytest.mark.parametrize(
    "content",
    [
        'upload_id,etag,file_size_bytes\nu1,"""x""",5\nu2,,\n',
        '\ufeffupload_id,file_size_bytes,etag\r\nu1,5,"""x"""\r\nu2,,\r\n',
        '[{"upload_id": "u1", "etag": "\\"x\\"", "file_size_bytes": 5}, {"upload_id": "u2"}]',
        ' {"confirmations": [{"upload_id": "u1", "etag": "\\"x\\"", "file_size_bytes": "5"},'
        ' {"upload_id": "u2", "etag": null}]}',
        'upload_id,etag,file_size_bytes\nu1,old,4\nu2\nu1,"""x""",5\n',
    ],
)
def test_csv_and_json(tmp_path: Path, content: str) -> None:
    file = tmp_path / "uploads"
    file.write_text(content)
    assert read(file) == ROWS


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", StringIO("upload_id\nu1\n"))
    assert read(Path("-")) == [{"upload_id": "u1"}]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("", "invalid first line; expected upload_id,etag,file_size_bytes"),
        ("a,b\n1,2\n", "invalid first line; expected upload_id,etag,file_size_bytes"),
        ("upload_id,etag\n", "contains no upload"),
        ("[]", "contains no upload"),
        ("upload_id,etag\n,x\n", "line 2: missing upload_id"),
        (
            "upload_id,file_size_bytes\nu1,5\nu2,many\n",
            "line 3: invalid file_size_bytes 'many'; expected an integer of at least 1",
        ),
        (
            "upload_id,color\nu1,red\n",
            "line 2: unknown field 'color'; expected one of: upload_id, etag, file_size_bytes",
        ),
        ('upload_id\n"u1\n', "after line 1: unexpected end of data"),
        ("[", "invalid JSON: Expecting value: line 1 column 2 (char 1)"),
        ('{"uploads": []}', "expected a list of objects with upload_id, etag, file_size_bytes"),
        ("[1]", "expected a list of objects with upload_id, etag, file_size_bytes"),
        ('[{"upload_id": 7}]', "entry 0: missing upload_id"),
        ('[{"upload_id": "u", "etag": 7}]', "entry 0: invalid etag; expected a string"),
        (
            '[{"upload_id": "u", "file_size_bytes": 0}]',
            "entry 0: invalid file_size_bytes '0'; expected an integer of at least 1",
        ),
        (b"\xff\xfe", "not valid UTF-8"),
    ],
)
def test_mistakes_are_named_with_their_place(
    tmp_path: Path, content: str | bytes, error: str
) -> None:
    file = tmp_path / "uploads"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigurationError) as raised:
        read(file)
    assert raised.value.problems == [f"{file}: {error}"]


def test_a_missing_file_is_an_error() -> None:
    with pytest.raises(ConfigurationError) as raised:
        read(Path("/nowhere/uploads.csv"))
    assert raised.value.problems == ["/nowhere/uploads.csv: no such file or directory"]
