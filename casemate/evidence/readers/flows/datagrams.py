"""Datagrams of NetFlow v5, NetFlow v9 and IPFIX as flow records.

Definitions: Cisco's *NetFlow Export Datagram Format* (v5), RFC 3954 (v9), RFC 7011 (IPFIX), RFC 5103 (both directions
in one record).  Templates belong to an exporter and its observation domain (source id) and hold until they are replaced
or withdrawn.  Data whose template has not come yet waits for it, within limits, since captures begin in the middle; if
it never comes, each set is one rejected record that says so.

Times.  v5 and v9 count milliseconds since the exporter started and say in each header what time that is now:
``time_from`` is ``uptime``.  IPFIX mostly says absolute times (``absolute``); uptimes there need the start that the
exporter tells in an option (``uptime``), deltas are counted back from the export (``delta``).  With none of these the
time of the export stands for the flow (``export``).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from casemate.evidence.readers.flows.elements import ntp
from casemate.evidence.readers.flows.records import (
    ICMP,
    ICMP6,
    BadRecord,
    FlowRecord,
    OptionsRecord,
    believed,
    ends,
    settle,
)
from casemate.evidence.readers.flows.templates import (
    IPFIX,
    LONG_TIMES,
    NTP_TIMES,
    V9,
    Template,
    read_template,
    read_values,
)

V5 = 5
NAMES = {V5: "netflow-v5", V9: "netflow-v9", IPFIX: "ipfix"}
HEADERS = {V5: 24, V9: 20, IPFIX: 16}
V5_RECORD = 48
MOST_V5 = 30
MOST_TEMPLATES = 20_000
MOST_DOMAINS = 50_000
"""Observation domains of all exporters together that are told apart."""
MOST_WAITING_BYTES, MOST_WAITING_SETS = 64 * 1024 * 1024, 200_000
_V5_HEADER = struct.Struct(">HHIIIIBBH")
_V9_HEADER = struct.Struct(">HHIIII")
_IPFIX_HEADER = struct.Struct(">HHIII")
_V5_FLOW = struct.Struct(">4s4s4sHHIIIIHHBBBBHHBBH")
_PAIR = struct.Struct(">HH")
UPTIMES, DELTAS = (
    ("flowStartSysUpTime", "flowEndSysUpTime"),
    ("flowStartDeltaMicroseconds", "flowEndDeltaMicroseconds"),
)

Found = FlowRecord | OptionsRecord | BadRecord


@dataclass(frozen=True)
class Header:
    """What a datagram says of itself: `now` in microseconds UTC, `uptime` in milliseconds (None in IPFIX)."""

    version: int
    domain: int
    now: int
    uptime: int | None
    exporter: str


@dataclass
class _Domain:
    """State of one observation domain of one exporter."""

    templates: dict[int, Template] = field(default_factory=dict)
    waiting: dict[int, list[tuple[Header, int, bytes]]] = field(default_factory=dict)
    started: int | None = None
    sampling: str | None = None
    expected: int | None = None


class Decoder:
    """Reads datagrams one after another.  Each gives its records and what waited for its templates."""

    def __init__(self) -> None:
        self.domains: dict[tuple[str, int, int], _Domain] = {}
        self.templates = self.structure = self.missing = 0
        self.waiting_bytes = self.waiting_sets = self.waited = 0

    def datagram(self, data: bytes, base: int, exporter: str = "") -> Iterator[Found]:
        """The records of one datagram.

        Args:
            data: the datagram from its version on.
            base: where it stands in the evidence.
            exporter: address it came from, where known.
        """
        version = int.from_bytes(data[:2], "big")
        read = HEADER_READERS.get(version)
        if read is None:
            yield BadRecord(base, len(data), f"not a version that is read: {version}")
        elif len(data) < HEADERS[version]:
            yield BadRecord(base, len(data), "cut inside the header of the datagram")
        else:
            header, sequence, said = read(data, exporter)
            state = self._domain(header)
            if state is None:
                yield BadRecord(base, len(data), f"over the limit of {MOST_DOMAINS:,} observation domains")
                return
            self.structure += 1
            if version == V5:
                yield from self._version5(state, header, data, base, sequence, said)
            else:
                yield from self._sets(state, header, data, base, sequence)

    def finish(self) -> Iterator[BadRecord]:
        """What still waits for a template that never came."""
        for (_, _, domain), state in self.domains.items():
            for number, sets in state.waiting.items():
                reason = f"its template {number} of observation domain {domain} never came"
                for _, offset, body in sets:
                    yield BadRecord(offset, len(body), reason)
            state.waiting.clear()

    def _domain(self, header: Header) -> _Domain | None:
        key = header.exporter, header.version, header.domain
        state = self.domains.get(key)
        if state is None and len(self.domains) < MOST_DOMAINS:
            state = self.domains[key] = _Domain()
        return state

    def _sequence(self, state: _Domain, said: int, count: int) -> None:
        """Count what the exporter's own numbers say is missing; a step back is a restart."""
        if state.expected is not None:
            missing = (said - state.expected) & 0xFFFFFFFF
            if missing < 1 << 20:
                self.missing += missing
        state.expected = (said + count) & 0xFFFFFFFF

    def _version5(
        self, state: _Domain, header: Header, data: bytes, base: int, sequence: int, sampling: int
    ) -> Iterator[Found]:
        count = int.from_bytes(data[2:4], "big")
        self._sequence(state, sequence, count)
        common: dict[str, str | None] = {
            "export": NAMES[V5],
            "exporter": header.exporter or None,
            "observationDomainId": str(header.domain),
            "samplingInterval": str(sampling & 0x3FFF) if sampling & 0x3FFF else None,
        }
        place = HEADERS[V5]
        for _ in range(count):
            if len(data) - place < V5_RECORD:
                yield BadRecord(base + place, max(0, len(data) - place), "cut inside a flow record of NetFlow v5")
                return
            yield _flow5(data, place, base + place, header, common)
            place += V5_RECORD
        if len(data) > place:
            yield BadRecord(base + place, len(data) - place, "bytes after the last flow record of the datagram")

    def _sets(self, state: _Domain, header: Header, data: bytes, base: int, sequence: int) -> Iterator[Found]:
        place, kept = HEADERS[header.version], 0
        while place < len(data):
            number, length = _PAIR.unpack_from(data, place) if len(data) - place >= 4 else (0, 0)
            if length < 4 or length > len(data) - place:
                if any(data[place:]):
                    yield BadRecord(base + place, len(data) - place, "a set's length cannot be")
                break
            body = data[place + 4 : place + length]
            for found in self._set(state, header, number, body, base + place + 4):
                kept += isinstance(found, (FlowRecord, OptionsRecord))
                yield found
            place += length
        self._sequence(state, sequence, kept if header.version == IPFIX else 1)

    def _set(self, state: _Domain, header: Header, number: int, body: bytes, offset: int) -> Iterator[Found]:
        if number in (0, 1, 2, 3):
            options = number in (1, 3)
            self.structure += 1
            for template in self._templates(state, header, body, offset, options):
                if isinstance(template, BadRecord):
                    yield template
                    continue
                for waited, at, data in state.waiting.pop(template.number, ()):
                    self.waiting_bytes -= len(data)
                    self.waiting_sets -= 1
                    yield from self._records(state, waited, template, data, at)
        elif number < 256:
            yield BadRecord(offset, len(body), f"set {number} is reserved")
        elif number in state.templates:
            yield from self._records(state, header, state.templates[number], body, offset)
        elif self.waiting_bytes + len(body) > MOST_WAITING_BYTES or self.waiting_sets >= MOST_WAITING_SETS:
            yield BadRecord(offset, len(body), f"its template {number} has not come, and no more can wait for one")
        else:
            self.waiting_bytes += len(body)
            self.waiting_sets += 1
            self.waited += 1
            state.waiting.setdefault(number, []).append((header, offset, body))

    def _templates(
        self, state: _Domain, header: Header, body: bytes, offset: int, options: bool
    ) -> Iterator[Template | BadRecord]:
        place = 0
        while len(body) - place >= 4 and (any(body[place : place + 4]) or header.version == IPFIX):
            begun = place
            number, count = _PAIR.unpack_from(body, place)
            place += 4
            if number < 256 and not (count == 0 and number in (2, 3)):
                if any(body[begun:]):
                    yield BadRecord(offset + begun, len(body) - begun, f"template {number}: the number is reserved")
                return
            if count == 0 and header.version == IPFIX:  # withdrawn
                if number in (2, 3):
                    state.templates.clear()
                state.templates.pop(number, None)
                continue
            made = read_template(header.version, number, count, body, place, options)
            if isinstance(made, str):
                yield BadRecord(offset + begun, len(body) - begun, made)
                return
            template, place = made
            if number not in state.templates:
                self.templates += 1
                if self.templates > MOST_TEMPLATES:
                    yield BadRecord(offset + begun, place - begun, f"over the limit of {MOST_TEMPLATES:,} templates")
                    return
            state.templates[number] = template
            yield template

    def _records(self, state: _Domain, header: Header, template: Template, body: bytes, offset: int) -> Iterator[Found]:
        place = 0
        while len(body) - place >= template.shortest:
            made = read_values(template, body, place)
            if made is None:
                break
            values, raw, end = made
            where, length = offset + place, end - place
            place = end
            values["export"] = NAMES[header.version]
            values["exporter"] = header.exporter or None
            values["observationDomainId"] = str(header.domain)
            values["templateId"] = str(template.number)
            if template.scopes:
                self._told(state, template, values, raw)
                scope = ",".join(name for name, _, _ in template.fields[: template.scopes])
                values["scope"] = scope
                yield OptionsRecord(where, length, values, believed(header.now))
            else:
                yield _flow(state, header, where, length, values, raw)
        if any(body[place:]):
            yield BadRecord(offset + place, len(body) - place, "bytes after the last record of the set make no record")

    def _told(self, state: _Domain, template: Template, values: dict[str, str | None], raw: dict[str, int]) -> None:
        """Keep what options say that flows need."""
        if "systemInitTimeMilliseconds" in raw:
            state.started = raw["systemInitTimeMilliseconds"] * 1_000
        interval = values.get("samplingInterval") or values.get("samplerRandomInterval")
        packets, space = raw.get("samplingPacketInterval"), raw.get("samplingPacketSpace")
        if interval:
            state.sampling = interval
        elif packets and space is not None:
            state.sampling = f"{(packets + space) / packets:g}"
        elif packets and "selectorAlgorithm" not in values:
            state.sampling = str(packets)


def _header5(data: bytes, exporter: str) -> tuple[Header, int, int]:
    _, _, uptime, seconds, nanoseconds, sequence, kind, engine, sampling = _V5_HEADER.unpack_from(data)
    now = seconds * 1_000_000 + nanoseconds // 1_000
    return Header(V5, kind << 8 | engine, now, uptime, exporter), sequence, sampling


def _header9(data: bytes, exporter: str) -> tuple[Header, int, int]:
    _, _, uptime, seconds, sequence, domain = _V9_HEADER.unpack_from(data)
    return Header(V9, domain, seconds * 1_000_000, uptime, exporter), sequence, 0


def _header10(data: bytes, exporter: str) -> tuple[Header, int, int]:
    _, _, seconds, sequence, domain = _IPFIX_HEADER.unpack_from(data)
    return Header(IPFIX, domain, seconds * 1_000_000, None, exporter), sequence, 0


HEADER_READERS = {V5: _header5, V9: _header9, IPFIX: _header10}
"""By version: the header, its sequence number, and what it says of sampling."""


def _flow(
    state: _Domain, header: Header, offset: int, length: int, values: dict[str, str | None], raw: dict[str, int]
) -> FlowRecord:
    flow = FlowRecord(offset, length, values, exporter=f"{header.exporter} {header.domain}")
    if state.sampling and not values.get("samplingInterval"):
        values["samplingInterval"] = state.sampling
    flow.sampled = (values.get("samplingInterval") or "1") not in ("0", "1")
    ends(flow)
    return settle(flow, *_times(state, header, values, raw))


def _times(
    state: _Domain, header: Header, values: dict[str, str | None], raw: dict[str, int]
) -> tuple[int | None, int | None, str]:
    for first, last, unit in LONG_TIMES:
        if first in raw or last in raw:
            start = raw.get(first, raw.get(last, 0))
            return start * unit, raw.get(last, start) * unit, "absolute"
    for first, last in NTP_TIMES:
        if first in raw or last in raw:
            start, end = raw.get(first, raw.get(last, 0)), raw.get(last, raw.get(first, 0))
            return ntp(start.to_bytes(8, "big")), ntp(end.to_bytes(8, "big")), "absolute"
    up = [_digits(values.get(name)) for name in UPTIMES]
    if up[0] is not None or up[1] is not None:
        start = up[0] if up[0] is not None else up[1] or 0
        end = up[1] if up[1] is not None else start
        if header.uptime is not None:
            return since_start(header, start), since_start(header, end), "uptime"
        begun = raw.get("systemInitTimeMilliseconds")
        booted = begun * 1_000 if begun is not None else state.started
        if booted is not None:
            header = replace(header, uptime=(header.now - booted) // 1_000)
            return since_start(header, start), since_start(header, end), "uptime"
    back = [_digits(values.get(name)) for name in DELTAS]
    if back[0] is not None:
        return header.now - back[0], header.now - (back[1] or 0), "delta"
    if "observationTimeMilliseconds" in raw:
        seen = raw["observationTimeMilliseconds"] * 1_000
        return seen, seen, "absolute"
    return header.now, header.now, "export"


def since_start(header: Header, uptime: int) -> int:
    """Microseconds UTC of a moment said in milliseconds since the exporter's start; the count wraps after 49.7 days."""
    ago = ((header.uptime or 0) - uptime) & 0xFFFFFFFF
    if ago >= 1 << 31:  # said to be later than the export: clocks inside one exporter differ a little
        ago -= 1 << 32
    return header.now - ago * 1_000


def _digits(said: str | None) -> int | None:
    return int(said) if said is not None and said.isdigit() else None


def _flow5(data: bytes, place: int, offset: int, header: Header, common: dict[str, str | None]) -> FlowRecord:
    (
        source, target, hop, ingress, egress, packets, octets, first, last, low, high, _, flags, protocol, service,
        source_as, target_as, source_mask, target_mask, _,
    ) = _V5_FLOW.unpack_from(data, place)  # fmt: skip
    values = {
        **common,
        "sourceIPv4Address": "{}.{}.{}.{}".format(*source),
        "destinationIPv4Address": "{}.{}.{}.{}".format(*target),
        "ipNextHopIPv4Address": "{}.{}.{}.{}".format(*hop) if any(hop) else None,
        "ingressInterface": str(ingress),
        "egressInterface": str(egress),
        "packetDeltaCount": str(packets),
        "octetDeltaCount": str(octets),
        "flowStartSysUpTime": str(first),
        "flowEndSysUpTime": str(last),
        "sourceTransportPort": str(low),
        "destinationTransportPort": str(high),
        "tcpControlBits": str(flags),
        "protocolIdentifier": str(protocol),
        "ipClassOfService": str(service),
        "bgpSourceAsNumber": str(source_as) if source_as else None,
        "bgpDestinationAsNumber": str(target_as) if target_as else None,
        "sourceIPv4PrefixLength": str(source_mask) if source_mask else None,
        "destinationIPv4PrefixLength": str(target_mask) if target_mask else None,
    }
    flow = FlowRecord(
        offset, V5_RECORD, values,
        source=values["sourceIPv4Address"] or "", target=values["destinationIPv4Address"] or "", source_port=low,
        target_port=high, protocol=protocol, octets=octets, packets=packets, flags=flags,
        exporter=f"{header.exporter} {header.domain}",
    )  # fmt: skip
    flow.sampled = (values["samplingInterval"] or "1") not in ("0", "1")
    if protocol in (ICMP, ICMP6):
        ends(flow)
    return settle(flow, since_start(header, first), since_start(header, last), "uptime")


def datagram_length(data: bytes, place: int) -> int | None:
    """How long the datagram at `place` is by its own words; None where these cannot be.

    IPFIX says its length, v5 its number of records; v9 does not, but no set may be numbered 9, so the next header
    is where a set would be numbered so.
    """
    if len(data) - place < 4:
        return None
    version, count = _PAIR.unpack_from(data, place)
    if version == V5:
        return HEADERS[V5] + V5_RECORD * count if 0 < count <= MOST_V5 else None
    if version == IPFIX:
        return count if count >= HEADERS[IPFIX] else None
    if version != V9:
        return None
    end = place + HEADERS[V9]
    while len(data) - end >= 4:
        number, length = _PAIR.unpack_from(data, end)
        if number == V9:
            break
        if length < 4 or 3 < number < 256:
            return None
        end += length
    return end - place


def looks_like_flows(data: bytes) -> bool:
    """Whether a whole UDP payload is a datagram of flows: its own lengths must fit to the byte."""
    if len(data) < 20 or data[:2] not in (b"\x00\x05", b"\x00\x09", b"\x00\x0a"):
        return False
    version = data[1]
    seconds = int.from_bytes(data[4:8] if version == IPFIX else data[8:12], "big")
    if not believed(seconds * 1_000_000):
        return False
    return datagram_length(data, 0) == len(data)
