"""Connections: who spoke to whom, how it began and ended, in the words of Zeek's conn.log.

States and the letters of histories are those of Zeek's documentation (``base/protocols/conn/main.zeek``); so are the
times after which a silent connection counts as over.  The community id is version 1 of its specification
(corelight/community-id-spec), seed 0.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from ipaddress import ip_address

from casemate.evidence.readers.packets.layers import ICMP, ICMP6, TCP, UDP, Ip
from casemate.evidence.readers.packets.protocols.base import Analyzer
from casemate.evidence.readers.packets.streams import Half, Ref

FIN, SYN, RST, PUSH, ACK = 1, 2, 4, 8, 16
INACTIVE, SYN_SENT, SYN_ACK_SENT, PARTIAL, ESTABLISHED, CLOSED, RESET = range(7)
TIMEOUTS = {TCP: 300_000_000, UDP: 60_000_000, ICMP: 60_000_000, ICMP6: 60_000_000}
"""Zeek's ``tcp_inactivity_timeout``, ``udp_inactivity_timeout``, ``icmp_inactivity_timeout``."""
ATTEMPT_TIMEOUT, CLOSE_DELAY = 5_000_000, 5_000_000
"""Zeek's ``tcp_attempt_delay`` and ``tcp_close_delay``."""
PROTOCOLS = {TCP: "tcp", UDP: "udp", ICMP: "icmp", ICMP6: "icmp", 132: "sctp"}
REPLIES = {8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17, 10: 9, 9: 10}
REPLIES6 = {128: 129, 129: 128, 133: 134, 134: 133, 135: 136, 136: 135, 130: 131, 131: 130}
"""ICMP types that belong together, as in Zeek's ``ICMP.cc``."""
DOMAIN_PORTS = frozenset((53, 137, 5353, 5355))
SERVER_PORTS = frozenset(
    (
        *(21, 22, 23, 25, 53, 67, 80, 88, 110, 111, 123, 135, 137, 138, 139, 143, 161, 389, 443, 445, 464, 514, 587),
        *(593, 636, 853, 993, 995, 1433, 1521, 1900, 2049, 3128, 3268, 3306, 3389, 5353, 5355, 5432, 5985, 5986),
        *(6379, 8080, 8443, 9389),
    )
)
"""Ports that servers listen on: where a connection is seen from its middle they tell which side that is."""


class Connection:
    """One connection under way."""

    __slots__ = (
        "analyzer",
        "begin",
        "bytes",
        "common",
        "decided",
        "first",
        "halves",
        "history",
        "ip_bytes",
        "last",
        "packets",
        "pair",
        "ports",
        "prefix",
        "protocol",
        "seen",
        "services",
        "states",
        "uid",
        "vlans",
    )

    def __init__(self, ip: Ip, ports: tuple[int, int], first: Ref) -> None:
        self.pair = (ip.source, ip.target)
        self.ports = ports
        self.protocol = ip.protocol
        self.first = first
        self.begin = self.last = first.time
        self.packets = [0, 0]
        self.bytes = [0, 0]
        self.ip_bytes = [0, 0]
        self.states = [INACTIVE, INACTIVE]
        self.history: list[str] = []
        self.seen: set[str] = set()
        self.services: list[str] = []
        self.halves: tuple[Half, Half] | None = None
        self.analyzer: Analyzer | None = None
        self.decided = False
        self.prefix: list[list[tuple[bytes, Ref]]] = [[], []]
        self.vlans = ip.vlans
        named = f"{first.number} {first.offset} {first.time} {self.pair} {ports}".encode()
        self.uid = "C" + base64.b32encode(hashlib.sha1(named, usedforsecurity=False).digest()[:10]).decode()
        self.common = {
            "uid": self.uid,
            "id.orig_h": text_address(ip.source),
            "id.orig_p": str(ports[0]),
            "id.resp_h": text_address(ip.target),
            "id.resp_p": str(ports[1]),
        }

    def letter(self, letter: str, originator: bool) -> None:
        """One event in the history: each letter once for each side."""
        written = letter.upper() if originator else letter
        if written not in self.seen:
            self.seen.add(written)
            self.history.append(written)

    def service(self, name: str) -> None:
        """What was spoken, in the order in which it was recognised."""
        if name not in self.services:
            self.services.append(name)

    def tcp_flags(self, flags: int, originator: bool, size: int, again: bool) -> None:
        """What a segment means for the states of both ends, after Zeek's ``TCP.cc``."""
        me, other = (0, 1) if originator else (1, 0)
        state = self.states[me]
        if flags & SYN:
            if flags & (FIN | RST):
                self.letter("q", originator)
            self.letter("h" if flags & ACK else "s", originator)
            if state in (INACTIVE, PARTIAL):
                self.states[me] = SYN_ACK_SENT if flags & ACK else SYN_SENT
            if flags & ACK and self.states[other] == SYN_SENT:
                self.states[other] = self.states[me] = ESTABLISHED
        elif not flags & RST:
            if state == INACTIVE:
                self.states[me] = PARTIAL
            elif state in (SYN_SENT, SYN_ACK_SENT) and flags & ACK and self.states[other] != INACTIVE:
                self.states[me] = ESTABLISHED
                if self.states[other] == SYN_SENT:
                    self.states[other] = ESTABLISHED
        if size:
            self.letter("t" if again else "d", originator)
            if again:
                self.letter("d", originator) if "D" not in self.seen and originator else None
        elif flags & ACK and not flags & (SYN | FIN | RST):
            self.letter("a", originator)
        if flags & RST:
            self.letter("r", originator)
            self.states[me] = RESET
        elif flags & FIN:
            self.letter("f", originator)
            if self.states[me] != RESET:
                self.states[me] = CLOSED

    @property
    def over(self) -> bool:
        """Whether both ends closed, or one reset."""
        return RESET in self.states or self.states == [CLOSED, CLOSED]

    def expired(self, time: int) -> bool:
        """Whether a packet at `time` begins another connection."""
        silent = time - (self.last or time)
        if self.protocol == TCP:
            if self.over:
                return silent > CLOSE_DELAY
            if self.states[1] == INACTIVE and self.states[0] == SYN_SENT:
                return silent > ATTEMPT_TIMEOUT
        return silent > TIMEOUTS.get(self.protocol, 60_000_000)

    def state(self) -> str:
        """Zeek's ``conn_state``."""
        originator, responder = self.states
        if self.protocol == UDP:
            if self.packets[0]:
                return "SF" if self.packets[1] else "S0"
            return "SHR" if self.packets[1] else "OTH"
        if self.protocol != TCP:
            return "OTH"
        quiet = (INACTIVE, PARTIAL)
        if responder == RESET:
            if originator in (SYN_SENT, SYN_ACK_SENT) or (originator == RESET and not sum(self.bytes)):
                return "REJ"
            return "RSTRH" if originator in quiet else "RSTR"
        if originator == RESET:
            return "RSTOS0" if responder in quiet else "RSTO"
        if originator == responder == CLOSED:
            return "SF"
        if originator == CLOSED:
            return "SH" if responder in quiet else "S2"
        if responder == CLOSED:
            return "SHR" if originator in quiet else "S3"
        if originator == SYN_SENT and responder == INACTIVE:
            return "S0"
        if originator == responder == ESTABLISHED:
            return "S1"
        return "OTH"

    def values(self) -> dict[str, str | None]:
        """The row of ``zeek_conn``."""
        missed = 0
        sizes = list(self.bytes)
        if self.halves is not None:
            sizes = [half.end for half in self.halves]
            missed = sum(half.missed for half in self.halves)
        duration = (self.last - self.begin) if self.last is not None and self.begin is not None else None
        silent = self.packets[0] + self.packets[1] < 2
        unknown = self.protocol == TCP and not sum(sizes) and silent
        return {
            **self.common,
            "proto": PROTOCOLS.get(self.protocol, "unknown_transport"),
            "service": ",".join(self.services) or None,
            "duration": None if duration is None or silent else f"{duration // 1_000_000}.{duration % 1_000_000:06d}",
            "orig_bytes": None if unknown or (silent and self.protocol == UDP and not sizes[0]) else str(sizes[0]),
            "resp_bytes": None if unknown else str(sizes[1]),
            "conn_state": self.state(),
            "missed_bytes": str(missed),
            "history": "".join(self.history) or None,
            "orig_pkts": str(self.packets[0]),
            "orig_ip_bytes": str(self.ip_bytes[0]),
            "resp_pkts": str(self.packets[1]),
            "resp_ip_bytes": str(self.ip_bytes[1]),
            "vlan": str(self.vlans[0]) if self.vlans else None,
            "inner_vlan": str(self.vlans[1]) if len(self.vlans) > 1 else None,
            "ip_proto": str(self.protocol),
            "community_id": community_id(self.pair, self.ports, self.protocol),
        }


def text_address(packed: bytes) -> str:
    """An address as text."""
    if len(packed) == 4:
        return f"{packed[0]}.{packed[1]}.{packed[2]}.{packed[3]}"
    return str(ip_address(packed))


def community_id(pair: tuple[bytes, bytes], ports: tuple[int, int], protocol: int) -> str:
    """Community id, version 1, seed 0."""
    (source, target), (low, high) = pair, ports
    one_way = False
    if protocol in (ICMP, ICMP6):
        counterpart = (REPLIES if protocol == ICMP else REPLIES6).get(low)
        one_way = counterpart is None
        if counterpart is not None:
            high = counterpart
    if not one_way and (target, high) < (source, low):
        source, target, low, high = target, source, high, low
    packed = struct.pack(">H", 0) + source + target + struct.pack(">BBHH", protocol, 0, low, high)
    return "1:" + base64.b64encode(hashlib.sha1(packed, usedforsecurity=False).digest()).decode()
