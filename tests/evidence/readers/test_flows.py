"""What readers of flow records owe: every record counted, numbers as exported, both directions put together or said
not to be."""

from __future__ import annotations

import bz2
import shutil
import socket
import struct
import subprocess
import threading
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard
from flow_writing import (
    ACK,
    BASIC4,
    BASIC6,
    FIN,
    MILLISECONDS,
    NOW,
    PUSH,
    RST,
    SYN,
    UPTIMES,
    Flow,
    ReadFlows,
    basic,
    flowset,
    ipfix,
    layout1,
    layout2,
    read_flows,
    template,
    v1_map,
    v1_record,
    v3_record,
    v5,
    v9,
)
from hypothesis import given
from hypothesis import strategies as st
from packet_writing import START, ethernet, pcap, read_capture, udp

from casemate.evidence.identify import identify
from casemate.evidence.readers import READERS
from casemate.evidence.readers.base import ReaderSpec
from casemate.evidence.readers.flows import datagrams, pairing
from casemate.evidence.readers.flows.lzo import DamagedLzoError, decompress
from casemate.evidence.readers.flows.nfdump_text import NFDUMP_CSV, NFDUMP_JSON, NFDUMP_JSON_LINES
from casemate.evidence.readers.flows.readers import NETFLOW_READER, NFDUMP_READER

GO = Flow()
PAIR = (GO, GO.back(octets=50_000, packets=40, began=8_990))
IPFIX_TEMPLATE = flowset(2, template(300, (*BASIC4, *MILLISECONDS)))
V9_TEMPLATE = flowset(0, template(300, (*BASIC4, *UPTIMES)))


def ipfix_of(*flows: Flow) -> bytes:
    return ipfix([IPFIX_TEMPLATE, flowset(300, b"".join(basic(flow, uptime=False) for flow in flows))])


def v9_of(*flows: Flow) -> bytes:
    return v9([V9_TEMPLATE, flowset(300, b"".join(basic(flow, uptime=True) for flow in flows))])


def layout2_of(*flows: Flow) -> bytes:
    return layout2([(len(flows), b"".join(map(v3_record, flows)))])


def layout1_of(*flows: Flow) -> bytes:
    return layout1([v1_map(0, (1, 2, 3)), *(v1_record(flow, 0) for flow in flows)])


def whole(read: ReadFlows) -> set[tuple]:
    return {
        (
            row["id.orig_h"], row["id.orig_p"], row["id.resp_h"], row["id.resp_p"], row["proto"], row["conn_state"],
            row["orig_ip_bytes"], row["resp_ip_bytes"], row["orig_pkts"], row["resp_pkts"], row["duration"],
            row["time"].timestamp(),
        )
        for row in read.connections
    }  # fmt: skip


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (lambda *flows: v5(flows), "netflow"),
        (v9_of, "netflow"),
        (ipfix_of, "netflow"),
        (layout2_of, "nfdump"),
        (layout1_of, "nfdump"),
    ],
)
def test_both_directions_of_a_flow_are_one_connection_in_every_format(write, name: str) -> None:
    content = write(*PAIR)
    known = identify(content, READERS)
    assert known.format == name
    assert known.reader is not None
    read = read_flows(known.reader, content)
    assert whole(read) == {
        ("192.0.2.1", "40000", "198.51.100.9", "443", "tcp", "SF", "1000", "50000", "10", "40", "8.000000", NOW - 9)
    }
    (row,) = read.connections
    assert row["orig_bytes"] == str(1_000 - 10 * 40)  # less the smallest headers
    assert '"directions":"both"' in row["rest"]
    assert {flow["uid"] for flow in read.flows} == {row["uid"]}
    assert any("1 connections: 1 with both directions" in note for note in read.tally.notes)


def test_the_side_that_started_first_began_it_and_ports_decide_where_clocks_do_not() -> None:
    server_first = read_flows(NETFLOW_READER, v5([GO.back(began=8_000), GO]))
    assert server_first.connections[0]["id.orig_h"] == "192.0.2.1"
    same_time = read_flows(NETFLOW_READER, v5([GO.back(), GO]))
    assert same_time.connections[0]["id.orig_h"] == "192.0.2.1"
    called_back = read_flows(NETFLOW_READER, v5([GO, GO.back(began=9_500)]))
    assert called_back.connections[0]["id.orig_h"] == "198.51.100.9"


@pytest.mark.parametrize(
    ("asked", "told", "state"),
    [
        (SYN, None, "S0"),
        (SYN | RST, None, "RSTOS0"),
        (SYN | ACK | PUSH | FIN, None, "OTH"),  # its answer was not exported: nothing is said of it
        (SYN, RST | ACK, "REJ"),
        (SYN | ACK | FIN, SYN | ACK | FIN, "SF"),
        (SYN | ACK | PUSH, SYN | ACK | PUSH, "S1"),
        (SYN | ACK | FIN, SYN | ACK, "S2"),
        (SYN | ACK, SYN | ACK | FIN, "S3"),
        (SYN | ACK | RST, SYN | ACK, "RSTO"),
        (SYN | ACK, SYN | ACK | RST, "RSTR"),
        (ACK, ACK, "OTH"),
    ],
)
def test_states_come_from_the_flags_of_both_sides(asked: int, told: int | None, state: str) -> None:
    flows = [Flow(flags=asked)] if told is None else [Flow(flags=asked), Flow().back(flags=told, began=8_999)]
    (row,) = read_flows(NETFLOW_READER, v5(flows)).connections
    assert row["conn_state"] == state


def test_silence_of_udp_counts_only_where_answers_are_exported() -> None:
    lone = Flow(protocol=17, high=9_999, flags=0)
    (row,) = read_flows(NETFLOW_READER, v5([lone])).connections
    assert row["conn_state"] == "OTH"
    answered = Flow(source="192.0.2.7", protocol=17, high=53, flags=0)
    read = read_flows(NETFLOW_READER, v5([answered, answered.back(), lone]))
    assert sorted(row["conn_state"] for row in read.connections) == ["S0", "SF"]
    sampled = read_flows(NETFLOW_READER, v5([answered, answered.back(), lone], sampling=100))
    assert sorted(row["conn_state"] for row in sampled.connections) == ["OTH", "SF"]
    assert any("not scaled up" in note for note in sampled.tally.notes)
    assert sampled.flows[0]["samplingInterval"] == "100"


def test_pieces_of_a_long_flow_are_one_connection_and_far_ones_are_two() -> None:
    pieces = [Flow(began=600_000 - 60_000 * at, ended=541_000 - 60_000 * at) for at in range(10)]
    (row,) = read_flows(NETFLOW_READER, v5(pieces)).connections
    assert (row["orig_ip_bytes"], row["duration"]) == ("10000", "599.000000")
    apart = [Flow(began=900_000, ended=890_000), Flow(began=500_000, ended=490_000)]
    assert len(read_flows(NETFLOW_READER, v5(apart)).connections) == 2


def test_an_answer_alone_is_turned_round_and_its_question_stays_unknown() -> None:
    (row,) = read_flows(NETFLOW_READER, v5([GO.back()])).connections
    assert (row["id.orig_h"], row["id.resp_p"], row["history"]) == ("192.0.2.1", "443", "^")
    assert row["orig_bytes"] is None
    assert row["resp_ip_bytes"] == "1000"
    assert '"directions":"one"' in row["rest"]


def test_echo_request_and_reply_are_one_connection() -> None:
    ask = Flow(protocol=1, low=0, high=8 << 8, flags=0, packets=1, octets=84)
    reply = ask.back(began=8_990)
    reply = Flow(**{**vars(reply), "low": 0, "high": 0})
    (row,) = read_flows(NETFLOW_READER, v5([ask, reply])).connections
    assert (row["proto"], row["id.orig_h"], row["id.orig_p"], row["id.resp_p"]) == ("icmp", "192.0.2.1", "8", "0")
    assert row["resp_pkts"] == "1"


def test_a_record_of_both_directions_is_a_whole_connection() -> None:
    fields = (*BASIC4, *MILLISECONDS, (1, 4, 29305), (2, 4, 29305), (6, 1, 29305))
    record = basic(GO, uptime=False) + struct.pack(">IIB", 7_000, 9, SYN | ACK | FIN)
    read = read_flows(NETFLOW_READER, ipfix([flowset(2, template(400, fields)), flowset(400, record)]))
    (row,) = read.connections
    assert (row["orig_ip_bytes"], row["resp_ip_bytes"], row["conn_state"]) == ("1000", "7000", "SF")
    assert read.flows[0]["reverseOctetDeltaCount"] == "7000"


def test_data_waits_for_its_template_and_is_rejected_where_none_comes() -> None:
    data = flowset(300, basic(GO, uptime=False))
    late = ipfix([data]) + ipfix([IPFIX_TEMPLATE])
    read = read_flows(NETFLOW_READER, late)
    assert len(read.flows) == 1
    assert read.flows[0]["offset"] == 20
    never = read_flows(NETFLOW_READER, ipfix([data]) + ipfix([data], domain=8) + ipfix([IPFIX_TEMPLATE], domain=8))
    assert len(never.flows) == 1  # templates belong to a domain
    (reject,) = never.rejects
    assert "template 300 of observation domain 7 never came" in reject.reason


def test_templates_are_replaced_and_withdrawn() -> None:
    other = flowset(2, template(300, (*BASIC6, *MILLISECONDS)))
    six = Flow(source="2001:db8::1", target="2001:db8::2")
    read = read_flows(
        NETFLOW_READER,
        ipfix_of(GO)
        + ipfix([other, flowset(300, basic(six, uptime=False))])
        + ipfix([flowset(2, struct.pack(">HH", 300, 0)), flowset(300, basic(six, uptime=False))]),
    )
    assert [row["sourceIPv4Address"] or row["sourceIPv6Address"] for row in read.flows] == ["192.0.2.1", "2001:db8::1"]
    assert len(read.rejects) == 1


def test_unknown_and_enterprise_elements_are_kept() -> None:
    fields = (*BASIC4, *MILLISECONDS, (32_000, 3), (77, 0xFFFF, 54_321))
    record = basic(GO, uptime=False) + b"\x01\x02\x03" + b"\xff\x01\x00" + bytes(256)
    record += basic(GO.back(), uptime=False) + b"\x04\x05\x06" + b"\x02ab"
    read = read_flows(NETFLOW_READER, ipfix([flowset(2, template(400, fields)), flowset(400, record)]))
    assert [len(read.flows), len(read.rejects)] == [2, 0]
    assert '"element.32000":"010203"' in read.flows[0]["rest"]
    assert f'"enterprise.54321.77":"{"00" * 256}"' in read.flows[0]["rest"]
    assert '"enterprise.54321.77":"6162"' in read.flows[1]["rest"]


@pytest.mark.parametrize("version", [9, 10])
def test_options_are_kept_and_say_the_sampling_of_flows(version: int) -> None:
    fields = ((1 if version == 9 else 149, 4), (34, 4), (82, 8))
    options = flowset(
        1 if version == 9 else 3, template(500, fields, scopes=1, version=version)
    ) + flowset(500, struct.pack(">II", 7, 1_000) + b"eth0\x00\x00\x00\x00")  # fmt: skip
    if version == 9:
        content = v9([options]) + v9_of(GO)
    else:
        content = ipfix([options]) + ipfix_of(GO)
    read = read_flows(NETFLOW_READER, content)
    (said,) = read.table("flow_options")
    assert '"interfaceName":"eth0"' in said["rest"]
    assert read.flows[0]["samplingInterval"] == "1000"
    assert any("sample" in note for note in read.tally.notes)


def test_times_say_where_they_come_from() -> None:
    assert read_flows(NETFLOW_READER, v5([GO])).flows[0]["time_from"] == "uptime"
    assert read_flows(NETFLOW_READER, ipfix_of(GO)).flows[0]["time_from"] == "absolute"
    wrapped = bytearray(v5([Flow(began=1_000)]))
    struct.pack_into(">I", wrapped, 4, 500)  # the uptime has just begun anew
    struct.pack_into(">II", wrapped, 24 + 24, 0xFFFFFFFF - 499, 100)
    (flow,) = read_flows(NETFLOW_READER, bytes(wrapped)).flows
    assert flow["time"].timestamp() == NOW - 1
    bare = ipfix([flowset(2, template(400, BASIC4)), flowset(400, basic(GO, uptime=False)[:-16])])
    read = read_flows(NETFLOW_READER, bare)
    assert (read.flows[0]["time_from"], read.flows[0]["time"].timestamp()) == ("export", NOW)
    assert any("no time of their own" in note for note in read.tally.notes)
    delta = (*BASIC4, (158, 4), (159, 4))
    record = basic(GO, uptime=False)[:-16] + struct.pack(">II", 5_000_000, 1_000_000)
    (flow,) = read_flows(NETFLOW_READER, ipfix([flowset(2, template(400, delta)), flowset(400, record)])).flows
    assert (flow["time_from"], flow["time"].timestamp()) == ("delta", NOW - 5)


def test_missing_records_are_told_by_the_exporters_own_numbers() -> None:
    read = read_flows(NETFLOW_READER, v5([GO], sequence=10) + v5([GO], sequence=14))
    assert any(note.startswith("3 flow records") for note in read.tally.notes)
    assert not any(
        "missing" in note for note in read_flows(NETFLOW_READER, v5([GO]) + v5([GO], sequence=1)).tally.notes
    )


def test_a_cut_or_broken_file_rejects_what_cannot_be_read() -> None:
    cut = read_flows(NETFLOW_READER, v5([GO, GO])[:-10])
    assert (len(cut.flows), len(cut.rejects)) == (1, 1)
    lost = read_flows(NETFLOW_READER, ipfix_of(GO) + b"not a datagram")
    assert (len(lost.flows), len(lost.rejects)) == (1, 1)
    assert lost.rejects[0].length == len(b"not a datagram")
    odd = read_flows(NETFLOW_READER, ipfix([IPFIX_TEMPLATE, struct.pack(">HH", 300, 3) + b"\x01"]))
    assert len(odd.rejects) == 1
    empty = read_flows(NETFLOW_READER, ipfix([flowset(2, template(400, ((210, 0),)))]))
    assert "without bytes" in empty.rejects[0].reason


PACKED = {
    1: lambda data: bytes([17 + len(data[:238])]) + data[:238] + b"\x11\x00\x00",  # LZO: literals only
    2: bz2.compress,
    3: lambda data: pa.Codec("lz4_raw").compress(data, asbytes=True),
    4: lambda data: zstandard.ZstdCompressor().compress(data),
}


@pytest.mark.parametrize("compression", sorted(PACKED))
def test_packed_blocks_of_nfdump_are_opened(compression: int) -> None:
    data = b"".join(map(v3_record, PAIR))
    assert len(data) < 238
    read = read_flows(NFDUMP_READER, layout2([(2, PACKED[compression](data))], compression=compression))
    assert len(read.flows) == 2
    assert {flow["offset"] for flow in read.flows} == {40}  # the block stands for what is inside
    damaged = layout2([(2, b"\xff" * 40), (2, PACKED[compression](data))], compression=compression)
    read = read_flows(NFDUMP_READER, damaged)
    assert (len(read.flows), len(read.rejects)) == (2, 1)
    assert "cannot be unpacked" in read.rejects[0].reason


def test_layout_1_reads_extensions_in_the_order_of_their_map() -> None:
    extra = struct.pack("<HHBBBBI", 3, 4, 8, 1, 24, 16, int.from_bytes(bytes([192, 0, 2, 254]), "big"))
    records = [v1_map(9, (1, 2, 3, 4, 8, 23)), v1_record(GO, 9, extra), v1_record(GO.back(), 8)]
    read = read_flows(NFDUMP_READER, layout1(records))
    (flow,) = read.flows
    assert (flow["ingressInterface"], flow["egressInterface"], flow["exporter"]) == ("3", "4", "192.0.2.254")
    assert "extension map 8" in read.rejects[0].reason
    packed = bz2.compress(b"".join([records[0], records[1]]))
    assert len(read_flows(NFDUMP_READER, layout1(records[:2], flags=8, packed=packed)).flows) == 1


def test_a_block_cannot_unpack_without_end() -> None:
    bomb = bz2.compress(bytes(64 * 1024 * 1024))
    read = read_flows(NFDUMP_READER, layout2([(1, bomb)], compression=2))
    assert "more than" in read.rejects[0].reason
    with pytest.raises(DamagedLzoError, match="more than"):
        decompress(b"\x12a" + b"\x20" + b"\x00" * 4_000 + b"\x01\x00\x00", 100_000)


def test_domains_and_open_connections_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datagrams, "MOST_DOMAINS", 3)
    many = b"".join(ipfix([IPFIX_TEMPLATE, flowset(300, basic(GO, uptime=False))], domain=at) for at in range(5))
    read = read_flows(NETFLOW_READER, many)
    assert (len(read.flows), len(read.rejects)) == (3, 2)
    assert "observation domains" in read.rejects[0].reason
    monkeypatch.setattr(pairing, "MOST_OPEN", 2)
    lone = [Flow(low=port) for port in range(2_000, 2_010)]
    read = read_flows(NETFLOW_READER, v5(lone))
    assert len(read.connections) == 10
    assert any("closed early" in note for note in read.tally.notes)


def test_flows_inside_a_capture_stand_beside_its_packets() -> None:
    late = [v9([flowset(300, b"".join(basic(flow, uptime=True) for flow in PAIR))]), v9([V9_TEMPLATE], sequence=1)]
    frames = [
        (START + at, ethernet(udp("203.0.113.1", 5_000, "203.0.113.2", 2_055, data))) for at, data in enumerate(late)
    ]
    read = read_capture(pcap(frames))
    assert len(read.table("packet")) == 2
    flows = read.table("flow_record")
    assert [flow["exporter"] for flow in flows] == ["203.0.113.1"] * 2
    assert flows[0]["offset"] == read.table("packet")[0]["offset"]  # the packet it came in, not that of the template
    kinds = {row["service"]: row for row in read.table("zeek_conn")}
    assert set(kinds) == {"netflow-v9", None}
    assert kinds[None]["id.resp_p"] == "443"
    assert any("2 flow records" in note for note in read.tally.notes)


CSV = (
    "ts,te,td,sa,da,sp,dp,pr,flg,fwd,stos,ipkt,ibyt,opkt,obyt\n"
    "2023-11-14 22:13:11,2023-11-14 22:13:19,8.000,192.0.2.1,198.51.100.9,40000,443,TCP,...AP.SF,0,0,10,1000,0,0\n"
    "2023-11-14 22:13:11,2023-11-14 22:13:19,8.000,198.51.100.9,192.0.2.1,443,40000,TCP,...AP.SF,0,0,40,50000,0,0\n"
    "short,line\n"
    "Summary\nflows,bytes,packets,avg_bps,avg_pps,avg_bpp\n2,51000,50,1,1,1\n"
)
NEWER_CSV = (
    "firstSeen,duration,proto,srcAddr,srcPort,dstAddr,dstPort,packets,bytes,bps,bpp,flows\n"
    "2023-11-14 22:13:11.000,8.000,UDP,0.0.0.0,68,255.255.255.255,67,1,300,0,300,1\n"
    "2023-11-14 22:13:11.500,0.000,ICMP,192.0.2.1,0,192.0.2.2,8.0,1,84,0,84,1\n"
)
JSON = """[
{
\t"type" : "FLOW", "export_sysid" : 1, "first" : "2023-11-14T22:13:11.000", "last" : "2023-11-14T22:13:19.000",
\t"in_packets" : 10, "in_bytes" : 1000, "proto" : 6, "tcp_flags" : "...AP.SF", "src_port" : 40000,
\t"dst_port" : 443, "src4_addr" : "192.0.2.1", "dst4_addr" : "198.51.100.9", "out_packets" : 40,
\t"out_bytes" : 50000, "aggr_flows" : 2, "label" : "<none>"
}]
"""


def test_csv_and_json_of_nfdump_are_read_and_their_zone_is_said_to_be_assumed() -> None:
    for reader, text in ((NFDUMP_CSV, CSV), (NFDUMP_JSON, JSON)):
        assert identify(text.encode(), READERS).reader is reader
        read = read_flows(reader, text.encode())
        assert {row["orig_ip_bytes"] + "/" + row["resp_ip_bytes"] for row in read.connections} == {"1000/50000"}
        assert {flow["flags"] for flow in read.flows} == {"zone_assumed_utc"}
        assert read.flows[0]["time"].timestamp() == NOW - 9
    read = read_flows(NFDUMP_CSV, CSV.encode())
    assert (read.tally.records, read.tally.structure, read.rejects[0].record) == (3, 4, 4)
    line = "".join(JSON.strip()[1:-1].split("\n")).replace("\t", "") + "\n"
    assert identify((line * 3).encode(), READERS).reader is NFDUMP_JSON_LINES
    assert len(read_flows(NFDUMP_JSON_LINES, (line * 3).encode()).flows) == 3
    newer = read_flows(NFDUMP_CSV, NEWER_CSV.encode())
    assert identify(NEWER_CSV.encode(), READERS).reader is NFDUMP_CSV
    assert {(row["proto"], row["id.orig_p"]) for row in newer.connections} == {("udp", "68"), ("icmp", "8")}


SETS = st.one_of(
    st.builds(flowset, st.integers(0, 400), st.binary(max_size=80)),
    st.builds(
        lambda number, fields, scopes: flowset(3 if scopes else 2, template(number, fields, scopes=scopes or None)),
        st.integers(250, 310),
        st.lists(
            st.one_of(
                st.tuples(st.integers(0, 400), st.sampled_from((0, 1, 2, 4, 8, 16, 0xFFFF))),
                st.tuples(st.integers(0, 400), st.sampled_from((1, 4, 8, 0xFFFF)), st.sampled_from((29305, 9))),
            ),
            min_size=1,
            max_size=8,
        ),
        st.integers(0, 2),
    ),
    st.just(IPFIX_TEMPLATE),
    st.just(flowset(300, basic(GO, uptime=False) * 3)),
    st.binary(max_size=12),
)


@given(st.lists(st.tuples(st.sampled_from((ipfix, v9)), st.lists(SETS, max_size=5)), max_size=5), st.integers(0, 40))
def test_hostile_datagrams_are_counted_and_never_crash(messages, cut: int) -> None:
    content = b"".join(write(sets) for write, sets in messages)
    read_flows(NETFLOW_READER, content[: len(content) - cut])


GOOD = {
    NETFLOW_READER: v5(PAIR) + v9_of(*PAIR) + ipfix_of(*PAIR),
    NFDUMP_READER: layout2([(2, b"".join(map(v3_record, PAIR)))] * 2),
    NFDUMP_CSV: CSV.encode(),
    NFDUMP_JSON: JSON.encode(),
}


@given(
    st.sampled_from(sorted(GOOD, key=lambda reader: reader.format)),
    st.lists(st.tuples(st.integers(0, 2_000), st.integers(0, 255)), min_size=1, max_size=12),
    st.integers(0, 60),
)
def test_damaged_files_are_counted_and_never_crash(
    reader: ReaderSpec, changes: list[tuple[int, int]], cut: int
) -> None:
    content = bytearray(GOOD[reader])
    for place, value in changes:
        content[place % len(content)] = value
    read_flows(reader, bytes(content[: len(content) - cut]))


@given(st.binary(max_size=400))
def test_any_bytes_are_no_stream_of_lzo_or_one(data: bytes) -> None:
    with suppress(DamagedLzoError):
        assert len(decompress(data, 10_000)) <= 10_000 + 400


@pytest.fixture(scope="module")
def lsass(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real capture as classic pcap, and nfdump's own tools."""
    if not all(map(shutil.which, ("nfpcapd", "nfdump", "softflowd", "editcap"))):
        pytest.skip("nfdump, softflowd or editcap is not installed")
    folder = tmp_path_factory.mktemp("lsass")
    packed = shared_data / "otrf/compound/LSASS_campaign_01/metasploit_logonpasswords_lsass_memory_dump_pcapng.zip"
    shutil.unpack_archive(packed, folder)
    (found,) = folder.glob("*.pcapng")
    subprocess.run(["editcap", "-F", "pcap", found, folder / "x.pcap"], check=True, capture_output=True)
    return folder / "x.pcap"


def totals(rows: list[dict]) -> dict[tuple, list[int]]:
    """Packets and bytes of both directions by ends."""
    found: dict[tuple, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for row in rows:
        ends = tuple(row[name] for name in ("id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto"))
        for at, name in enumerate(("orig_pkts", "resp_pkts", "orig_ip_bytes", "resp_ip_bytes")):
            found[ends][at] += int(row[name] or 0)
    return dict(found)


def one_sided(read: ReadFlows) -> dict[tuple, list[int]]:
    """Totals without NTP between ports 123: CSV has whole seconds, which do not say who began that."""
    return {ends: said for ends, said in totals(read.connections).items() if ends[1] != ends[3]}


def test_flows_that_nfdump_made_of_a_capture_say_what_the_reader_of_packets_says(lsass: Path, tmp_path: Path) -> None:
    subprocess.run(["nfpcapd", "-r", lsass, "-l", tmp_path], check=True, capture_output=True)
    files = sorted(tmp_path.glob("nfcapd.*"))
    read = [read_flows(NFDUMP_READER, path.read_bytes()) for path in files]
    packets = totals(read_capture(lsass.read_bytes()).table("zeek_conn"))
    assert totals([row for one in read for row in one.connections]) == packets
    for path in files:
        plain = read_flows(NFDUMP_READER, path.read_bytes())
        for letter in "zyj":  # LZO, LZ4, bzip2
            subprocess.run(
                ["nfdump", "-r", path, f"-{letter}", "-w", tmp_path / "packed"], check=True, capture_output=True
            )
            again = read_flows(NFDUMP_READER, (tmp_path / "packed").read_bytes())
            assert [flow["octetDeltaCount"] for flow in again.flows] == [
                flow["octetDeltaCount"] for flow in plain.flows
            ]
        for form, reader in (("csv", NFDUMP_CSV), ("json", NFDUMP_JSON)):
            out = subprocess.run(["nfdump", "-r", path, "-o", form], check=True, capture_output=True, env={"TZ": "UTC"})
            assert one_sided(read_flows(reader, out.stdout)) == one_sided(plain)


@pytest.mark.parametrize("version", ["5", "9", "10"])
def test_datagrams_of_softflowd_say_what_nfdump_reads_in_them(lsass: Path, tmp_path: Path, version: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(3)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        port = listener.getsockname()[1]
        given = ["softflowd", "-r", str(lsass), "-n", f"127.0.0.1:{port}", "-v", version, "-d", "-D"]
        sender = threading.Thread(target=lambda: subprocess.run(given, check=False, capture_output=True))
        sender.start()
        parts = []
        try:
            while True:
                parts.append(listener.recv(65_535))
        except TimeoutError:
            sender.join()
    read = read_flows(NETFLOW_READER, b"".join(parts))
    assert not read.rejects
    assert len(read.flows) == (215 if version == "5" else 223)  # v5 has no IPv6
    packets = totals(read_capture(lsass.read_bytes()).table("zeek_conn"))
    flows = totals(read.connections)
    turned = {(*ends[2:4], *ends[:2], ends[4]) for ends in flows}
    if version != "5":
        assert set(packets) <= set(flows) | turned
    same = [ends for ends in flows if ends in packets]
    assert len(same) >= len(flows) - 2  # NTP between ports 123 has no side that asks
    assert all(flows[ends][:2] == packets[ends][:2] for ends in same)  # packets; its bytes count Ethernet's padding
