"""Decompression of response bodies, in pieces of bounded size.

No request accepts compression, but some gateways compress all the same, once. A few hundred bytes
can become gigabytes, so there is a limit, and each decoder makes the next piece only when it is
needed. More than one encoding is an error: no gateway applies two.
"""

import sys
import zlib
from collections.abc import Iterator, Mapping
from typing import Protocol

import brotli  # type: ignore[import-untyped]

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_PIECE = 64 * 1024
_ZSTD_OPTIONS: Mapping[int, int] = {
    zstd.DecompressionParameter.window_log_max: 23  # 8 MB, the maximum of RFC 9659
}
_ALWAYS = 1024 * 1024
_RATIO = 100
_MOST = 16 * 1024 * 1024
_GZIP_MAGIC = b"\x1f\x8b"


class ContentEncodingError(Exception):
    """A body is not what its `Content-Encoding` says, or is incomplete."""


class _Decoder(Protocol):
    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the content of `data`, in pieces."""

    @property
    def complete(self) -> bool:
        """Whether the end of the compressed data was reached."""


class _Gzip:
    """One member or more, and padding, which is ignored."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)

    def feed(self, data: bytes) -> Iterator[bytes]:
        piece = b""
        while data or len(piece) == _PIECE:
            if self.complete:
                if not data.startswith(_GZIP_MAGIC):
                    return
                self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
            piece = self._member.decompress(data, _PIECE)
            yield piece
            data = self._member.unused_data if self.complete else self._member.unconsumed_tail

    @property
    def complete(self) -> bool:
        return self._member.eof


class _Deflate:
    """With the header of zlib, as the standard says, or without it, as some servers send it."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj()
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        if not self._begun:
            self._begun = True
            if not _is_zlib(data):
                self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
        piece = b""
        while (data or len(piece) == _PIECE) and not self.complete:
            piece = self._stream.decompress(data, _PIECE)
            yield piece
            data = self._stream.unconsumed_tail

    @property
    def complete(self) -> bool:
        return self._stream.eof


class _Brotli:
    def __init__(self) -> None:
        self._stream = brotli.Decompressor()

    def feed(self, data: bytes) -> Iterator[bytes]:
        while not self.complete:
            piece: bytes = self._stream.process(data, output_buffer_limit=_PIECE)
            if not piece and self._stream.can_accept_more_data():
                return
            yield piece
            data = b""

    @property
    def complete(self) -> bool:
        return bool(self._stream.is_finished())


class _Zstd:
    """One frame or more."""

    def __init__(self) -> None:
        self._frame = zstd.ZstdDecompressor(options=_ZSTD_OPTIONS)

    def feed(self, data: bytes) -> Iterator[bytes]:
        while True:
            if self.complete:
                if not data:
                    return
                self._frame = zstd.ZstdDecompressor(options=_ZSTD_OPTIONS)
            yield self._frame.decompress(data, _PIECE)
            data = self._frame.unused_data if self.complete else b""
            if not self.complete and self._frame.needs_input:
                return

    @property
    def complete(self) -> bool:
        return self._frame.eof


_DECODERS: dict[str, type[_Gzip | _Deflate | _Brotli | _Zstd]] = {
    "gzip": _Gzip,
    "x-gzip": _Gzip,
    "deflate": _Deflate,
    "br": _Brotli,
    "zstd": _Zstd,
}
_WINDOWS = {_Brotli: 16 * 1024 * 1024, _Zstd: 8 * 1024 * 1024}
_ERRORS = (zlib.error, brotli.error, zstd.ZstdError)


def decoded_limit(encoded: int) -> int:
    """Return how many bytes `encoded` bytes may become.

    JSON rarely shrinks to less than a hundredth; a page that does is read in smaller ones.
    """
    return min(max(_ALWAYS, encoded * _RATIO), _MOST)


class BodyDecoder:
    """Decodes a body by its `Content-Encoding`; unknown names are ignored.

    All methods raise `ContentEncodingError`.
    """

    def __init__(self, content_encoding: str) -> None:
        names = [name.strip().lower() for name in content_encoding.split(",")]
        applied = [_DECODERS[name] for name in names if name in _DECODERS]
        if len(applied) > 1:
            raise ContentEncodingError(f"the body has {len(applied)} content encodings")
        self._decoder: _Decoder | None = applied[0]() if applied else None
        self.window = _WINDOWS.get(applied[0], 0) if applied else 0
        """Bytes that decoding may take beside what it makes."""
        self._empty = True

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` becomes, in pieces of about 64 KB."""
        if not data:
            return
        self._empty = False
        if self._decoder is None:
            yield data
            return
        try:
            yield from self._decoder.feed(data)
        except _ERRORS:
            raise ContentEncodingError("the body is not what its content encoding says") from None

    def finish(self) -> None:
        """Note the end of the body."""
        if not (self._empty or self._decoder is None or self._decoder.complete):
            raise ContentEncodingError("the compressed body is incomplete")


def _is_zlib(data: bytes) -> bool:
    """Return whether `data` begins with the two bytes of RFC 1950."""
    return (
        data[0] & 0x0F == 8
        and data[0] >> 4 <= 7
        and (len(data) < 2 or (data[0] * 256 + data[1]) % 31 == 0)
    )
