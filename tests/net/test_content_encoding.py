"""Compressed bodies: each encoding, damaged data, and bodies that grow a millionfold."""

import gzip
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from random import Random

import brotli  # type: ignore[import-untyped]
import pytest

from watcher.net.content_encoding import BodyDecoder, ContentEncodingError, decoded_limit

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

TEXT = Random(3).randbytes(20_000) + b"x" * 300_000


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
}


def decoded(encoding: str, data: bytes, chunk: int = 16384) -> bytes:
    decoder = BodyDecoder(encoding)
    content = b"".join(
        piece
        for start in range(0, len(data), chunk)
        for piece in decoder.feed(data[start : start + chunk])
    )
    decoder.finish()
    return content


@pytest.mark.parametrize("chunk", [7, 16384])
@pytest.mark.parametrize("encoding", ENCODERS)
def test_each_encoding_is_decoded(encoding: str, chunk: int) -> None:
    assert decoded(encoding, ENCODERS[encoding](TEXT), chunk) == TEXT
    assert decoded(encoding, ENCODERS[encoding](b"")) == b""
    assert decoded(encoding, b"") == b""


def test_deflate_without_the_header_of_zlib_is_decoded() -> None:
    assert decoded("deflate", raw_deflate(TEXT)) == TEXT


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_several_members_are_one_body(encoding: str) -> None:
    encode = ENCODERS[encoding]
    assert decoded(encoding, encode(b"first ") + encode(b"second")) == b"first second"


def test_a_second_encoding_is_an_error() -> None:
    for encoding in ("gzip, gzip", "br,gzip", "deflate , GZIP, identity", "gzip, x, zstd"):
        with pytest.raises(ContentEncodingError, match="content encodings"):
            BodyDecoder(encoding)


def test_one_encoding_beside_names_that_are_none_is_decoded() -> None:
    assert decoded("identity, GZIP , utf-8", gzip.compress(TEXT)) == TEXT


@pytest.mark.parametrize("encoding", ["", "identity", "utf-8", "none"])
def test_a_name_that_is_no_encoding_is_ignored(encoding: str) -> None:
    assert decoded(encoding, TEXT) == TEXT


@pytest.mark.parametrize("encoding", ENCODERS)
def test_what_is_not_encoded_or_cut_off_is_an_error(encoding: str) -> None:
    with pytest.raises(ContentEncodingError):
        decoded(encoding, b'{"status": "COMPLETED"}')
    with pytest.raises(ContentEncodingError):
        decoded(encoding, ENCODERS[encoding](TEXT)[:-9])


def test_random_bytes_raise_nothing_else() -> None:
    random = Random(9)
    for _ in range(2000):
        encoding = random.choice(list(ENCODERS))
        data = bytearray(ENCODERS[encoding](TEXT[: random.randint(0, 3000)]))
        for _ in range(random.randint(0, 3)):
            data[random.randrange(len(data))] = random.randrange(256)
        with suppress(ContentEncodingError):
            decoded(encoding, bytes(data), random.randint(1, 999))


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip", "deflate"])
def test_a_body_that_grows_a_millionfold_is_decoded_in_pieces(encoding: str) -> None:
    data = ENCODERS[encoding](b"\0" * 20_000_000)
    decoder = BodyDecoder(encoding)
    tracemalloc.start()
    try:
        pieces = decoder.feed(data)
        lengths = [len(next(pieces)) for _ in range(20)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert max(lengths) <= 256 * 1024
    assert peak < 8 * 1024 * 1024


def test_a_frame_that_needs_a_large_window_is_an_error() -> None:
    options: dict[int, int] = {zstd.CompressionParameter.window_log: 27}
    with pytest.raises(ContentEncodingError):
        decoded("zstd", zstd.compress(Random(1).randbytes(20_000_000), options=options))


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_members_without_content_are_decoded_one_at_a_time(encoding: str) -> None:
    pieces = list(BodyDecoder(encoding).feed(ENCODERS[encoding](b"") * 500))
    assert len(pieces) >= 500
    assert not any(pieces)


def test_what_a_body_may_become_depends_on_its_size() -> None:
    assert decoded_limit(0) == decoded_limit(1827) == 1024 * 1024
    assert decoded_limit(100_000) == 10_000_000
    assert decoded_limit(10**9) == 16 * 1024 * 1024
