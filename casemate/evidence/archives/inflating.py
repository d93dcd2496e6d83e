"""Deflate (RFC 1951) that gives everything up to the place where it breaks."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

from casemate.evidence.archives.budget import READ_BYTES

STEPS = (64 * 1024, 1024, 16)
"""Bytes asked for at once on the way to a break: zlib forgets what it made in the call that fails."""


def inflate(inner: Any, data: bytes) -> Iterator[bytes]:
    """Plain bytes of `data`, at most `READ_BYTES` at a time; `inner` is a ``zlib.decompressobj``.

    Raises:
        zlib.error: the stream is damaged; all that comes out before was given.
    """
    while not inner.eof:
        before = inner.copy()
        try:
            block = inner.decompress(data, READ_BYTES)
        except zlib.error:
            yield from _up_to_the_break(before, data)
            raise
        yield block
        data = inner.unconsumed_tail
        if not data and not block:
            return


def _up_to_the_break(inner: Any, data: bytes) -> Iterator[bytes]:
    for step in STEPS:
        while True:
            before = inner.copy()
            try:
                block = inner.decompress(data, step)
            except zlib.error:
                inner = before
                break
            if not block:
                return
            yield block
            data = inner.unconsumed_tail
    for at in range(len(data)):  # the call that gives the last byte would go on into a wrong checksum behind it
        try:
            block = inner.decompress(data[at : at + 1])
        except zlib.error:
            return
        yield block
