"""What ``nfdump -o csv`` and ``nfdump -o json`` print, as flow records.

The columns of CSV are told by its first line, in the spelling of versions up to 1.7.1 (``ts,te,td,sa,...``) and after
(``firstSeen,duration,proto,srcAddr,...``).  nfdump prints times in the zone of the machine it ran on and does not say
which: UTC is assumed and flagged.  The summary at the end is structure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from typing import Any

from casemate.evidence.lines import LineBlock
from casemate.evidence.readers import timestamps
from casemate.evidence.readers.base import ReadContext, ReaderSpec, Reject, Rows, Source, Tally
from casemate.evidence.readers.flows.nfdump_records import other_counts
from casemate.evidence.readers.flows.records import ICMP, ICMP6, TCP, FlowRecord, ends, settle
from casemate.evidence.readers.flows.rows import TABLES, FlowRows, account
from casemate.evidence.readers.json_framing import json_lines
from casemate.evidence.readers.json_records import sample
from casemate.evidence.readers.json_values import JsonObject, as_text, read_object
from casemate.evidence.readers.text_lines import LineCounts, text_blocks

NAMES: dict[str, str] = {
    "ts": "first", "firstSeen": "first", "first": "first",
    "te": "last", "lastSeen": "last", "last": "last",
    "td": "duration", "duration": "duration",
    "sa": "source", "srcAddr": "source", "src4_addr": "source", "src6_addr": "source",
    "da": "target", "dstAddr": "target", "dst4_addr": "target", "dst6_addr": "target",
    "sp": "sourceTransportPort", "srcPort": "sourceTransportPort", "src_port": "sourceTransportPort",
    "dp": "destinationTransportPort", "dstPort": "destinationTransportPort", "dst_port": "destinationTransportPort",
    "pr": "protocol", "proto": "protocol",
    "flg": "flags", "flags": "flags", "tcp_flags": "flags",
    "ipkt": "packetDeltaCount", "packets": "packetDeltaCount", "inPackets": "packetDeltaCount",
    "in_packets": "packetDeltaCount",
    "ibyt": "octetDeltaCount", "bytes": "octetDeltaCount", "inBytes": "octetDeltaCount", "in_bytes": "octetDeltaCount",
    "opkt": "out_packets", "outPackets": "out_packets", "out_packets": "out_packets",
    "obyt": "out_bytes", "outBytes": "out_bytes", "out_bytes": "out_bytes",
    "flows": "aggr_flows", "aggr_flows": "aggr_flows",
    "icmp_type": "icmp_type", "icmp_code": "icmp_code",
    "fwd": "forwardingStatus", "fwd_status": "forwardingStatus",
    "stos": "ipClassOfService", "src_tos": "ipClassOfService",
    "in": "ingressInterface", "input": "ingressInterface", "input_snmp": "ingressInterface",
    "out": "egressInterface", "output": "egressInterface", "output_snmp": "egressInterface",
    "sas": "bgpSourceAsNumber", "srcAS": "bgpSourceAsNumber", "src_as": "bgpSourceAsNumber",
    "das": "bgpDestinationAsNumber", "dstAS": "bgpDestinationAsNumber", "dst_as": "bgpDestinationAsNumber",
    "svln": "vlanId", "srcVlan": "vlanId", "src_vlan": "vlanId",
    "nh": "ipNextHopIPv4Address", "ip4_next_hop": "ipNextHopIPv4Address",
    "ra": "exporter", "routerIP": "exporter", "ip4_router": "exporter", "ip6_router": "exporter",
    "exid": "exportingProcessId", "exporterID": "exportingProcessId", "export_sysid": "exportingProcessId",
    "tr": "received", "received": "received", "sampled": "sampled",
    "biflow_dir": "biflowDirection", "end_reason": "flowEndReason",
    "fw_event": "firewallEvent", "nat_event_id": "natEvent",
    "src4_xlt_ip": "postNATSourceIPv4Address", "dst4_xlt_ip": "postNATDestinationIPv4Address",
    "src_xlt_port": "postNAPTSourceTransportPort", "dst_xlt_port": "postNAPTDestinationTransportPort",
}  # fmt: skip
NO_ADDRESS = "0.0.0.0"  # noqa: S104 - how nfdump writes that there is none
NOTHING = frozenset(("", NO_ADDRESS, "00:00:00:00:00:00", "0-0-0", "<none>", "::"))
ZERO_IS_NOTHING = frozenset(("vlanId", "bgpSourceAsNumber", "bgpDestinationAsNumber"))
PROTOCOLS = {
    "ICMP": 1, "IGMP": 2, "IPIP": 4, "TCP": 6, "UDP": 17, "RSVP": 46, "GRE": 47, "ESP": 50, "AH": 51, "ICMP6": 58,
    "ICMPV6": 58, "IPV6-ICMP": 58, "EIGRP": 88, "OSPF": 89, "PIM": 103, "VRRP": 112, "SCTP": 132,
}  # fmt: skip
FLAG_LETTERS = {"F": 1, "S": 2, "R": 4, "P": 8, "A": 16, "U": 32, "E": 64, "C": 128}
ENDS = (("sa", "da"), ("srcAddr", "dstAddr"))
MOST_COLUMNS = 200


def convert(said: dict[str, str | None]) -> FlowRecord | str:
    """A record under nfdump's names, with the names of IPFIX; a text says why it is none."""
    values: dict[str, str | None] = {"export": "nfdump"}
    work: dict[str, str] = {}
    for name, value in said.items():
        known = NAMES.get(name)
        if value is None or (value.strip() in NOTHING and known not in ("source", "target")):
            continue
        if known is None:
            values[f"nfdump.{name}"] = value
        elif known == "exporter" or not known.islower():
            values[known] = None if known in ZERO_IS_NOTHING and value == "0" else value
        else:
            work[known] = value
    trouble = _addresses(values, work)
    if trouble is not None:
        return trouble
    protocol = work.get("protocol", "").strip()
    number = int(protocol) if protocol.isdigit() and len(protocol) < 4 else PROTOCOLS.get(protocol.upper())
    if number is None:
        return f"not a protocol that is known: '{protocol[:40]}'"
    values["protocolIdentifier"] = str(number)
    if number == TCP and "flags" in work:
        flags = work["flags"].strip()
        values["tcpControlBits"] = (
            flags if flags.isdigit() else str(sum({FLAG_LETTERS.get(one.upper(), 0) for one in flags}))
        )
    if number in (ICMP, ICMP6):
        _icmp(values, work, number)
    _counts(values, work)
    if "received" in work:
        values["received"] = work["received"]
    flow = ends(FlowRecord(0, 0, values, sampled=work.get("sampled", "0") not in ("0", "1")))
    flow.exporter = f"{values.get('exporter') or ''} {values.get('exportingProcessId') or ''}".strip()
    start = _time(work.get("first"))
    end = _time(work.get("last"))
    if end is None and start is not None:
        try:
            end = start + int(float(work.get("duration", "0")) * 1_000_000)
        except (ValueError, OverflowError):
            end = start
    return settle(flow, start, end, "absolute")


def _addresses(values: dict[str, str | None], work: dict[str, str]) -> str | None:
    for side, name in (("source", "source"), ("target", "destination")):
        try:
            address = ip_address(work.get(side, "").strip())
        except ValueError:
            return f"its {side} is no address"
        values[f"{name}IPv{address.version}Address"] = str(address)
    return None


def _icmp(values: dict[str, str | None], work: dict[str, str], protocol: int) -> None:
    """Type and code: in fields of their own, or in the port of the target, as a number or as ``8.0``."""
    values.pop("sourceTransportPort", None)
    port = values.pop("destinationTransportPort", None) or "0"
    kind, _, code = port.strip().partition(".")
    if "icmp_type" in work:
        kind, code = work["icmp_type"], work.get("icmp_code", "0")
    if not (kind.isascii() and kind.isdigit() and len(kind) < 6 and (not code or (code.isdigit() and len(code) < 4))):
        return
    both = int(kind) * 256 + int(code) if code else int(kind)
    values["icmpTypeCodeIPv4" if protocol == ICMP else "icmpTypeCodeIPv6"] = str(both)


def _counts(values: dict[str, str | None], work: dict[str, str]) -> None:
    out = work.get("out_packets", "0"), work.get("out_bytes", "0")
    if not all(one.isascii() and one.isdigit() and len(one) < 20 for one in out) or out == ("0", "0"):
        return
    flows = work.get("aggr_flows", "2")  # CSV does not say; only what was put together has a second pair of counts
    other_counts(values, int(flows) if flows.isdigit() and len(flows) < 10 else 2, int(out[0]), int(out[1]))


def _time(said: str | None) -> int | None:
    if said is None:
        return None
    said = said.strip()
    found, _ = timestamps.read_epoch(said, 1_000_000) if said[:10].isdigit() else timestamps.read_iso(said)
    return found


@dataclass
class _Header:
    names: tuple[str, ...] = ()
    over: bool = False


def is_header(line: str) -> bool:
    """Whether a line names the columns of nfdump's CSV."""
    names = line.strip().split(",")
    return any({source, target} <= set(names) for source, target in ENDS) and len(names) <= MOST_COLUMNS


def recognise_csv(head: bytes) -> int:
    """95 if the first line names columns of nfdump's."""
    first = head[:8192].split(b"\n", 1)[0].decode("utf-8", "replace")
    return 95 if is_header(first) else 0


def read_csv(source: Source, context: ReadContext) -> Iterator[Rows | Reject | Tally]:
    """Every line of a flow as one record."""
    rows, counts, header = FlowRows(), LineCounts(), _Header()
    structure = 0
    for texts in text_blocks(source, context, counts):
        if isinstance(texts, Reject):
            rows.records += 1
            yield texts
            continue
        for index, text, flags in texts.lines:
            text = text.strip()
            if is_header(text):
                header.names, header.over = tuple(text.split(",")), False
                structure += 1
            elif header.over or text == "Summary" or text.startswith("No matching flows"):
                header.over = True
                structure += 1
            else:
                yield from _csv_line(rows, header, texts.place(index), text, flags)
    yield from rows.finish()
    yield account(rows, structure + counts.structure)


def _csv_line(
    rows: FlowRows, header: _Header, place: tuple[int, int, int], text: str, flags: tuple[str, ...]
) -> Iterator[Rows | Reject]:
    rows.records += 1
    fields = text.split(",")
    if len(fields) != len(header.names):
        yield Reject(*place, f"{len(fields)} fields where the header names {len(header.names)}")
        return
    yield from _kept(rows, place, convert(dict(zip(header.names, fields, strict=True))), flags)


def _kept(
    rows: FlowRows, place: tuple[int, int, int], flow: FlowRecord | str, flags: tuple[str, ...]
) -> Iterator[Rows | Reject]:
    if isinstance(flow, str):
        yield Reject(*place, flow)
        return
    record, flow.offset, flow.length = place
    rows.add_flow(flow, record, (*flags, "zone_assumed_utc") if flow.start is not None else flags)
    yield from rows.take_full()


def is_flow(fields: dict[str, Any]) -> bool:
    """Whether an object is one of nfdump's."""
    return ("src4_addr" in fields or "src6_addr" in fields) and "in_packets" in fields and "first" in fields


def recognise_json(head: bytes, documents: bool) -> int:
    """90 for objects with nfdump's names."""
    if b"in_packets" not in head:
        return 0
    framed, found = sample(head, ())
    if not found or framed != documents:
        return 0
    return 90 if 2 * sum(map(is_flow, found)) >= len(found) else 0


def read_json(source: Source, context: ReadContext, documents: bool) -> Iterator[Rows | Reject | Tally]:
    """Every object as one record."""
    rows, limits = FlowRows(), context.limits
    structure = 0
    said: list[str] = []
    with source.open() as stream:
        for block in json_lines(stream, context, documents=documents, envelope_keys=(), notes=said):
            if isinstance(block, Reject):
                rows.records += 1
                yield block
                continue
            if not isinstance(block, LineBlock):
                rows.records += 1
                yield Reject(block.record, block.offset, block.length, f"line longer than {limits.line_bytes} bytes")
                continue
            places = zip(block.lines, block.offsets.tolist(), block.lengths.tolist(), strict=True)
            for record, (line, offset, length) in enumerate(places, start=block.first_record):
                if not line or line.isspace():
                    structure += 1
                    continue
                rows.records += 1
                read = read_object(line, limits)
                place = record, offset, length
                if not isinstance(read, JsonObject):
                    yield Reject(*place, read)
                elif len(read.fields) > limits.fields_per_record:
                    yield Reject(*place, f"more than {limits.fields_per_record} fields")
                else:
                    fields: dict[str, str | None] = {name: as_text(value) for name, value in read.fields.items()}
                    yield from _kept(rows, place, convert(fields), read.flags)
    yield from rows.finish()
    yield account(rows, structure, *said)


NFDUMP_CSV = ReaderSpec("nfdump-csv", 1, TABLES, recognise_csv, read_csv)
NFDUMP_JSON_LINES = ReaderSpec(
    "nfdump-ndjson", 1, TABLES, partial(recognise_json, documents=False), partial(read_json, documents=False)
)
NFDUMP_JSON = ReaderSpec(
    "nfdump-json", 1, TABLES, partial(recognise_json, documents=True), partial(read_json, documents=True)
)
