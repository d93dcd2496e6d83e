"""SSH identification lines and key exchange (RFC 4253) into ``zeek_ssh``, with HASSH (salesforce/hassh)."""

from __future__ import annotations

import hashlib

from casemate.evidence.readers.packets.protocols.base import Analyzer, Buffered, text
from casemate.evidence.readers.packets.streams import Ref

LIMIT_LINE, LIMIT_PACKET = 8192, 64 * 1024
KEY_EXCHANGE = 20
ALGORITHMS = ("kex_alg", "host_key_alg", "cipher_alg", "cipher_alg_back", "mac_alg", "mac_back", "compression_alg")


def looks_like_ssh(data: bytes) -> bool:
    """Whether bytes begin an identification line."""
    return data.startswith((b"SSH-2.0-", b"SSH-1."))


class Ssh(Analyzer):
    """One connection, until both sides said which algorithms they know."""

    service = "ssh"

    def __init__(self, common, emit, named) -> None:
        super().__init__(common, emit, named)
        self.buffers = (Buffered(), Buffered())
        self.lines: list[str | None] = [None, None]
        self.lists: list[list[str] | None] = [None, None]
        self.ref: Ref | None = None

    def data(self, originator: bool, data: bytes, ref: Ref) -> None:
        side = int(not originator)
        self.ref = self.ref or ref
        buffer = self.buffers[side]
        if self.lists[side] is not None:
            return
        buffer.add(data, ref)
        while self.lines[side] is None:
            end = buffer.data.find(b"\n")
            if end < 0:
                self._check(len(buffer) > LIMIT_LINE)
                return
            line = buffer.take(end + 1).rstrip(b"\r\n")
            if line.startswith(b"SSH-"):
                self.lines[side] = text(line, 255)
                self.named("ssh")
        if len(buffer) < 6:
            return
        size = int.from_bytes(buffer.data[:4], "big")
        if size > LIMIT_PACKET or buffer.data[5] != KEY_EXCHANGE:
            self.lists[side] = []
        elif len(buffer) >= 4 + size:
            self.lists[side] = _lists(bytes(buffer.data[22 : 4 + size]))
        if None not in self.lists:
            self._check(True)

    def gap(self, originator: bool, size: int, ref: Ref) -> None:
        self._check(True)

    def held(self) -> int:
        return sum(map(len, self.buffers))

    def finish(self) -> None:
        self._check(True)

    def _check(self, over: bool) -> None:
        if not over or self.done:
            return
        self.done = True
        if self.ref is None or self.lines == [None, None]:
            return
        client, server = self.lines
        values: dict[str, str | None] = {"client": client, "server": server}
        values["version"] = "1" if (client or server or "").startswith("SSH-1.") else "2"
        mine, theirs = self.lists
        if mine and theirs and len(mine) >= 7 and len(theirs) >= 7:
            for index, name in enumerate(ALGORITHMS):
                if name.endswith("_alg"):
                    known = set(theirs[index].split(","))
                    values[name] = next((one for one in mine[index].split(",") if one in known), None)
        for name, lists, order in (("hassh", mine, (0, 2, 4, 6)), ("hasshServer", theirs, (0, 3, 5, 7))):
            if lists and len(lists) >= 8:
                said = ";".join(lists[index] for index in order)
                values[name] = hashlib.md5(said.encode(), usedforsecurity=False).hexdigest()
        self.emit("zeek_ssh", self.ref, {**self.common, **values})


def _lists(data: bytes) -> list[str]:
    found: list[str] = []
    at = 0
    while at + 4 <= len(data) and len(found) < 10:
        size = int.from_bytes(data[at : at + 4], "big")
        found.append(text(data[at + 4 : at + 4 + size], 65536))
        at += 4 + size
    return found
