"""The beginning of RDP connections (MS-RDPBCGR 2.2.1.1, 2.2.1.2) into ``zeek_rdp``: cookie and negotiated security."""

from __future__ import annotations

import struct

from casemate.evidence.readers.packets.protocols.base import Analyzer, Buffered, text
from casemate.evidence.readers.packets.streams import Ref

SECURITY = {0: "RDP", 1: "SSL", 2: "HYBRID", 4: "RDSTLS", 8: "HYBRID_EX"}
FAILURES = {
    1: "SSL_REQUIRED_BY_SERVER", 2: "SSL_NOT_ALLOWED_BY_SERVER", 3: "SSL_CERT_NOT_ON_SERVER", 4: "INCONSISTENT_FLAGS",
    5: "HYBRID_REQUIRED_BY_SERVER", 6: "SSL_WITH_USER_AUTH_REQUIRED_BY_SERVER",
}  # fmt: skip


def looks_like_rdp(data: bytes) -> bool:
    """Whether bytes are a TPKT with an X.224 connection request of RDP."""
    return len(data) >= 11 and data[:2] == b"\x03\x00" and data[5] == 0xE0 and data[4] + 5 == (data[2] << 8 | data[3])


class Rdp(Analyzer):
    """One connection, until the server answered."""

    service = "rdp"

    def __init__(self, common, emit, named) -> None:
        super().__init__(common, emit, named)
        self.buffers = (Buffered(), Buffered())
        self.ref: Ref | None = None
        self.values: dict[str, str | None] = {}

    def data(self, originator: bool, data: bytes, ref: Ref) -> None:
        buffer = self.buffers[not originator]
        buffer.add(data, ref)
        if len(buffer) < 7:
            return
        size = (buffer.data[2] << 8) | buffer.data[3]
        if buffer.data[0] != 3 or len(buffer) < size:
            if buffer.data[0] != 3:
                self.finish()
            return
        at = buffer.ref()
        packet = buffer.take(size)
        if originator and packet[5] == 0xE0:
            self.ref = at
            body = packet[11:]
            if body.startswith(b"Cookie: mstshash="):
                self.values["cookie"] = text(body.split(b"\r\n")[0][17:])
            self.named("rdp")
        elif not originator and packet[5] == 0xD0:
            body = packet[11:]
            self.values["result"] = "encrypted"
            if len(body) >= 8 and body[0] == 2:
                chosen = struct.unpack_from("<I", body, 4)[0]
                self.values["security_protocol"] = SECURITY.get(chosen, f"UNKNOWN-{chosen}")
            elif len(body) >= 8 and body[0] == 3:
                code = struct.unpack_from("<I", body, 4)[0]
                self.values["result"] = FAILURES.get(code, f"failure-{code}")
            else:
                self.values["security_protocol"] = "RDP"
            self.finish()

    def held(self) -> int:
        return sum(map(len, self.buffers))

    def finish(self) -> None:
        if self.ref is not None:
            self.emit("zeek_rdp", self.ref, {**self.common, **self.values})
            self.ref = None
        self.done = True
