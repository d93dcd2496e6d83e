"""What every source of flows gives: one record with the names of IPFIX, and the table it goes to.

A flow is what a router or probe counted of packets with the same ends in one direction (in both, where it says so) over
a stretch of time.  Its numbers of bytes include the IP header; what was said inside is not there.
"""

from __future__ import annotations

from dataclasses import dataclass

from casemate.evidence.readers.flows.elements import moment
from casemate.evidence.readers.timestamps import EARLIEST, LATEST
from casemate.schema.native import NativeTable

FLOW = NativeTable(
    "flow_record",
    (
        *("uid", "export", "exporter", "observationDomainId", "templateId"),
        *("flowStartMilliseconds", "flowEndMilliseconds", "flowStartSysUpTime", "flowEndSysUpTime", "time_from"),
        *("sourceIPv4Address", "destinationIPv4Address", "sourceIPv6Address", "destinationIPv6Address"),
        *("sourceTransportPort", "destinationTransportPort", "protocolIdentifier", "tcpControlBits"),
        *("octetDeltaCount", "packetDeltaCount", "octetTotalCount", "packetTotalCount"),
        *("reverseOctetDeltaCount", "reversePacketDeltaCount", "reverseTcpControlBits"),
        *("initiatorOctets", "responderOctets", "initiatorPackets", "responderPackets"),
        *("postOctetDeltaCount", "postPacketDeltaCount", "deltaFlowCount", "samplingInterval"),
        *("icmpTypeCodeIPv4", "icmpTypeCodeIPv6", "ipClassOfService", "ingressInterface", "egressInterface"),
        *("flowDirection", "biflowDirection", "flowEndReason", "forwardingStatus", "firewallEvent", "natEvent"),
        *("postNATSourceIPv4Address", "postNATDestinationIPv4Address"),
        *("postNAPTSourceTransportPort", "postNAPTDestinationTransportPort"),
        *("vlanId", "bgpSourceAsNumber", "bgpDestinationAsNumber", "ipNextHopIPv4Address"),
    ),
    "Flow records of NetFlow v5 and v9, IPFIX and nfdump, with the names of IPFIX; what these make together is in "
    "`zeek_conn` (`uid`). `export` says how it was exported, `time_from` what the times were calculated from; elements "
    "without a name here are in `rest`, those without any as `element.N` and `enterprise.E.N` in hexadecimal.",
)
OPTIONS = NativeTable(
    "flow_options",
    ("export", "exporter", "observationDomainId", "templateId", "scope"),
    "Options of exporters of flows (NetFlow v9, IPFIX): sampling, interfaces, their own counts; values in `rest`.",
)
TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58


@dataclass(slots=True)
class FlowRecord:
    """One flow as exported.

    Args:
        offset, length: its bytes in the evidence (the compressed block it lies in where there is one).
        values: columns of :data:`FLOW`, and everything else, as text.
        start, end: microseconds UTC, None where no possible time is said.
        source, target: addresses as text.
        octets, packets: what went from source to target, IP headers included; None where it is not said.
        back_octets, back_packets: the same of the other direction, None where the record has one direction only.
        flags: all TCP flags of the source's packets, None where not said.
        sampled: whether only some packets were looked at.
    """

    offset: int
    length: int
    values: dict[str, str | None]
    start: int | None = None
    end: int | None = None
    source: str = ""
    target: str = ""
    source_port: int = 0
    target_port: int = 0
    protocol: int = 0
    octets: int | None = None
    packets: int | None = None
    back_octets: int | None = None
    back_packets: int | None = None
    flags: int | None = None
    back_flags: int | None = None
    exporter: str = ""
    sampled: bool = False


@dataclass(frozen=True, slots=True)
class OptionsRecord:
    """One options record: what an exporter says of itself."""

    offset: int
    length: int
    values: dict[str, str | None]
    time: int | None


@dataclass(frozen=True, slots=True)
class BadRecord:
    """Bytes that should be records and cannot be read."""

    offset: int
    length: int
    reason: str


def believed(microseconds: int | None) -> int | None:
    """A time between 1990 and 2200."""
    return microseconds if microseconds is not None and EARLIEST <= microseconds < LATEST else None


def settle(flow: FlowRecord, start: int | None, end: int | None, origin: str) -> FlowRecord:
    """Take times into a record; `origin` says what they come from."""
    flow.start, flow.end = believed(start), believed(end)
    flow.values["time_from"] = origin
    if start is not None:
        flow.values["flowStartMilliseconds"] = moment(start)
    if end is not None:
        flow.values["flowEndMilliseconds"] = moment(end)
    return flow


def ends(flow: FlowRecord) -> FlowRecord:
    """Fill what pairing needs from `values`, which must hold IPFIX names."""
    values = flow.values
    flow.source = values.get("sourceIPv4Address") or values.get("sourceIPv6Address") or ""
    flow.target = values.get("destinationIPv4Address") or values.get("destinationIPv6Address") or ""
    flow.protocol = _number(values, "protocolIdentifier") or 0
    flow.source_port = _number(values, "sourceTransportPort", "tcpSourcePort", "udpSourcePort") or 0
    flow.target_port = _number(values, "destinationTransportPort", "tcpDestinationPort", "udpDestinationPort") or 0
    if flow.protocol in (ICMP, ICMP6):
        _icmp(flow)
    flow.octets = _number(values, "octetDeltaCount", "octetTotalCount", "initiatorOctets")
    flow.packets = _number(values, "packetDeltaCount", "packetTotalCount", "initiatorPackets")
    flow.back_octets = _number(values, "reverseOctetDeltaCount", "reverseOctetTotalCount", "responderOctets")
    flow.back_packets = _number(values, "reversePacketDeltaCount", "reversePacketTotalCount", "responderPackets")
    flow.flags = _number(values, "tcpControlBits")
    flow.back_flags = _number(values, "reverseTcpControlBits")
    return flow


def _icmp(flow: FlowRecord) -> None:
    """Type and code stand where others have ports: in elements of their own, or in the port of the target."""
    values = flow.values
    kind, code = _number(values, "icmpTypeIPv4", "icmpTypeIPv6"), _number(values, "icmpCodeIPv4", "icmpCodeIPv6")
    both = _number(values, "icmpTypeCodeIPv4", "icmpTypeCodeIPv6")
    if kind is None:
        kind, code = divmod(both if both is not None else flow.target_port, 256)
    flow.source_port, flow.target_port = kind, code or 0


def _number(values: dict[str, str | None], *names: str) -> int | None:
    for name in names:
        said = values.get(name)
        if said is not None and said.isascii() and said.isdigit() and len(said) <= 20:
            return int(said)
    return None
