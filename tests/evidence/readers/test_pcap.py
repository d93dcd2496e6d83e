"""What the reader of packet captures owes: every packet counted, connections and protocols as Zeek tells them."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
from collections import Counter
from datetime import UTC, datetime
from ipaddress import ip_address
from itertools import pairwise

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st
from packet_writing import (
    ACK,
    FIN,
    PUSH,
    RST,
    START,
    SYN,
    Talk,
    capture,
    ethernet,
    ip,
    pcap,
    pcapng,
    read_capture,
    tcp,
    udp,
)

from casemate.evidence.identify import identify
from casemate.evidence.readers import READERS
from casemate.evidence.readers.packets.capture import Framing, Packet, read_packets
from casemate.evidence.readers.packets.connections import community_id
from casemate.evidence.readers.packets.layers import network_layer
from casemate.evidence.readers.packets.protocols.certificates import values_of
from casemate.evidence.readers.packets.protocols.tls import ja4

A, B = "10.0.0.1", "10.0.0.2"
QUESTION = struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0) + b"\x03www\x07example\x03org\x00" + struct.pack(">HH", 1, 1)
ANSWER = (
    struct.pack(">HHHHHH", 7, 0x8180, 1, 1, 0, 0)
    + QUESTION[12:]
    + b"\xc0\x0c"
    + struct.pack(">HHIH", 1, 1, 60, 4)
    + bytes([192, 0, 2, 9])
)
REQUEST = b"GET /a?b=c HTTP/1.1\r\nHost: www.example.org:8080\r\nUser-Agent: probe/1\r\n\r\n"
REPLY = b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nnone\n"
ONE = [(START, ethernet(udp(A, 4000, B, 53, QUESTION))), (START + 2500, ethernet(udp(B, 53, A, 4000, ANSWER)))]


def http(**changes) -> Talk:
    return Talk(A, 4000, B, 8080, [(True, REQUEST, 0), (False, REPLY, START + 1000)], **changes)


@pytest.mark.parametrize(
    "content",
    [
        pcap(ONE),
        pcap(ONE, order=">"),
        pcap(ONE, nano=True),
        pcap(ONE, nano=True, order=">"),
        pcapng(ONE),
        pcapng(ONE, order=">", exponent=6),
    ],
    ids=["little", "big", "nano", "nano big", "next generation", "next generation big"],
)
def test_each_form_of_capture_gives_the_same_records(content):
    read = read_capture(content)
    assert [row["record"] for row in read.table("packet")] == [1, 2]
    dns = read.one("zeek_dns")
    assert (dns["query"], dns["qtype_name"], dns["rcode_name"], dns["answers"]) == (
        "www.example.org",
        "A",
        "NOERROR",
        "192.0.2.9",
    )
    assert dns["rtt"] == "0.002500"
    assert dns["time"].timestamp() == START / 1e6
    assert identify(content, READERS).format in ("pcap", "pcapng")


def test_an_address_prints_the_packet_it_names():
    content = pcap(ONE)
    for row, (_, frame) in zip(read_capture(content).table("packet"), ONE, strict=True):
        assert content[row["offset"] : row["offset"] + row["length"]] == frame


@pytest.mark.parametrize(
    ("link", "frame"),
    [
        (101, udp(A, 1, B, 53, QUESTION)),
        (0, b"\x02\x00\x00\x00" + udp(A, 1, B, 53, QUESTION)),
        (0, b"\x00\x00\x00\x1e" + udp("fd00::1", 1, "fd00::2", 53, QUESTION)),
        (113, bytes(14) + b"\x08\x00" + udp(A, 1, B, 53, QUESTION)),
        (276, b"\x08\x00" + bytes(18) + udp(A, 1, B, 53, QUESTION)),
        (1, ethernet(udp(A, 1, B, 53, QUESTION), vlans=(5, 6))),
        (
            1,
            ethernet(
                ip("fd00::1", "fd00::2", 0, b"\x11\x00" + bytes(6) + udp("fd00::1", 1, "fd00::2", 53, QUESTION)[40:])
            ),
        ),
    ],
    ids=["raw", "null", "null big endian v6", "cooked", "cooked 2", "stacked vlan", "v6 with an extension header"],
)
def test_each_link_type_is_read(link, frame):
    assert read_capture(pcap([(START, frame)], link=link)).one("zeek_dns")["query"] == "www.example.org"


def test_vlan_tags_stand_in_the_connection():
    read = read_capture(pcap([(START, ethernet(udp(A, 1, B, 53, QUESTION), vlans=(5, 6)))]))
    assert (read.one("zeek_conn")["vlan"], read.one("zeek_conn")["inner_vlan"]) == ("5", "6")


def test_what_is_inside_a_tunnel_is_read():
    inner = udp(A, 4000, B, 53, QUESTION)
    for protocol, payload in ((4, inner), (47, b"\x00\x00\x08\x00" + inner)):
        read = read_capture(pcap([(START, ethernet(ip("192.0.2.1", "192.0.2.2", protocol, payload)))]))
        assert read.one("zeek_dns")["id.orig_h"] == A


def test_fragments_become_one_datagram():
    whole = udp(A, 4000, B, 53, QUESTION)[20:]
    pieces = [ip(A, B, 17, whole[:16], fragment=0x2000), ip(A, B, 17, whole[16:], fragment=2)]
    for order in (pieces, pieces[::-1]):
        read = read_capture(pcap([(START, ethernet(piece)) for piece in order]))
        assert read.one("zeek_dns")["query"] == "www.example.org"
        assert read.kept == 2
    assert "never became whole" in " ".join(read_capture(pcap([(START, ethernet(pieces[1]))])).tally.notes)


def test_a_file_that_was_cut_says_so_and_keeps_the_rest():
    content = pcap(ONE)
    for cut in (len(content) - 3, len(content) - len(ONE[1][1]) - 5):
        read = read_capture(content[:cut])
        assert read.kept == 1
        (reject,) = read.rejects
        assert reject.record == 2
        assert "the file ends inside" in reject.reason
    assert len(read_capture(pcapng(ONE)[:-9]).rejects) == 1


def test_a_length_that_cannot_be_is_rejected_with_its_place():
    content = bytearray(pcap(ONE))
    content[24 + 8 : 24 + 12] = b"\xff\xff\xff\x7f"
    (reject,) = read_capture(bytes(content)).rejects
    assert (reject.record, reject.offset, reject.length) == (1, 24, len(content) - 24)


def test_a_connection_from_begin_to_end():
    read = read_capture(capture([http()]))
    conn = read.one("zeek_conn")
    assert (conn["conn_state"], conn["history"], conn["service"]) == ("SF", "ShADdFf", "http")
    assert (conn["orig_bytes"], conn["resp_bytes"]) == (str(len(REQUEST)), str(len(REPLY)))
    assert conn["record"] == 1
    web = read.one("zeek_http")
    assert (web["method"], web["host"], web["uri"], web["user_agent"]) == (
        "GET",
        "www.example.org",
        "/a?b=c",
        "probe/1",
    )
    assert (web["status_code"], web["status_msg"], web["response_body_len"]) == ("404", "Not Found", "5")
    assert web["uid"] == conn["uid"]
    assert web["record"] == 4  # the packet the request began in


def states(*segments: tuple[bool, int, bytes]) -> tuple[str, str]:
    packets, mine, theirs = [], 1000, 5000
    for originator, flags, data in segments:
        used = len(data) + bool(flags & (SYN | FIN))
        if originator:
            packets.append(tcp(A, 4000, B, 9, mine, theirs, flags, data))
            mine += used
        else:
            packets.append(tcp(B, 9, A, 4000, theirs, mine, flags, data))
            theirs += used
    read = read_capture(pcap([(START + index, ethernet(packet)) for index, packet in enumerate(packets)]))
    return read.one("zeek_conn")["conn_state"], read.one("zeek_conn")["history"]


SHAKE = ((True, SYN, b""), (False, SYN | ACK, b""), (True, ACK, b""))


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        (((True, SYN, b""),), ("S0", "S")),
        (((True, SYN, b""), (False, RST | ACK, b"")), ("REJ", "Sr")),
        (((True, SYN, b""), (False, SYN | ACK, b""), (True, RST, b"")), ("RSTO", "ShR")),
        (((True, SYN, b""), (True, RST, b"")), ("RSTOS0", "SR")),
        (((True, SYN, b""), (True, FIN, b"")), ("SH", "SF")),
        (((False, SYN | ACK, b""), (False, RST, b"")), ("RSTRH", "^hr")),
        (((False, SYN | ACK, b""), (False, FIN | ACK, b"")), ("SHR", "^hf")),
        (SHAKE, ("S1", "ShA")),
        ((*SHAKE, (True, FIN | ACK, b"")), ("S2", "ShAF")),
        ((*SHAKE, (False, FIN | ACK, b"")), ("S3", "ShAf")),
        ((*SHAKE, (False, RST | ACK, b"")), ("RSTR", "ShAr")),
        ((*SHAKE, (True, FIN | ACK, b""), (False, FIN | ACK, b""), (True, ACK, b"")), ("SF", "ShAFf")),
        (((True, ACK, b"middle"), (False, ACK, b"")), ("OTH", "Da")),
    ],
)
def test_states_and_histories_are_those_of_zeek(segments, expected):
    assert states(*segments) == expected


@pytest.mark.parametrize("segment", [1, 7, 60, 2000])
def test_segments_of_any_size_give_the_same_request(segment):
    assert read_capture(capture([http(segment=segment)])).one("zeek_http")["uri"] == "/a?b=c"


def shuffled(order: list[int], pieces: list[tuple[int, bytes]]) -> bytes:
    packets = [tcp(A, 4000, B, 80, 1000, 0, SYN), tcp(B, 80, A, 4000, 5000, 1001, SYN | ACK)]
    packets += [tcp(A, 4000, B, 80, 1001 + pieces[at][0], 5001, ACK | PUSH, pieces[at][1]) for at in order]
    packets.append(tcp(B, 80, A, 4000, 5001, 1001 + len(REQUEST), ACK | PUSH, REPLY))
    return pcap([(START + index, ethernet(packet)) for index, packet in enumerate(packets)])


@given(st.data())
@settings(max_examples=40)
def test_order_and_repetition_of_segments_do_not_matter(data):
    cuts = sorted(data.draw(st.sets(st.integers(1, len(REQUEST) - 1), max_size=6)))
    bounds = [0, *cuts, len(REQUEST)]
    pieces = [(low, REQUEST[low:high]) for low, high in pairwise(bounds)]
    indexes = list(range(len(pieces)))
    order = data.draw(st.permutations(indexes + data.draw(st.lists(st.sampled_from(indexes), max_size=4))))
    read = read_capture(shuffled(order, pieces))
    assert read.one("zeek_http")["uri"] == "/a?b=c"
    assert read.one("zeek_conn")["missed_bytes"] == "0"


def test_where_segments_contradict_each_other_the_first_bytes_stay():
    pieces = [(0, REQUEST[:4]), (4, b"/evil HTTP/1.1\r\n\r\n"), (4, REQUEST[4:])]
    later = shuffled([2, 1, 0], pieces)
    read = read_capture(later)
    assert read.one("zeek_http")["uri"] == "/a?b=c"
    assert "other bytes" in " ".join(read.tally.notes)


def test_what_was_acknowledged_and_never_seen_is_a_gap():
    pieces = [(0, REQUEST[:10]), (20, REQUEST[20:])]
    conn = read_capture(shuffled([0, 1], pieces)).one("zeek_conn")
    assert conn["missed_bytes"] == "10"
    assert "G" in conn["history"] or "g" in conn["history"]


def test_a_packet_cut_by_the_snap_length_is_kept_and_told():
    content = bytearray(pcap([(START, ethernet(udp(A, 4000, B, 53, QUESTION))[:60])]))
    struct.pack_into("<I", content, 36, 75)
    read = read_capture(bytes(content))
    assert read.kept == 1
    assert "in part" in " ".join(read.tally.notes)


def test_several_events_of_one_packet_have_addresses_of_their_own():
    talk = Talk(A, 4000, B, 80, [(True, REQUEST * 3, 0), (False, REPLY * 3, 0)])
    rows = read_capture(capture([talk])).table("zeek_http")
    assert [row["record"] for row in rows] == [4, 10**12 + 4, 2 * 10**12 + 4]
    assert len({(row["offset"], row["length"]) for row in rows}) == 1


def hello(*, name: bytes = b"c.example") -> bytes:
    extensions = [
        (0, struct.pack(">HBH", len(name) + 3, 0, len(name)) + name),
        (0x2A2A, b""),
        (10, struct.pack(">HHH", 4, 0x001D, 0x0017)),
        (11, b"\x01\x00"),
        (13, struct.pack(">HHH", 4, 0x0403, 0x0804)),
        (16, struct.pack(">HB", 3, 2) + b"h2"),
        (43, struct.pack(">BHH", 4, 0x0304, 0x0303)),
    ]
    packed = b"".join(struct.pack(">HH", kind, len(value)) + value for kind, value in extensions)
    ciphers = struct.pack(">HHH", 0x1301, 0x0A0A, 0xC02F)
    body = b"\x03\x03" + bytes(32) + b"\x00" + struct.pack(">H", len(ciphers)) + ciphers + b"\x01\x00"
    body += struct.pack(">H", len(packed)) + packed
    return b"\x16\x03\x01" + struct.pack(">H", len(body) + 4) + b"\x01" + len(body).to_bytes(3, "big") + body


def test_tls_tells_name_version_and_fingerprints():
    body = b"\x03\x03" + bytes(32) + b"\x00\x13\x01\x00" + struct.pack(">HHHH", 6, 43, 2, 0x0304)
    answer = b"\x16\x03\x03" + struct.pack(">H", len(body) + 4) + b"\x02" + len(body).to_bytes(3, "big") + body
    data = b"\x17\x03\x03\x00\x05hello"
    talk = Talk(A, 4000, B, 443, [(True, hello(), 0), (False, answer + data, 0), (True, data, 0)], segment=37)
    ssl = read_capture(capture([talk])).one("zeek_ssl")
    assert (ssl["server_name"], ssl["version"], ssl["cipher"], ssl["established"]) == (
        "c.example",
        "TLSv13",
        "TLS_AES_128_GCM_SHA256",
        "true",
    )
    assert ssl["ja4"].startswith("t13d0206h2_")
    assert len(ssl["ja3"]) == len(ssl["ja3s"]) == 32


def test_ja4_of_the_published_example():
    ciphers = "1301 1302 1303 c02b c02f c02c c030 cca9 cca8 c013 c014 009c 009d 002f 0035"
    extensions = "001b 0000 0033 0010 4469 0017 002d 000d 0005 0023 0012 002b ff01 000b 000a 0015"
    algorithms = "0403 0804 0401 0503 0805 0501 0806 0601"

    def numbers(text: str) -> list[int]:
        return [int(one, 16) for one in text.split()]

    said = ja4(0x0303, [0x0304, 0x0303], numbers(ciphers), numbers(extensions), [b"h2"], numbers(algorithms))
    assert said == "t13d1516h2_8daaf6152771_e5627efa2ab1"


def test_community_id_of_the_published_example():
    pair = (bytes([128, 232, 110, 120]), bytes([66, 35, 250, 204]))
    assert community_id(pair, (34855, 80), 6) == "1:LQU9qZlK+B5F3KDmev6m5PMibrg="
    assert community_id((pair[1], pair[0]), (80, 34855), 6) == "1:LQU9qZlK+B5F3KDmev6m5PMibrg="


def test_ssh_and_rdp_tell_who_asks():
    ssh = Talk(A, 4000, B, 22, [(False, b"SSH-2.0-OpenSSH_9.6\r\n", 0), (True, b"SSH-2.0-Go\r\n", 0)])
    cookie = b"Cookie: mstshash=alice\r\n"
    request = b"\x03\x00" + struct.pack(">H", 11 + len(cookie)) + bytes([6 + len(cookie), 0xE0, 0, 0, 0, 0, 0]) + cookie
    answer = b"\x03\x00\x00\x13\x0e\xd0\x00\x00\x12\x34\x00" + struct.pack("<BBHI", 2, 0, 8, 2)
    rdp = Talk(A, 4001, B, 3389, [(True, request, 0), (False, answer, 0)], begun=START + 10)
    read = read_capture(capture([ssh, rdp]))
    assert (read.one("zeek_ssh")["client"], read.one("zeek_ssh")["server"]) == ("SSH-2.0-Go", "SSH-2.0-OpenSSH_9.6")
    assert (read.one("zeek_rdp")["cookie"], read.one("zeek_rdp")["security_protocol"]) == ("alice", "HYBRID")


@given(st.data())
@settings(max_examples=60)
def test_damaged_captures_are_accounted_for(data):
    content = bytearray((pcapng if data.draw(st.booleans()) else pcap)([*ONE, *http().packets()]))
    for _ in range(data.draw(st.integers(1, 12))):
        content[data.draw(st.integers(24, len(content) - 1))] = data.draw(st.integers(0, 255))
    read_capture(bytes(content[: data.draw(st.integers(24, len(content)))]))


@given(st.binary(max_size=300), st.sampled_from([80, 443, 445, 22, 3389, 135, 53, 88]), st.booleans())
@settings(max_examples=150)
def test_no_bytes_of_a_conversation_stop_the_reader(data, port, originator):
    heads = {
        80: REQUEST,
        443: hello(),
        445: b"\x00\x00\x00\x40\xffSMB",
        22: b"SSH-2.0-x\r\n",
        53: QUESTION,
        135: b"\x05\x00\x0b\x03\x10\x00\x00\x00",
    }
    talk = Talk(A, 4000, B, port, [(originator, heads.get(port, b"") + data, 0), (not originator, data, 0)])
    assert read_capture(capture([talk])).one("zeek_conn")["conn_state"] == "SF"


def good_checksum(packet: Packet) -> bool:
    """Whether Zeek would have taken the packet: the capturing host left checksums of what it sent to its card."""
    found = network_layer(packet.link, packet.data)
    if isinstance(found, str) or found.cut or found.protocol not in (6, 17):
        return True
    head = found.source + found.target
    size = len(found.payload)
    head += (
        struct.pack(">HH", found.protocol, size) if len(found.source) == 4 else struct.pack(">II", size, found.protocol)
    )
    data = head + found.payload + bytes(size % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total == 0xFFFF or (found.protocol == 17 and found.payload[6:8] == b"\x00\x00")


def test_connections_are_those_zeek_saw_in_the_same_capture(shared_data):
    folder = shared_data / "otrf/compound/LSASS_campaign_01"
    with zipfile.ZipFile(folder / "metasploit_logonpasswords_lsass_memory_dump_pcapng.zip") as packed:
        content = packed.read(packed.namelist()[0])
    with zipfile.ZipFile(folder / "metasploit_logonpasswords_lsass_memory_dump_zeek_logs.zip") as packed:
        lines = packed.read("conn.log").decode().splitlines()
        domain = [line for line in packed.read("dns.log").decode().splitlines() if not line.startswith("#")]
    fields = next(line for line in lines if line.startswith("#fields")).split("\t")[1:]
    zeek = [dict(zip(fields, line.split("\t"), strict=True)) for line in lines if not line.startswith("#")]
    taken = [packet for packet in read_packets(io.BytesIO(content), Framing()) if isinstance(packet, Packet)]
    ours = read_capture(pcap([(packet.time or 0, packet.data) for packet in taken if good_checksum(packet)]))
    names = ("id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p")
    conns = {tuple(row[name] for name in names): row for row in ours.table("zeek_conn")}
    assert len(zeek) == 112
    seen = [
        (row, conns[tuple(row[name] for name in names)]) for row in zeek if tuple(row[name] for name in names) in conns
    ]
    assert len(seen) >= 110  # the others are answers whose question Zeek counted apart
    assert len(ours.table("zeek_dns")) == len(domain)
    agree = Counter()
    for row, own in seen:
        agree["state"] += row["conn_state"] == own["conn_state"]
        agree["history"] += row["history"] == (own["history"] or "-")
        if row["service"] != "-":  # Zeek names none where only one side has good checksums; GSSAPI it names apart
            assert own["service"]
            assert set(own["service"].split(",")) <= set(row["service"].split(","))
            agree["service"] += 1
        agree["bytes"] += row["resp_bytes"] in ("-", own["resp_bytes"]) and row["orig_bytes"] in (
            "-",
            own["orig_bytes"],
        )
    assert agree["state"] >= 105, agree
    assert agree["history"] >= 105, agree
    assert agree["bytes"] >= 105, agree
    assert agree["service"] >= 60, agree


def test_certificates_are_those_zeek_saw_in_the_same_capture(shared_data):
    folder = shared_data / "otrf/compound/LSASS_campaign_01"
    with zipfile.ZipFile(folder / "metasploit_logonpasswords_lsass_memory_dump_pcapng.zip") as packed:
        ours = read_capture(packed.read(packed.namelist()[0]))
    with zipfile.ZipFile(folder / "metasploit_logonpasswords_lsass_memory_dump_zeek_logs.zip") as packed:
        lines = packed.read("x509.log").decode().splitlines()
    fields = next(line for line in lines if line.startswith("#fields")).split("\t")[1:]
    (zeek,) = [dict(zip(fields, line.split("\t"), strict=True)) for line in lines if not line.startswith("#")]
    own = ours.table("zeek_x509")[0]
    truth = {"T": "true", "F": "false", "-": None}
    for name in fields:
        if name.startswith("certificate.not_valid"):  # Zeek took its own zone for that of the certificate
            assert (float(own[name]) - float(zeek[name])) % 3600 == 0
        else:
            assert own[name] == truth.get(zeek[name], zeek[name]), name
    handshakes = {row["uid"]: row for row in ours.table("zeek_ssl")}
    assert {row["subject"] for row in handshakes.values()} - {None} == {zeek["certificate.subject"]}


def test_a_certificate_says_what_openssl_says_of_it():
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COUNTRY_NAME, "XX"), x509.NameAttribute(NameOID.COMMON_NAME, "c2")])
    begin, end = datetime(2024, 2, 29, 1, 2, 3, tzinfo=UTC), datetime(2034, 1, 1, tzinfo=UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("a.example.org"), x509.IPAddress(ip_address("192.0.2.7"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(0xABC)
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )
    assert values_of(made) == {
        "fingerprint": hashlib.sha256(made).hexdigest(),
        "certificate.version": "3",
        "certificate.serial": "0ABC",
        "certificate.subject": "CN=c2,C=XX",
        "certificate.issuer": "CN=c2,C=XX",
        "certificate.not_valid_before": f"{begin.timestamp():.6f}",
        "certificate.not_valid_after": f"{end.timestamp():.6f}",
        "certificate.sig_alg": "ecdsa-with-SHA256",
        "certificate.key_alg": "id-ecPublicKey",
        "certificate.key_type": "ecdsa",
        "certificate.key_length": "256",
        "certificate.curve": "prime256v1",
        "san.dns": "a.example.org",
        "san.uri": None,
        "san.email": None,
        "san.ip": "192.0.2.7",
        "basic_constraints.ca": "true",
        "basic_constraints.path_len": "1",
    }
    broken = values_of(made[:-20])
    assert set(broken) == {"fingerprint", "unreadable"}
    for place in range(0, len(made), 7):
        changed = bytearray(made)
        changed[place] ^= 0x5A
        assert values_of(bytes(changed))["fingerprint"]


@given(st.binary(max_size=200))
def test_any_bytes_have_a_fingerprint(data: bytes):
    assert values_of(data)["fingerprint"] == hashlib.sha256(data).hexdigest()
