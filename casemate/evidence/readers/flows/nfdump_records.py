"""Records inside the blocks of nfdump's files as flow records.

Layout 2: a record is a header and elements, each with its type and length (``nfxV3.h``).  Layout 1: a common record
and extensions, in the order that an extension map said before (``nffile.h``, there "Record type 1").  Names are
those of IPFIX; elements that have no reader here are kept in hexadecimal as ``nfdump.N``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from ipaddress import IPv6Address

from casemate.evidence.readers.flows.elements import hexadecimal, moment
from casemate.evidence.readers.flows.nfdump_blocks import Block
from casemate.evidence.readers.flows.records import BadRecord, FlowRecord, ends, settle

COMMON_1, MAP_1, COMMON_10, FLOW_V3 = 1, 2, 10, 11
KINDS_WITHOUT_FLOWS = frozenset((2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 15, 16, 17, 18, 0x8001, 0x8002))
"""Extension maps, exporters, samplers, names: structure."""
MOST_MAPS = 65_536
IPV6_FLAG, PACKETS_64, OCTETS_64 = 1, 2, 4
SAMPLED_V1, SAMPLED_V2 = 128, 2
ICMP_PROTOCOLS = frozenset((1, 58))
Values = dict[str, str | None]


def _v4(number: int) -> str:
    return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def _v6(high: int, low: int) -> str:
    return str(IPv6Address(high << 64 | low))


def _mac(number: int) -> str | None:
    return (number & 0xFFFFFFFFFFFF).to_bytes(6, "big").hex(":") if number else None


def _said(number: int) -> str | None:
    return str(number) if number else None


Take = Callable[[Values, tuple[int, ...]], None]


def _named(*names: str, how: Callable[[int], str | None] = str) -> Take:
    """Numbers in order under these names; an empty name is left out."""

    def take(values: Values, numbers: tuple[int, ...]) -> None:
        for name, number in zip(names, numbers, strict=True):
            if name:
                values[name] = how(number)

    return take


def _named6(source: str, target: str) -> Take:
    def take(values: Values, numbers: tuple[int, ...]) -> None:
        values[source] = _v6(numbers[0], numbers[1])
        values[target] = _v6(numbers[2], numbers[3])

    return take


def _one6(name: str) -> Take:
    def take(values: Values, numbers: tuple[int, ...]) -> None:
        values[name] = _v6(*numbers)

    return take


def _event(values: Values, numbers: tuple[int, ...]) -> None:
    values["observationTimeMilliseconds"] = moment(numbers[0] * 1_000)
    values["flowId"], values["firewallExtendedEvent"], values["firewallEvent"] = map(str, numbers[1:4])


def other_counts(values: Values, flows: int, packets: int, octets: int) -> None:
    """The second pair of counts: in a record of several flows (``nfdump -b``) that of the other direction, else what
    left the exporter of this one."""
    values["deltaFlowCount"] = str(flows)
    names = ("reverse{}DeltaCount" if flows > 1 else "post{}DeltaCount").format
    values[names("Packet")], values[names("Octet")] = str(packets), str(octets)


def _other_counts(values: Values, numbers: tuple[int, ...]) -> None:
    other_counts(values, *numbers)


_PORTS = _named("postNAPTSourceTransportPort", "postNAPTDestinationTransportPort")
_MACS = ("sourceMacAddress", "postDestinationMacAddress", "destinationMacAddress", "postSourceMacAddress")
_DELAYS = ("clientNetworkDelayMicroseconds", "serverNetworkDelayMicroseconds", "applicationLatencyMicroseconds")
_MISC = ("ingressInterface", "egressInterface", "", "", "flowDirection", "postIpClassOfService")
ELEMENTS: dict[int, tuple[str, Take]] = {
    2: ("II", _named("sourceIPv4Address", "destinationIPv4Address", how=_v4)),
    3: ("QQQQ", _named6("sourceIPv6Address", "destinationIPv6Address")),
    5: ("QQQ", _other_counts),
    6: ("II", _named("vlanId", "postVlanId", how=_said)),
    7: ("II", _named("bgpSourceAsNumber", "bgpDestinationAsNumber", how=_said)),
    8: ("I", _named("bgpNextHopIPv4Address", how=_v4)),
    9: ("QQ", _one6("bgpNextHopIPv6Address")),
    10: ("I", _named("ipNextHopIPv4Address", how=_v4)),
    11: ("QQ", _one6("ipNextHopIPv6Address")),
    12: ("I", _named("exporter", how=_v4)),
    13: ("QQ", _one6("exporter")),
    15: ("QQQQ", _named(*_MACS, how=_mac)),
    16: ("II", _named("bgpNextAdjacentAsNumber", "bgpPrevAdjacentAsNumber", how=_said)),
    19: ("QIHB", _event),
    20: ("II", _named("postNATSourceIPv4Address", "postNATDestinationIPv4Address", how=_v4)),
    21: ("QQQQ", _named6("postNATSourceIPv6Address", "postNATDestinationIPv6Address")),
    22: ("HH", _PORTS),
}
"""Elements of layout 2 besides the first and the fourth."""
EXTENSIONS: dict[int, tuple[str, int, Take]] = {
    4: ("HH", 4, _named("ingressInterface", "egressInterface")),
    5: ("II", 8, _named("ingressInterface", "egressInterface")),
    6: ("HH", 4, _named("bgpSourceAsNumber", "bgpDestinationAsNumber", how=_said)),
    7: ("II", 8, _named("bgpSourceAsNumber", "bgpDestinationAsNumber", how=_said)),
    8: ("BB", 4, _named("postIpClassOfService", "flowDirection")),
    9: ("I", 4, _named("ipNextHopIPv4Address", how=_v4)),
    10: ("QQ", 16, _one6("ipNextHopIPv6Address")),
    11: ("I", 4, _named("bgpNextHopIPv4Address", how=_v4)),
    12: ("QQ", 16, _one6("bgpNextHopIPv6Address")),
    13: ("HH", 4, _named("vlanId", "postVlanId", how=_said)),
    14: ("I", 4, _named("postPacketDeltaCount")),
    15: ("Q", 8, _named("postPacketDeltaCount")),
    16: ("I", 4, _named("postOctetDeltaCount")),
    17: ("Q", 8, _named("postOctetDeltaCount")),
    18: ("I", 4, _named("deltaFlowCount")),
    19: ("Q", 8, _named("deltaFlowCount")),
    20: ("QQ", 16, _named(*_MACS[:2], how=_mac)),
    21: ("QQ", 16, _named(*_MACS[2:], how=_mac)),
    22: ("", 40, _named()),
    23: ("I", 4, _named("exporter", how=_v4)),
    24: ("QQ", 16, _one6("exporter")),
    25: ("HBB", 4, _named("", "engineType", "engineId")),
    26: ("II", 8, _named("bgpNextAdjacentAsNumber", "bgpPrevAdjacentAsNumber", how=_said)),
    27: ("Q", 8, _named("received")),
    37: ("QI", 20, _named("observationTimeMilliseconds", "flowId")),
    38: ("HH", 4, _PORTS),
    39: ("II", 8, _named("postNATSourceIPv4Address", "postNATDestinationIPv4Address", how=_v4)),
    40: ("QQQQ", 32, _named6("postNATSourceIPv6Address", "postNATDestinationIPv6Address")),
    41: ("", 24, _named()),
    42: ("", 24, _named()),
    43: ("", 72, _named()),
    45: ("QQQ", 24, _named(*_DELAYS)),
    46: ("B", 12, _named("natEvent")),
    47: ("II", 8, _named("postNATSourceIPv4Address", "postNATDestinationIPv4Address", how=_v4)),
    48: ("HHHH", 8, _named("portRangeStart", "portRangeEnd", "portRangeStepSize", "portRangeNumPorts")),
}  # fmt: skip
"""Extensions of layout 1: what is read of them, their whole size, and where it goes."""


class Records:
    """Reads blocks one after another; extension maps of layout 1 hold until they are replaced."""

    def __init__(self, order: str) -> None:
        self.order = order
        self.structure = 0
        self._maps: dict[int, tuple[int, ...]] = {}

    def block(self, block: Block) -> Iterator[FlowRecord | BadRecord]:
        """Flow records of one block; what is damaged ends it."""
        data, order, place = block.data, self.order, 0
        for index in range(block.records):
            if len(data) - place < 4:
                left = block.records - index
                yield BadRecord(
                    block.offset, block.length, f"{left:,} of {block.records:,} records of the block are missing"
                )
                return
            kind, size = struct.unpack_from(order + "HH", data, place)
            if size < 4 or place + size > len(data):
                left = block.records - index
                yield BadRecord(
                    block.offset, block.length, f"a record's length cannot be: {left:,} of the block are lost"
                )
                return
            record = data[place : place + size]
            place += size
            try:
                yield from self._record(kind, record, block)
            except (struct.error, IndexError):
                yield BadRecord(block.offset, block.length, f"a record of kind {kind} is too short")

    def _record(self, kind: int, record: bytes, block: Block) -> Iterator[FlowRecord | BadRecord]:
        if kind == FLOW_V3:
            yield self._layout2(record, block)
        elif kind in (COMMON_1, COMMON_10):
            yield self._layout1(kind, record, block)
        elif kind == MAP_1:
            self.structure += 1
            number = struct.unpack_from(self.order + "H", record, 4)[0]
            listed = struct.unpack_from(f"{self.order}{(len(record) - 8) // 2}H", record, 8)
            self._maps[number] = tuple(one for one in listed if one)
        elif kind in KINDS_WITHOUT_FLOWS:
            self.structure += 1
        else:
            yield BadRecord(block.offset, block.length, f"a record of kind {kind} is not read")

    def _layout2(self, record: bytes, block: Block) -> FlowRecord | BadRecord:
        order = self.order
        _, _, count, engine, unit, exporter, flags, version = struct.unpack_from(order + "HHHBBHBB", record)
        values: Values = {
            "export": "nfdump",
            "engineType": str(engine),
            "engineId": str(unit),
            "exportingProcessId": str(exporter),
            "exportedVersion": str(version),
        }
        times: tuple[int, int] | None = None
        place = 12
        for _ in range(count):
            kind, size = struct.unpack_from(order + "HH", record, place)
            if size < 4 or place + size > len(record):
                return BadRecord(block.offset, block.length, "an element of a record has a length that cannot be")
            body = record[place + 4 : place + size]
            place += size
            if kind == 1:
                times = _generic(order, body, values)
            elif kind == 4:
                misc = struct.unpack_from(order + "IIBBBB", body)
                _named(*_MISC)(values, misc)
                if len(body) >= 14:
                    values["biflowDirection"], values["flowEndReason"] = map(_said, body[12:14])
            elif kind in ELEMENTS:
                pattern, take = ELEMENTS[kind]
                take(values, struct.unpack_from(order + pattern, body))
            else:
                values[f"nfdump.{kind}"] = hexadecimal(body)
        if times is None:
            return BadRecord(block.offset, block.length, "a record holds no counts")
        return _made(block, values, times, bool(flags & SAMPLED_V2))

    def _layout1(self, kind: int, record: bytes, block: Block) -> FlowRecord | BadRecord:
        order = self.order
        if kind == COMMON_10:
            flags, number = struct.unpack_from(order + "HH", record, 4)
            place = 32
        else:
            flags, number = record[4], struct.unpack_from(order + "H", record, 6)[0]
            place = 28
        first_ms, last_ms, first, last = struct.unpack_from(order + "HHII", record, 8)
        status, tcp_flags, protocol, service, low, high = struct.unpack_from(order + "BBBBHH", record, 20)
        extensions = self._maps.get(number)
        if extensions is None:
            return BadRecord(block.offset, block.length, f"its extension map {number} has not come")
        values: Values = {"export": "nfdump"}
        if kind == COMMON_10:
            values["exportingProcessId"] = str(struct.unpack_from(order + "H", record, 28)[0])
        _ports(values, protocol, low, high)
        _named("forwardingStatus", "tcpControlBits", "protocolIdentifier", "ipClassOfService")(
            values, (status, tcp_flags, protocol, service)
        )
        if flags & IPV6_FLAG:
            ELEMENTS[3][1](values, struct.unpack_from(order + "QQQQ", record, place))
            place += 32
        else:
            ELEMENTS[2][1](values, struct.unpack_from(order + "II", record, place))
            place += 8
        for name, wide in (("packetDeltaCount", flags & PACKETS_64), ("octetDeltaCount", flags & OCTETS_64)):
            values[name] = str(struct.unpack_from(order + ("Q" if wide else "I"), record, place)[0])
            place += 8 if wide else 4
        for extension in extensions:
            if extension <= 3:
                continue
            if extension not in EXTENSIONS:
                values["nfdump.extensions"] = hexadecimal(record[place:])
                break
            pattern, size, take = EXTENSIONS[extension]
            if pattern:
                take(values, struct.unpack_from(order + pattern, record, place))
            else:
                values[f"nfdump.{extension}"] = hexadecimal(record[place : place + size])
            place += size
        times = first * 1_000 + first_ms, last * 1_000 + last_ms
        return _made(block, values, times, bool(flags & SAMPLED_V1))


def _generic(order: str, body: bytes, values: Values) -> tuple[int, int]:
    first, last, received, packets, octets, low, high, protocol, flags, status, service = struct.unpack_from(
        order + "QQQQQHHBBBB", body
    )
    if received:
        values["received"] = moment(received * 1_000)
    _ports(values, protocol, low, high)
    _named(
        *("packetDeltaCount", "octetDeltaCount", "protocolIdentifier", "tcpControlBits", "forwardingStatus"),
        "ipClassOfService",
    )(values, (packets, octets, protocol, flags, status, service))
    return first, last


def _ports(values: Values, protocol: int, low: int, high: int) -> None:
    if protocol in ICMP_PROTOCOLS:
        values["icmpTypeCodeIPv4" if protocol == 1 else "icmpTypeCodeIPv6"] = str(high)
    else:
        values["sourceTransportPort"], values["destinationTransportPort"] = str(low), str(high)


def _made(block: Block, values: Values, times: tuple[int, int], sampled: bool) -> FlowRecord:
    flow = ends(FlowRecord(block.offset, block.length, values, sampled=sampled))
    flow.exporter = f"{values.get('exporter') or ''} {values.get('exportingProcessId') or ''}".strip()
    return settle(flow, times[0] * 1_000, times[1] * 1_000, "absolute")
