"""TLS handshakes (RFC 8446, RFC 5246) into ``zeek_ssl`` (name asked for, version, cipher, JA3, JA3S, JA4) and
``zeek_x509`` (the certificates, which TLS 1.3 does not show).

JA3 is the MD5 of version, ciphers, extensions, groups and point formats of the client's hello without the values of
RFC 8701 (salesforce/ja3); JA4 follows FoxIO's technical description (JA4: TLS client fingerprint).
"""

from __future__ import annotations

import hashlib
import struct

from casemate.evidence.readers.packets.protocols.base import Analyzer, Buffered, text
from casemate.evidence.readers.packets.protocols.certificates import values_of
from casemate.evidence.readers.packets.streams import Ref

VERSIONS = {0x0300: "SSLv3", 0x0301: "TLSv10", 0x0302: "TLSv11", 0x0303: "TLSv12", 0x0304: "TLSv13"}
JA4_VERSIONS = {0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3", 0x0002: "s2"}
CHANGE_CIPHER, ALERT, HANDSHAKE, APPLICATION = 20, 21, 22, 23
LIMIT_HANDSHAKE = 128 * 1024
LIMIT_CERTIFICATES = 32
"""Of one chain."""
CIPHERS = {
    0x1301: "TLS_AES_128_GCM_SHA256", 0x1302: "TLS_AES_256_GCM_SHA384", 0x1303: "TLS_CHACHA20_POLY1305_SHA256",
    0xC02F: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", 0xC030: "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    0xC02B: "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", 0xC02C: "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    0xC013: "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", 0xC014: "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    0xC027: "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", 0xC028: "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384",
    0xCCA8: "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", 0xCCA9: "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    0x009C: "TLS_RSA_WITH_AES_128_GCM_SHA256", 0x009D: "TLS_RSA_WITH_AES_256_GCM_SHA384",
    0x002F: "TLS_RSA_WITH_AES_128_CBC_SHA", 0x0035: "TLS_RSA_WITH_AES_256_CBC_SHA",
    0x003C: "TLS_RSA_WITH_AES_128_CBC_SHA256", 0x003D: "TLS_RSA_WITH_AES_256_CBC_SHA256",
    0x000A: "TLS_RSA_WITH_3DES_EDE_CBC_SHA", 0x0005: "TLS_RSA_WITH_RC4_128_SHA", 0x0004: "TLS_RSA_WITH_RC4_128_MD5",
    0x009E: "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", 0x009F: "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384",
}  # fmt: skip
GROUPS = {23: "secp256r1", 24: "secp384r1", 25: "secp521r1", 29: "x25519", 30: "x448", 4588: "x25519mlkem768"}


def looks_like_tls(data: bytes) -> bool:
    """Whether bytes begin a TLS record that holds a hello."""
    return len(data) >= 6 and data[0] == HANDSHAKE and data[1] == 3 and data[2] <= 4 and data[5] in (1, 2)


def _grease(value: int) -> bool:
    return value & 0x0F0F == 0x0A0A and value >> 8 == value & 0xFF


class Tls(Analyzer):
    """One connection; what is encrypted is only counted."""

    service = "ssl"

    def __init__(self, common, emit, named) -> None:
        super().__init__(common, emit, named)
        self.records = (Buffered(), Buffered())
        self.handshakes = (bytearray(), bytearray())
        self.encrypted = [False, False]
        self.application = [False, False]
        self.ref: Ref | None = None
        self.values: dict[str, str | None] = {}
        self.letters = ""
        self.version = 0
        self.shown: set[str] = set()

    def data(self, originator: bool, data: bytes, ref: Ref) -> None:
        buffer = self.records[not originator]
        buffer.add(data, ref)
        while len(buffer) >= 5 and not self.done:
            kind, size = buffer.data[0], (buffer.data[3] << 8) | buffer.data[4]
            if kind not in (CHANGE_CIPHER, ALERT, HANDSHAKE, APPLICATION) or buffer.data[1] != 3 or size > 18432:
                self._stop()
                return
            if len(buffer) < 5 + size:
                if kind == APPLICATION:
                    self._application(originator)
                return
            at = buffer.ref()
            self._record(originator, kind, buffer.take(5 + size)[5:], at)

    def gap(self, originator: bool, size: int, ref: Ref) -> None:
        self._stop()

    def held(self) -> int:
        return sum(map(len, (*self.records, *self.handshakes)))

    def finish(self) -> None:
        self._stop()

    def _stop(self) -> None:
        self.done = True
        if self.ref is not None:
            self.values.setdefault("established", "false")
            self.values["ssl_history"] = self.letters or None
            self.values["resumed"] = self.values.get("resumed") or "false"
            self.emit("zeek_ssl", self.ref, {**self.common, **self.values})
            self.ref = None

    def _application(self, originator: bool) -> None:
        self.application[not originator] = True
        if all(self.application) or (self.encrypted == [True, True] and any(self.application)):
            self.values["established"] = "true"
            self._stop()

    def _record(self, originator: bool, kind: int, data: bytes, ref: Ref) -> None:
        side = not originator
        if kind == APPLICATION:
            self._application(originator)
        elif kind == CHANGE_CIPHER:
            self.encrypted[side] = True
            self.letters += "I" if originator else "i"
            if self.encrypted == [True, True]:
                self.values["established"] = "true"
        elif kind == ALERT:
            if not self.encrypted[side] and len(data) == 2:
                self.values["last_alert"] = f"alert-{data[1]}"
            self.letters += "L" if originator else "l"
        elif not self.encrypted[side]:
            waiting = self.handshakes[side]
            waiting += data
            while len(waiting) >= 4:
                size = int.from_bytes(waiting[1:4], "big")
                if size > LIMIT_HANDSHAKE:
                    self._stop()
                    return
                if len(waiting) < 4 + size:
                    return
                self._handshake(originator, waiting[0], bytes(waiting[4 : 4 + size]), ref)
                del waiting[: 4 + size]

    def _handshake(self, originator: bool, kind: int, body: bytes, ref: Ref) -> None:
        letter = {1: "c", 2: "s", 11: "x", 12: "k", 13: "r", 14: "v", 16: "k", 4: "t", 15: "y", 20: "f"}.get(kind, "")
        self.letters += letter.upper() if originator else letter
        if kind == 1:
            self.ref = self.ref or ref
            self._client_hello(body)
            self.named("ssl")
        elif kind == 2:
            self.ref = self.ref or ref
            self._server_hello(body)
            self.named("ssl")
        elif kind == 11 and self.version < 0x0304:
            self._certificates(originator, body, ref)

    def _client_hello(self, body: bytes) -> None:
        legacy = struct.unpack_from(">H", body)[0]
        at = 35 + body[34]
        size = struct.unpack_from(">H", body, at)[0]
        ciphers = [cipher for (cipher,) in struct.iter_unpack(">H", body[at + 2 : at + 2 + size // 2 * 2])]
        at += 2 + size
        at += 1 + body[at]
        extensions = _extensions(body, at)
        groups: list[int] = []
        points: list[int] = []
        protocols: list[bytes] = []
        algorithms: list[int] = []
        versions: list[int] = []
        for kind, value in extensions:
            if kind == 0 and len(value) > 5:
                self.values["server_name"] = text(value[5 : 5 + struct.unpack_from(">H", value, 3)[0]])
            elif kind == 10:
                groups = _numbers(value[2:])
            elif kind == 11 and value:
                points = list(value[1 : 1 + value[0]])
            elif kind == 13:
                algorithms = _numbers(value[2:])
            elif kind == 16:
                protocols = _protocols(value)
            elif kind == 43 and value:
                versions = _numbers(value[1:])
        kinds = [kind for kind, _ in extensions]
        self.values["ja3"] = ja3(legacy, ciphers, kinds, groups, points)
        self.values["ja4"] = ja4(legacy, versions, ciphers, kinds, protocols, algorithms)
        self.values.setdefault("version", VERSIONS.get(legacy, f"unknown-{legacy}"))

    def _server_hello(self, body: bytes) -> None:
        version = legacy = struct.unpack_from(">H", body)[0]
        at = 35 + body[34]
        cipher = struct.unpack_from(">H", body, at)[0]
        extensions = _extensions(body, at + 3)
        for kind, value in extensions:
            if kind == 43 and len(value) == 2:
                version = struct.unpack(">H", value)[0]
            elif kind == 16:
                names = _protocols(value)
                self.values["next_protocol"] = text(names[0]) if names else None
            elif kind == 51 and len(value) >= 2:
                group = struct.unpack_from(">H", value)[0]
                self.values["curve"] = GROUPS.get(group, f"unknown-{group}")
        said = ",".join((str(legacy), str(cipher), "-".join(str(kind) for kind, _ in extensions)))
        self.version = version
        self.values |= {
            "version": VERSIONS.get(version, f"unknown-{version}"),
            "cipher": CIPHERS.get(cipher, f"unknown-{cipher}"),
            "ja3s": hashlib.md5(said.encode(), usedforsecurity=False).hexdigest(),
        }

    def _certificates(self, originator: bool, body: bytes, ref: Ref) -> None:
        at, prints = 3, list[str]()
        while at + 3 <= len(body) and len(prints) < LIMIT_CERTIFICATES:
            size = int.from_bytes(body[at : at + 3], "big")
            values = values_of(body[at + 3 : at + 3 + size])
            at += 3 + size
            if not prints:
                side = "client_" if originator else ""
                self.values[f"{side}subject"] = values.get("certificate.subject")
                self.values[f"{side}issuer"] = values.get("certificate.issuer")
            marks = {"host_cert": "true" if not prints and not originator else "false",
                     "client_cert": "true" if not prints and originator else "false"}  # fmt: skip
            prints.append(values["fingerprint"] or "")
            if len(self.shown) < LIMIT_CERTIFICATES and prints[-1] not in self.shown:
                self.shown.add(prints[-1])
                self.emit("zeek_x509", ref, {**values, **marks, "uid": self.common["uid"]})
        if prints:
            self.values["client_cert_chain_fps" if originator else "cert_chain_fps"] = "\n".join(prints)


def _extensions(body: bytes, at: int) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    if at + 2 > len(body):
        return found
    end = min(len(body), at + 2 + struct.unpack_from(">H", body, at)[0])
    at += 2
    while at + 4 <= end and len(found) < 512:
        kind, size = struct.unpack_from(">HH", body, at)
        found.append((kind, body[at + 4 : at + 4 + size]))
        at += 4 + size
    return found


def _numbers(value: bytes) -> list[int]:
    return [number for (number,) in struct.iter_unpack(">H", value[: len(value) // 2 * 2])]


def _protocols(value: bytes) -> list[bytes]:
    names: list[bytes] = []
    at = 2
    while at < len(value):
        names.append(value[at + 1 : at + 1 + value[at]])
        at += 1 + value[at]
    return names


def ja3(version: int, ciphers: list[int], extensions: list[int], groups: list[int], points: list[int]) -> str:
    """The JA3 of a client's hello."""
    lists = ([value for value in values if not _grease(value)] for values in (ciphers, extensions, groups))
    said = ",".join((str(version), *("-".join(map(str, values)) for values in (*lists, points))))
    return hashlib.md5(said.encode(), usedforsecurity=False).hexdigest()


def ja4(
    legacy: int,
    versions: list[int],
    ciphers: list[int],
    extensions: list[int],
    protocols: list[bytes],
    algorithms: list[int],
    transport: str = "t",
) -> str:
    """The JA4 of a client's hello."""
    offered = [value for value in versions if not _grease(value)]
    version = JA4_VERSIONS.get(max(offered, default=legacy), "00")
    suites = sorted(f"{value:04x}" for value in ciphers if not _grease(value))
    kinds = [value for value in extensions if not _grease(value)]
    first = protocols[0] if protocols else b""
    ends = "00"
    if first:
        plain = first[:1].isalnum() and first[-1:].isalnum()
        ends = (first[:1] + first[-1:]).decode() if plain else first.hex()[0] + first.hex()[-1]
    begin = f"{transport}{version}{'d' if 0 in kinds else 'i'}{min(len(suites), 99):02d}{min(len(kinds), 99):02d}{ends}"
    named = ",".join(sorted(f"{value:04x}" for value in kinds if value not in (0, 16)))
    signed = ",".join(f"{value:04x}" for value in algorithms if not _grease(value))
    last = f"{named}_{signed}" if signed else named
    return f"{begin}_{_short(','.join(suites))}_{_short(last)}"


def _short(said: str) -> str:
    return hashlib.sha256(said.encode()).hexdigest()[:12] if said else "0" * 12
