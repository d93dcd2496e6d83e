"""IP fragments put together again, within limits.

Where fragments overlap the bytes that came first stay (as Windows and BSD's successors do for equal starts; RFC 5722
forbids overlaps in IPv6 altogether).  A datagram that is not complete within 30 seconds (RFC 791 leaves the time
open, RFC 8200 says 60) or when memory runs out is given up and counted.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from casemate.evidence.readers.packets.layers import Ip

LIMIT_BYTES = 16 * 1024 * 1024
LIMIT_DATAGRAM = 65_535
LIMIT_PIECES = 512
TIMEOUT = 30_000_000


@dataclass
class _Datagram:
    begun: int
    pieces: dict[int, bytes] = field(default_factory=dict)
    end: int | None = None
    held: int = 0


@dataclass
class Fragments:
    """Datagrams under way.  `given_up` counts those that were dropped incomplete."""

    given_up: int = 0
    overlapping: int = 0
    _waiting: dict[tuple[bytes, bytes, int, int], _Datagram] = field(default_factory=dict)
    _held: int = 0

    def add(self, ip: Ip, time: int) -> Ip | None:
        """The whole datagram when this fragment completes it."""
        assert ip.fragment is not None
        identity, offset, more = ip.fragment
        key = (ip.source, ip.target, ip.protocol, identity)
        datagram = self._waiting.get(key)
        if datagram is None or time - datagram.begun > TIMEOUT:
            if datagram is not None:
                self._drop(key)
            datagram = self._waiting[key] = _Datagram(time)
        if offset + len(ip.payload) > LIMIT_DATAGRAM or len(datagram.pieces) >= LIMIT_PIECES or ip.cut:
            self._drop(key)
            return None
        if not more:
            datagram.end = offset + len(ip.payload)
        if offset in datagram.pieces:
            self.overlapping += 1
        else:
            datagram.pieces[offset] = ip.payload
            datagram.held += len(ip.payload)
            self._held += len(ip.payload)
        while self._held > LIMIT_BYTES and len(self._waiting) > 1:
            self._drop(next(iter(self._waiting)))
        if datagram.end is None or datagram.held < datagram.end:
            return None
        whole = self._joined(datagram)
        if whole is None:
            return None
        self._held -= datagram.held
        self._waiting.pop(key, None)
        return ip._replace(payload=whole, fragment=None)

    def _joined(self, datagram: _Datagram) -> bytes | None:
        whole = bytearray()
        for offset in sorted(datagram.pieces):
            if offset > len(whole):
                return None
            piece = datagram.pieces[offset]
            if offset < len(whole):
                self.overlapping += 1
            whole += piece[len(whole) - offset :] if offset < len(whole) else piece
        assert datagram.end is not None
        return bytes(whole[: datagram.end]) if len(whole) >= datagram.end else None

    def _drop(self, key: tuple[bytes, bytes, int, int]) -> None:
        gone = self._waiting.pop(key, None)
        if gone is not None:
            self._held -= gone.held
            self.given_up += 1

    @property
    def open(self) -> int:
        """Datagrams that never became whole."""
        return len(self._waiting)
