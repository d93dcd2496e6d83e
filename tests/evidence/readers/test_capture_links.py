"""Captures of other links than Ethernet, and what travels inside datagrams: the same question is read from each."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packet_writing import START, ethernet, ip, pcap, read_capture, udp

from casemate.evidence.readers.packets.wireless import WIRELESS, ethernet_frames

A, B = "10.0.0.1", "10.0.0.2"
QUESTION = struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0) + b"\x03www\x07example\x03org\x00" + struct.pack(">HH", 1, 1)
ASKED = udp(A, 4000, B, 53, QUESTION)
ASKED_6 = udp("fd00::1", 4000, "fd00::2", 53, QUESTION)
SNAP = b"\xaa\xaa\x03\x00\x00\x00"
IEEE_802_11, PRISM, RADIOTAP, AVS, PPI = 105, 119, 127, 163, 192


def wireless(packet: bytes = ASKED, *, control: int = 0x08, flags: int = 1, sequence: int = 0x10, extra: bytes = b""):
    """A data frame of a station to its access point."""
    head = bytes([control, flags, 0, 0]) + bytes(18) + struct.pack("<H", sequence) + extra
    kind = b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\x00"
    return head + SNAP + kind + packet


def radiotap(frame: bytes, *, flags: int | None = None, clock: bool = False, more: int = 0) -> bytes:
    present = (1 if clock else 0) | (2 if flags is not None else 0)
    words = [present | (0x80000000 if more else 0)]
    words += [0x80000000 if number + 1 < more else 0 for number in range(more)]
    head = b"".join(struct.pack("<I", word) for word in words)
    if clock:
        head += bytes(-(4 + len(head)) % 8) + bytes(8)
    head += b"" if flags is None else bytes([flags])
    return struct.pack("<BBH", 0, 0, 4 + len(head)) + head + frame


def aggregated(*packets: bytes) -> bytes:
    parts = b""
    for packet in packets:
        content = SNAP + b"\x08\x00" + packet
        parts += bytes(12) + struct.pack(">H", len(content)) + content
        parts += bytes(-len(parts) % 4)
    return bytes([0x88, 1, 0, 0]) + bytes(20) + b"\x80\x00" + parts


CHECKSUM = b"\x11\x22\x33\x44"
LINKS = {
    "802.11": (IEEE_802_11, wireless()),
    "802.11 with quality of service": (IEEE_802_11, wireless(control=0x88, extra=b"\x00\x00")),
    "802.11 with high throughput": (IEEE_802_11, wireless(control=0x88, flags=0x81, extra=bytes(6))),
    "802.11 between access points": (IEEE_802_11, wireless(flags=3, extra=bytes(6))),
    "802.11 from the access point": (IEEE_802_11, wireless(flags=2)),
    "802.11 of IPv6": (IEEE_802_11, wireless(ASKED_6)),
    "802.11 with its checksum": (IEEE_802_11, wireless() + CHECKSUM),
    "radiotap": (RADIOTAP, radiotap(wireless())),
    "radiotap with time and flags": (RADIOTAP, radiotap(wireless() + CHECKSUM, flags=0x10, clock=True)),
    "radiotap of several words": (RADIOTAP, radiotap(wireless(), flags=0x10, clock=True, more=3)),
    "radiotap with padding": (
        RADIOTAP, radiotap(wireless(control=0x88, extra=b"\x00\x00\x00\x00"), flags=0x20)
    ),
    "information per packet": (PPI, struct.pack("<BBHI", 0, 0, 12, 105) + bytes(4) + wireless()),
    "Prism": (PRISM, struct.pack("<II", 0x44, 144) + bytes(136) + wireless()),
    "Prism of the other byte order": (PRISM, struct.pack(">II", 0x44, 144) + bytes(136) + wireless()),
    "AVS": (AVS, struct.pack(">II", 0x80211001, 64) + bytes(56) + wireless()),
    "AVS on Prism's link": (PRISM, struct.pack(">II", 0x80211001, 64) + bytes(56) + wireless()),
    "Ethernet with LLC": (1, bytes(12) + struct.pack(">H", 8 + len(ASKED)) + SNAP + b"\x08\x00" + ASKED),
    "Ethernet of a label switch": (1, bytes(12) + b"\x88\x47" + b"\x00\x01\x01\x40" + ASKED),
    "PPP": (9, b"\x00\x21" + ASKED),
    "PPP with addresses": (9, b"\xff\x03\x00\x21" + ASKED),
    "PPP of a short protocol": (9, b"\x57" + ASKED_6),
    "PPP of a line": (50, b"\xff\x03\x00\x57" + ASKED_6),
    "Cisco HDLC on such a line": (50, b"\x0f\x00\x08\x00" + ASKED),
    "PPP over Ethernet": (51, b"\x11\x00\x00\x01\x00\x10\x00\x21" + ASKED),
    "PPP of pppd": (166, b"\x01\x03\x00\x21" + ASKED),
    "PPP with direction": (204, b"\x01\xff\x03\x00\x21" + ASKED),
    "Cisco HDLC": (104, b"\x0f\x00\x08\x00" + ASKED),
    "enc": (109, struct.pack("<III", 2, 0, 0) + ASKED),
    "PFLOG": (117, bytes([61, 2]) + bytes(62) + ASKED),
    "NFLOG": (239, b"\x02\x00\x00\x00" + struct.pack("<HHIHH", 8, 1, 0, 4 + len(ASKED), 9) + ASKED),
    "BSD loopback": (108, b"\x00\x00\x00\x02" + ASKED),
}  # fmt: skip


@pytest.mark.parametrize("name", LINKS)
def test_the_same_question_is_read_from_each_link(name):
    link, frame = LINKS[name]
    assert read_capture(pcap([(START, frame)], link=link)).one("zeek_dns")["query"] == "www.example.org"


def test_all_packets_of_an_aggregated_frame_are_read_and_it_counts_once():
    other = udp(A, 4001, B, 53, QUESTION)
    read = read_capture(pcap([(START, aggregated(ASKED, other, ASKED_6))], link=IEEE_802_11))
    assert len(read.table("packet")) == 1
    assert [row["id.orig_p"] for row in read.table("zeek_dns")] == ["4000", "4001"]


NOT_READ = {
    "encrypted 802.11 frame": wireless(flags=0x41),
    "802.11 frame without data": wireless(control=0x80),
    "piece of an 802.11 frame": wireless(sequence=0x11),
    "no valid 802.11 header": wireless(control=0x09),
    "cut before its addresses": wireless()[:20],
    "not IP": wireless().replace(SNAP, b"\x42\x42\x03\x00\x00\x00"),
}


@pytest.mark.parametrize("reason", NOT_READ)
def test_what_cannot_be_read_in_the_air_is_kept_and_told(reason):
    read = read_capture(pcap([(START, NOT_READ[reason])], link=IEEE_802_11))
    assert (len(read.table("packet")), read.table("zeek_conn")) == (1, [])
    assert any(reason in note for note in read.tally.notes)


def test_a_frame_that_arrived_damaged_is_told():
    read = read_capture(pcap([(START, radiotap(wireless(), flags=0x40))], link=RADIOTAP))
    assert any("damaged 802.11 frame" in note for note in read.tally.notes)


@given(st.sampled_from(sorted(WIRELESS)), st.binary(max_size=200))
@settings(max_examples=300)
def test_no_bytes_of_a_card_stop_the_reader(link, data):
    frames = ethernet_frames(link, data)
    assert isinstance(frames, str) or sum(len(frame) for frame in frames) <= len(data) + 14
    read_capture(pcap([(START, data)], link=link))


@given(st.sampled_from(sorted(LINKS)), st.data())
@settings(max_examples=300)
def test_damaged_headers_of_any_link_are_accounted_for(name, data):
    link, frame = LINKS[name]
    changed = bytearray(frame)
    for _ in range(data.draw(st.integers(1, 6))):
        changed[data.draw(st.integers(0, min(80, len(changed) - 1)))] = data.draw(st.integers(0, 255))
    read_capture(pcap([(START, bytes(changed[: data.draw(st.integers(0, len(changed)))]))], link=link))


@given(st.binary(max_size=400))
@settings(max_examples=100)
def test_an_aggregated_frame_of_any_parts_gives_no_more_than_it_holds(parts):
    frames = ethernet_frames(IEEE_802_11, aggregated() + parts)
    assert isinstance(frames, str) or sum(map(len, frames)) <= len(parts) + 14 * len(frames)


# Overlays


def overlay(port: int, header: bytes, inner: bytes) -> bytes:
    return pcap([(START, ethernet(udp("192.0.2.1", 50_000, "192.0.2.2", port, header + inner)))])


VXLAN, GENEVE = b"\x08\x00\x00\x00\x00\x00\x07\x00", b"\x01\x00\x65\x58\x00\x00\x07\x00" + bytes(4)
CARRIED = {
    "vxlan": overlay(4789, VXLAN, ethernet(ASKED)),
    "geneve": overlay(6081, GENEVE, ethernet(ASKED)),
}


@pytest.mark.parametrize("name", CARRIED)
def test_an_overlay_counts_as_a_connection_and_what_it_carries_is_read(name):
    read = read_capture(CARRIED[name])
    seen = {(row["id.orig_h"], row["service"]) for row in read.table("zeek_conn")}
    assert seen == {("192.0.2.1", name), (A, "dns")}
    assert len(read.table("packet")) == 1


@pytest.mark.parametrize(
    "content",
    [
        overlay(4789, b"\x00" + VXLAN[1:], ethernet(ASKED)),
        overlay(4789, VXLAN, b"not a frame at all, some other program's words"),
        overlay(4789, VXLAN, ethernet(ASKED)[:-4]),
        overlay(6081, b"\xc1" + GENEVE[1:], ethernet(ASKED)),
        overlay(4790, VXLAN, ethernet(ASKED)),
    ],
    ids=["without its flag", "of other words", "cut inside", "of another version", "on another port"],
)
def test_what_only_looks_like_an_overlay_is_one_datagram(content):
    read = read_capture(content)
    assert read.one("zeek_conn")["id.orig_h"] == "192.0.2.1"
    assert read.table("zeek_dns") == []


def test_what_a_switch_copies_through_a_tunnel_is_read():
    inner = ethernet(ASKED)
    for payload in (
        b"\x00\x00\x88\xbe" + inner,
        b"\x10\x00\x88\xbe" + bytes(4) + bytes(8) + inner,
        b"\x10\x00\x22\xeb" + bytes(4) + bytes(12) + inner,
    ):
        read = read_capture(pcap([(START, ethernet(ip("192.0.2.1", "192.0.2.2", 47, payload)))]))
        assert read.one("zeek_dns")["id.orig_h"] == A
