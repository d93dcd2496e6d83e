"""Packets in, connections and protocol records out."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

from casemate.evidence.readers.packets.capture import Packet
from casemate.evidence.readers.packets.connections import (
    ACK,
    DOMAIN_PORTS,
    FIN,
    PROTOCOLS,
    REPLIES,
    REPLIES6,
    RST,
    SERVER_PORTS,
    SYN,
    Connection,
)
from casemate.evidence.readers.packets.detection import ENOUGH, PREFIX_BYTES, analyzer_for, tcp_service, udp_service
from casemate.evidence.readers.packets.fragments import Fragments
from casemate.evidence.readers.packets.layers import (
    ETHERNET,
    ICMP,
    ICMP6,
    TCP,
    UDP,
    Ip,
    network_layer,
    overlaid,
    tunnelled,
)
from casemate.evidence.readers.packets.protocols.base import MALFORMED
from casemate.evidence.readers.packets.protocols.dns import Dns, looks_like_dns
from casemate.evidence.readers.packets.protocols.exported_flows import ExportedFlows, looks_like_flows
from casemate.evidence.readers.packets.streams import Half, Memory, Ref
from casemate.evidence.readers.packets.wireless import WIRELESS, ethernet_frames

LIMIT_CONNECTIONS = 200_000
LIMIT_HELD = 256 * 1024 * 1024
"""Bytes that all analysers hold together; looked at each time a quarter of it was delivered."""
LIMIT_WAITING = 128 * 1024 * 1024
SWEEP_EVERY = 50_000
LIMIT_TUNNELS = 4
_TCP = struct.Struct(">HHIIBBHHH")

Emit = Callable[[str, Ref, Mapping[str, str | None]], None]
Key = tuple[bytes, bytes, bytes | tuple[int, int], int]


class Tap(Protocol):
    """Somebody who wants all bytes of connections in order, whatever protocol they speak."""

    def data(self, connection: Connection, originator: bool, data: bytes, ref: Ref) -> None:
        """Bytes that follow in a direction; a datagram."""

    def gap(self, connection: Connection, originator: bool, size: int) -> None:
        """Bytes that were not captured."""

    def part(
        self, connection: Connection, file: object, name: str, originator: bool, offset: int, data: bytes, ref: Ref
    ) -> None:
        """A part of a transferred file, where the protocol says what file it belongs to and where in it."""

    def end(self, connection: Connection) -> None:
        """No more will come."""


class Tracker:
    """All connections of one capture.  `emit` takes table, packet, values of a row; `tap`, where given, all bytes."""

    def __init__(self, emit: Emit, tap: Tap | None = None) -> None:
        self.emit = emit
        self.tap = tap
        self.memory = Memory(LIMIT_WAITING)
        self.fragments = Fragments()
        self.exported = ExportedFlows(emit)
        self.connections: dict[Key, tuple[Connection, bool]] = {}
        self.open: dict[int, tuple[Connection, Key]] = {}
        self.unread: Counter[str] = Counter()
        self.evicted = self.cut = self.conflicts = self.failed = 0
        self.clock = 0
        self.count = 0
        self.delivered = 0

    def packet(self, packet: Packet) -> tuple[Connection | None, bool, str]:
        """Take a packet: its connection, whether its originator sent it, and what it is."""
        if packet.time is not None:
            self.clock = packet.time
        self.count += 1
        if self.count % SWEEP_EVERY == 0:
            self._sweep()
        if packet.wire > packet.length:
            self.cut += 1
        ref = Ref(packet.number, packet.offset, packet.length, packet.time)
        if packet.link not in WIRELESS:
            return self._frame(packet.link, packet.data, ref)
        frames = ethernet_frames(packet.link, packet.data)
        if isinstance(frames, str):
            self.unread[frames] += 1
            return None, True, frames
        told = [self._frame(ETHERNET, frame, ref) for frame in frames]
        return next((one for one in told if one[0] is not None), told[0])

    def _frame(self, link: int, data: bytes, ref: Ref) -> tuple[Connection | None, bool, str]:
        ip = network_layer(link, data)
        if isinstance(ip, str):
            self.unread[ip] += 1
            return None, True, ip
        if ip.fragment is not None:
            whole = self.fragments.add(ip, self.clock)
            if whole is None:
                return None, True, "fragment"
            ip = whole
        for _ in range(LIMIT_TUNNELS):
            inner = tunnelled(ip)
            if inner is None and ip.protocol == UDP:
                carried = overlaid(ip)
                if carried is not None:
                    name, inner = carried
                    self._udp(ip, ref, name)
            if inner is None:
                break
            ip = inner
        protocol = ip.protocol
        if protocol == TCP:
            return self._tcp(ip, ref)
        if protocol == UDP:
            return self._udp(ip, ref)
        if protocol in (ICMP, ICMP6):
            return self._icmp(ip, ref)
        connection, originator = self._connection((ip.source, ip.target, b"", protocol), ip, (0, 0), ref)
        self._count(connection, originator, ip, len(ip.payload) + ip.cut, ref)
        return connection, originator, PROTOCOLS.get(protocol, f"protocol {protocol}")

    def finish(self) -> None:
        """The capture is over."""
        for connection, _ in list(self.open.values()):
            self._end(connection)
        self.exported.finish()

    def _connection(
        self, key: Key, ip: Ip, ports: tuple[int, int], ref: Ref, flags: int = 0
    ) -> tuple[Connection, bool]:
        found = self.connections.get(key)
        if found is not None:
            connection, originator = found
            begins = flags & (SYN | ACK) == SYN and originator and connection.over
            if not begins and not connection.expired(self.clock):
                return found
            self._end(connection)
        turned = False
        if ip.protocol == TCP:
            turned = flags & (SYN | ACK) == SYN | ACK or (
                not flags & SYN and ports[0] in SERVER_PORTS and ports[1] not in SERVER_PORTS
            )
        elif ip.protocol == UDP:
            turned = ports[0] in SERVER_PORTS and ports[1] not in SERVER_PORTS
        other: Key = (key[1], key[0], _turned(key[2]), key[3])
        if turned:
            ip = ip._replace(source=ip.target, target=ip.source)
            ports = (ports[1], ports[0])
        connection = Connection(ip, ports, ref)
        if turned:
            connection.history.append("^")
        self.connections[other] = connection, turned
        self.connections[key] = connection, not turned
        self.open[id(connection)] = connection, key
        if len(self.open) > LIMIT_CONNECTIONS:
            self.evicted += 1
            self._end(next(iter(self.open.values()))[0])
        return connection, not turned

    def _count(self, connection: Connection, originator: bool, ip: Ip, size: int, ref: Ref) -> None:
        side = not originator
        connection.packets[side] += 1
        connection.ip_bytes[side] += ip.size
        connection.bytes[side] += size
        if ref.time is not None and (connection.last is None or ref.time > connection.last):
            connection.last = ref.time
            if connection.begin is None:
                connection.begin = ref.time

    def _tcp(self, ip: Ip, ref: Ref) -> tuple[Connection | None, bool, str]:
        payload = ip.payload
        if len(payload) < 20:
            self.unread["cut before its ports"] += 1
            return None, True, "cut before its ports"
        low, high, sequence, acknowledged, length, flags, _, _, _ = _TCP.unpack_from(payload)
        header = (length >> 4) * 4
        if header < 20:
            self.unread["no valid TCP header"] += 1
            return None, True, "no valid TCP header"
        connection, originator = self._connection((ip.source, ip.target, payload[:4], TCP), ip, (low, high), ref, flags)
        data = payload[header:]
        size = len(data) + ip.cut if header <= len(payload) else max(0, len(payload) + ip.cut - header)
        if connection.halves is None:
            connection.halves = self._halves(connection)
        halves = connection.halves
        mine, theirs = (halves[0], halves[1]) if originator else (halves[1], halves[0])
        if flags & SYN:
            if mine.sequence is None or not mine.end:
                mine.start(sequence + 1)
            sequence += 1
        again = False
        if size:
            again = mine.segment(sequence, data, ref, size - len(data))
        elif flags & FIN and mine.sequence is None:
            mine.start(sequence)
        if flags & ACK and theirs.end > theirs.place:
            theirs.acknowledged(acknowledged, ref)
        connection.tcp_flags(flags, originator, size, again)
        self._count(connection, originator, ip, size, ref)
        if flags & RST or (flags & FIN and connection.over):
            self._read_out(connection, ref)
        return connection, originator, "tcp"

    def _halves(self, connection: Connection) -> tuple[Half, Half]:
        def direction(originator: bool) -> Half:
            return Half(
                self.memory,
                lambda data, ref: self._in_order(connection, originator, data, ref),
                lambda size, ref: self._gap(connection, originator, size, ref),
            )

        return direction(True), direction(False)

    def _read_out(self, connection: Connection, ref: Ref) -> None:
        """Both sides are done: hand out what waits, unless more may come to fill holes."""
        if connection.halves is not None and connection.over:
            for half in connection.halves:
                if not half.pending:
                    continue
                half.close(ref)

    def _in_order(self, connection: Connection, originator: bool, data: bytes, ref: Ref) -> None:
        if self.tap is not None:
            self.tap.data(connection, originator, data, ref)
        self._delivered(connection, originator, data, ref)

    def _delivered(self, connection: Connection, originator: bool, data: bytes, ref: Ref) -> None:
        analyzer = connection.analyzer
        if analyzer is not None:
            self.delivered += len(data)
            if self.delivered > LIMIT_HELD // 4:
                self._relieve()
            try:
                analyzer.data(originator, data, ref)
            except MALFORMED:
                self._drop(connection)
            if analyzer.done:
                self._drop(connection)
            return
        if not connection.decided:
            self._decide(connection, originator, data, ref)

    def _gap(self, connection: Connection, originator: bool, size: int, ref: Ref) -> None:
        if self.tap is not None:
            self.tap.gap(connection, originator, size)
        connection.letter("g", not originator)
        if connection.analyzer is not None:
            try:
                connection.analyzer.gap(originator, size, ref)
            except MALFORMED:
                self._drop(connection)
                return
            if connection.analyzer.done:
                self._drop(connection)
        elif not connection.decided:
            connection.prefix[not originator].clear()

    def _decide(self, connection: Connection, originator: bool, data: bytes, ref: Ref) -> None:
        chunks = connection.prefix[not originator]
        chunks.append((data, ref))
        begin = b"".join(chunk for chunk, _ in chunks)
        kind = analyzer_for(begin, connection.ports[1])
        if kind is None:
            named = tcp_service(begin, connection.ports[1], originator)
            if named is not None:
                connection.service(named)
            sizes = [sum(len(chunk) for chunk, _ in side) for side in connection.prefix]
            if named is not None or min(sizes) >= ENOUGH or max(sizes) >= PREFIX_BYTES:
                self._stop_reading(connection)
            return
        connection.analyzer = kind(connection.common, self.emit, connection.service)
        if self.tap is not None:
            connection.analyzer.watch(partial(self.tap.part, connection))
        connection.decided = True
        waiting = connection.prefix
        connection.prefix = [[], []]
        for side in (1, 0) if waiting[1] and not originator else (0, 1):
            for chunk, at in waiting[side]:
                self._delivered(connection, side == 0, chunk, at)

    def _drop(self, connection: Connection) -> None:
        analyzer = connection.analyzer
        connection.analyzer = None
        self._stop_reading(connection)
        if analyzer is not None:
            try:
                analyzer.finish()
            except MALFORMED:
                self.failed += 1

    def _stop_reading(self, connection: Connection) -> None:
        connection.decided = True
        connection.prefix = [[], []]
        if connection.halves is not None:
            for half in connection.halves:
                half.wanted = self.tap is not None

    def _udp(self, ip: Ip, ref: Ref, overlay: str | None = None) -> tuple[Connection | None, bool, str]:
        payload = ip.payload
        if len(payload) < 8:
            self.unread["cut before its ports"] += 1
            return None, True, "cut before its ports"
        low, high, length = struct.unpack_from(">HHH", payload)
        ports = (low, high)
        connection, originator = self._connection((ip.source, ip.target, payload[:4], UDP), ip, ports, ref)
        data = payload[8:length] if length >= 8 else payload[8:]
        size = min(length - 8, len(payload) + ip.cut - 8) if length >= 8 else len(payload) + ip.cut - 8
        self._count(connection, originator, ip, size, ref)
        connection.letter("d", originator)
        if overlay is not None:  # what it carries is read by itself
            connection.service(overlay)
            return connection, originator, "udp"
        if self.tap is not None and data:
            self.tap.data(connection, originator, data, ref)
        if low in DOMAIN_PORTS or high in DOMAIN_PORTS:
            self._domain(connection, data, ref)
        elif looks_like_flows(data):
            connection.service(self.exported.datagram(data, ip.source, ref))
        elif not connection.decided:
            connection.decided = True
            named = udp_service(data, connection.ports)
            if named is not None:
                connection.service(named)
        return connection, originator, "udp"

    def _domain(self, connection: Connection, data: bytes, ref: Ref) -> None:
        if not looks_like_dns(data):
            return
        if connection.analyzer is None:
            connection.analyzer = Dns(connection.common, self.emit, connection.service)
        assert isinstance(connection.analyzer, Dns)
        try:
            connection.analyzer.message(data, ref, "udp")
        except MALFORMED:
            self.failed += 1

    def _icmp(self, ip: Ip, ref: Ref) -> tuple[Connection | None, bool, str]:
        if len(ip.payload) < 2:
            self.unread["cut before its type"] += 1
            return None, True, "cut before its type"
        kind, code = ip.payload[0], ip.payload[1]
        counterpart = (REPLIES if ip.protocol == ICMP else REPLIES6).get(kind)
        ports = (kind, code if counterpart is None else counterpart)
        connection, originator = self._connection((ip.source, ip.target, ports, ip.protocol), ip, ports, ref)
        self._count(connection, originator, ip, max(0, len(ip.payload) + ip.cut - 8), ref)
        return connection, originator, "icmp"

    def _end(self, connection: Connection) -> None:
        entry = self.open.pop(id(connection), None)
        if entry is None:
            return
        key = entry[1]
        for one in (key, (key[1], key[0], _turned(key[2]), key[3])):
            held = self.connections.get(one)
            if held is not None and held[0] is connection:
                del self.connections[one]
        last = connection.first
        if connection.halves is not None:
            for half in connection.halves:
                half.close(last)
                self.conflicts += half.conflicts
        self._drop(connection)
        if self.tap is not None:
            self.tap.end(connection)
        self.emit("zeek_conn", connection.first, connection.values())
        connection.halves = None

    def _sweep(self) -> None:
        """End connections that no packet can belong to any more."""
        for connection in [one for one, _ in self.open.values() if one.expired(self.clock)]:
            self._end(connection)

    def _relieve(self) -> None:
        """Stop reading the connections that hold most, if all together hold too much."""
        self.delivered = 0
        holding = [(one.analyzer.held(), one.uid, one) for one, _ in self.open.values() if one.analyzer is not None]
        held = sum(size for size, _, _ in holding)
        for size, _, connection in sorted(holding, reverse=True, key=lambda one: one[:2]):
            if held <= LIMIT_HELD:
                break
            held -= size
            self.memory.reached += 1
            self._drop(connection)


def _turned(middle: bytes | tuple[int, int]) -> bytes | tuple[int, int]:
    """The ports the other way round."""
    if isinstance(middle, bytes):
        return middle[2:] + middle[:2]
    return (middle[1], middle[0]) if middle[0] != middle[1] else middle
