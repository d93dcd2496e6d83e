"""DNS messages (RFC 1035) over UDP and TCP, with multicast DNS, LLMNR and NetBIOS names, into ``zeek_dns``.

A query with its reply is one record; a query without reply, or a reply without query, is one as well.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from ipaddress import IPv6Address

from casemate.evidence.readers.packets.protocols.base import Analyzer, Buffered, text
from casemate.evidence.readers.packets.streams import Ref

TYPES = {
    1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 10: "NULL", 12: "PTR", 13: "HINFO", 15: "MX", 16: "TXT", 28: "AAAA",
    29: "LOC", 32: "NB", 33: "SRV", 35: "NAPTR", 39: "DNAME", 41: "OPT", 43: "DS", 44: "SSHFP", 46: "RRSIG",
    47: "NSEC", 48: "DNSKEY", 50: "NSEC3", 51: "NSEC3PARAM", 52: "TLSA", 64: "SVCB", 65: "HTTPS", 99: "SPF",
    250: "TSIG", 251: "IXFR", 252: "AXFR", 255: "*", 257: "CAA",
}  # fmt: skip
RCODES = {
    0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 6: "YXDOMAIN", 7: "YXRRSET",
    8: "NXRRSET", 9: "NOTAUTH", 10: "NOTZONE", 16: "BADVERS",
}  # fmt: skip
CLASSES = {1: "C_INTERNET", 3: "C_CHAOS", 4: "C_HESIOD", 254: "C_NONE", 255: "C_ANY"}
OPCODES = {0: "query", 1: "iquery", 2: "status", 4: "notify", 5: "update"}
NETBIOS_PORT = "137"
LIMIT_ANSWERS, LIMIT_WAITING, LIMIT_LABELS = 256, 4096, 128
_HEADER = struct.Struct(">HHHHHH")


def looks_like_dns(data: bytes) -> bool:
    """Whether a datagram may be a DNS message: its counts and its first name are possible."""
    if len(data) < 17:
        return False
    _, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(data)
    if flags & 0x40 or questions > 4 or answers + authorities + additionals > 400:
        return False
    return questions + answers > 0 and (data[12] < 64 or data[12] >= 192)


class Dns(Analyzer):
    """One conversation; messages over TCP have a length before them."""

    service = "dns"

    def __init__(self, common, emit, named) -> None:
        super().__init__(common, emit, named)
        self.waiting: OrderedDict[tuple[int, str], tuple[Ref, dict[str, str | None]]] = OrderedDict()
        self.buffers = (Buffered(), Buffered())
        self.netbios = common["id.resp_p"] == NETBIOS_PORT

    def data(self, originator: bool, data: bytes, ref: Ref) -> None:
        buffer = self.buffers[not originator]
        buffer.add(data, ref)
        while len(buffer) >= 2:
            size = (buffer.data[0] << 8) | buffer.data[1]
            if len(buffer) < size + 2:
                break
            at = buffer.ref()
            self.message(buffer.take(size + 2)[2:], at, "tcp")

    def message(self, data: bytes, ref: Ref, transport: str) -> None:
        """One DNS message."""
        identity, flags, questions, answers, _authorities, _ = _HEADER.unpack_from(data)
        values: dict[str, str | None] = {"proto": transport, "trans_id": str(identity)}
        at = 12
        if questions:
            name, at = self._name(data, at)
            kind, group = struct.unpack_from(">HH", data, at)
            at += 4
            values |= {
                "query": name,
                "qclass": str(group & 0x7FFF),
                "qclass_name": CLASSES.get(group & 0x7FFF, f"qclass-{group & 0x7FFF}"),
                "qtype": str(kind),
                "qtype_name": TYPES.get(kind, f"query-{kind}"),
            }
            for _ in range(questions - 1):
                _, at = self._name(data, at)
                at += 4
        opcode = (flags >> 11) & 15
        values["opcode"] = str(opcode)
        values["opcode_name"] = OPCODES.get(opcode, f"opcode-{opcode}")
        values["RD"], values["Z"] = _truth(flags & 0x100), str((flags >> 4) & 7)
        self.named("dns")
        key = (identity, (values.get("query") or "").lower())
        if not flags & 0x8000:
            values |= {"AA": "false", "TC": _truth(flags & 0x200), "RA": "false", "rejected": "false"}
            if key in self.waiting:  # asked again
                self._give(*self.waiting.pop(key))
            self.waiting[key] = (ref, values)
            if len(self.waiting) > LIMIT_WAITING:
                self._give(*self.waiting.popitem(last=False)[1])
            return
        code = flags & 15
        values |= {
            "AA": _truth(flags & 0x400),
            "TC": _truth(flags & 0x200),
            "RA": _truth(flags & 0x80),
            "rcode": str(code),
            "rcode_name": RCODES.get(code, f"rcode-{code}"),
            "rejected": _truth((code != 0 and not questions) or code == 5),
        }
        texts: list[str] = []
        lives: list[str] = []
        try:
            for _ in range(min(answers, LIMIT_ANSWERS)):
                said, life, at = self._record(data, at)
                texts.append(said)
                lives.append(f"{life}.0")
        except (struct.error, IndexError, ValueError):
            values["TC"] = "true"
        if texts:
            values["answers"], values["TTLs"] = "\n".join(texts), "\n".join(lives)
        asked = self.waiting.pop(key, None)
        if asked is None:
            self._give(ref, values)
            return
        begun, before = asked
        if begun.time is not None and ref.time is not None and ref.time >= begun.time:
            values["rtt"] = f"{(ref.time - begun.time) / 1e6:.6f}"
        self._give(begun, {**before, **values})

    def held(self) -> int:
        return sum(map(len, self.buffers))

    def finish(self) -> None:
        while self.waiting:
            self._give(*self.waiting.popitem(last=False)[1])

    def _give(self, ref: Ref, values: dict[str, str | None]) -> None:
        self.emit("zeek_dns", ref, {**self.common, **values})

    def _name(self, data: bytes, at: int) -> tuple[str, int]:
        labels: list[bytes] = []
        after: int | None = None
        for _ in range(LIMIT_LABELS):
            size = data[at]
            if size >= 192:
                if after is None:
                    after = at + 2
                at = ((size & 63) << 8) | data[at + 1]
                continue
            if size >= 64:
                raise ValueError("label type")
            if size == 0:
                break
            label = data[at + 1 : at + 1 + size]
            if len(label) < size:
                raise ValueError("cut name")
            labels.append(label)
            at += 1 + size
        else:
            raise ValueError("too many labels")
        if self.netbios and labels and len(labels[0]) == 32:
            labels[0] = _netbios(labels[0])
        return text(b".".join(labels)) or ".", at + 1 if after is None else after

    def _record(self, data: bytes, at: int) -> tuple[str, int, int]:
        _, at = self._name(data, at)
        kind, _, life, size = struct.unpack_from(">HHIH", data, at)
        at += 10
        value = data[at : at + size]
        if len(value) < size:
            raise ValueError("cut record")
        return self._value(kind, value, data, at), life, at + size

    def _value(self, kind: int, value: bytes, data: bytes, at: int) -> str:
        if kind == 1 and len(value) == 4:
            return ".".join(map(str, value))
        if kind == 28 and len(value) == 16:
            return str(IPv6Address(value))
        if kind in (2, 5, 12, 39):
            return self._name(data, at)[0]
        if kind == 15:
            return self._name(data, at + 2)[0]
        if kind == 33:
            return self._name(data, at + 6)[0]
        if kind == 6:
            return self._name(data, at)[0]
        if kind == 16:
            parts = []
            while value:
                parts.append(text(value[1 : 1 + value[0]]))
                value = value[1 + value[0] :]
            return " ".join(f"TXT {len(part)} {part}" for part in parts)
        if kind == 32 and len(value) >= 6:
            return ".".join(map(str, value[2:6]))
        return f"<{TYPES.get(kind, kind)} {len(value)} bytes>"


def _netbios(label: bytes) -> bytes:
    """The name in a first-level encoded NetBIOS name (RFC 1001, 14.1), without its suffix."""
    if any(not 65 <= byte <= 80 for byte in label):
        return label
    return bytes((label[at] - 65) << 4 | (label[at + 1] - 65) for at in range(0, 32, 2))[:15].rstrip(b" \x00") or b"*"


def _truth(value: object) -> str:
    return "true" if value else "false"
