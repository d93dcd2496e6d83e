"""SMB over TCP: the messages' framing (RFC 1002, 4.3; MS-SMB2 2.1), shared by SMB1 and SMB2.

A message longer than :data:`LIMIT_WHOLE` is read by its head only; its rest is passed over.
"""

from __future__ import annotations

from casemate.evidence.readers.packets.protocols.base import MALFORMED, Analyzer, Buffered, FilePart
from casemate.evidence.readers.packets.protocols.smb1 import Smb1
from casemate.evidence.readers.packets.protocols.smb2 import Smb2
from casemate.evidence.readers.packets.streams import Ref

LIMIT_WHOLE = 160 * 1024
HEAD_BYTES = 4096
LIMIT_WATCHED = 9 * 1024 * 1024
"""The same where files are watched: SMB2 reads and writes at most 8 MiB at once."""
SMB1, SMB2, SMB3_ENCRYPTED, SMB3_COMPRESSED = b"\xffSMB", b"\xfeSMB", b"\xfdSMB", b"\xfcSMB"
NAMES = {SMB1: "SMB1", SMB2: "SMB2", SMB3_ENCRYPTED: "SMB3 encrypted", SMB3_COMPRESSED: "SMB3 compressed"}
SESSION_MESSAGE, SESSION_REQUEST, KEEP_ALIVE = 0x00, 0x81, 0x85


def looks_like_smb(data: bytes) -> bool:
    """Whether bytes begin a session message with SMB in it, or a NetBIOS session request."""
    if data[:1] == b"\x81":
        return len(data) >= 5 and data[1:3] == b"\x00\x00" and data[4] == 0x20
    return len(data) >= 8 and data[0] == 0 and data[4:8] in NAMES


class Smb(Analyzer):
    """One connection."""

    service = "smb"

    def __init__(self, common, emit, named) -> None:
        super().__init__(common, emit, named)
        self.buffers = (Buffered(), Buffered())
        self.skip = [0, 0]
        self.lost = [False, False]
        self.whole = LIMIT_WHOLE
        self.old = Smb1(common, emit, named)
        self.new = Smb2(common, emit, named)

    def data(self, originator: bool, data: bytes, ref: Ref) -> None:
        side = int(not originator)
        if self.skip[side]:
            passed = min(self.skip[side], len(data))
            self.skip[side] -= passed
            data = data[passed:]
            if not data:
                return
        buffer = self.buffers[side]
        if self.lost[side]:  # after a hole, a segment that begins with a message's head
            if not looks_like_smb(data):
                return
            self.lost[side] = False
        buffer.add(data, ref)
        while len(buffer) >= 4:
            size = int.from_bytes(buffer.data[1:4], "big")
            kind = buffer.data[0]
            if kind == SESSION_MESSAGE and size > self.whole and len(buffer) >= 4 + HEAD_BYTES:
                at = buffer.ref()
                message = buffer.take(4 + HEAD_BYTES)[4:]
                rest = size - HEAD_BYTES
                rest -= len(buffer.take(min(rest, len(buffer))))
                self.skip[side] = rest
                self._message(originator, message, at, ref, size)
                continue
            if len(buffer) < 4 + size:
                return
            at = buffer.ref()
            self.old.packets = buffer.packets(4 + size)
            message = buffer.take(4 + size)[4:]
            if kind == SESSION_MESSAGE:
                self._message(originator, message, at, ref, size)
            elif kind not in (SESSION_REQUEST, 0x82, 0x83, 0x84, KEEP_ALIVE):
                self.lost[side] = True
                buffer.clear()

    def gap(self, originator: bool, size: int, ref: Ref) -> None:
        side = int(not originator)
        if self.skip[side] >= size:
            self.skip[side] -= size
            return
        buffer = self.buffers[side]
        if len(buffer) >= 68 and int.from_bytes(buffer.data[1:4], "big") > len(buffer) + size:
            at = buffer.ref()
            whole = int.from_bytes(buffer.data[1:4], "big")
            message = buffer.take(len(buffer))[4:]
            self.skip[side] = whole - len(message) - size
            self._message(originator, message, at, ref, whole)
            return
        self.skip[side] = 0
        buffer.clear()
        self.lost[side] = True

    def watch(self, part: FilePart) -> None:
        self.whole = LIMIT_WATCHED
        self.old.part = self.new.part = part

    def held(self) -> int:
        return sum(map(len, self.buffers))

    def finish(self) -> None:
        for originator in (True, False):
            buffer = self.buffers[not originator]
            if len(buffer) >= 8 and buffer.data[0] == SESSION_MESSAGE:
                name = NAMES.get(bytes(buffer.data[4:8]))
                if name is not None:
                    announced, packets = int.from_bytes(buffer.data[1:4], "big"), buffer.packets(len(buffer))
                    self.old.unfinished(originator, buffer.ref(), announced, bytes(buffer.data[4:]), name, packets)
        self.old.finish()
        self.new.finish()

    def _message(self, originator: bool, message: bytes, ref: Ref, last: Ref, size: int) -> None:
        begin = message[:4]
        try:
            if begin == SMB1 and len(message) >= 33:
                self.named("smb")
                self.old.message(originator, message, ref, last, size)
            elif begin == SMB2 and len(message) >= 64:
                self.named("smb")
                self.new.messages(originator, message, ref, last)
            elif begin in NAMES:
                self.named("smb")
        except MALFORMED:
            return
