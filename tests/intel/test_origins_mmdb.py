"""MMDB files: every network of the layouts in use, and damaged files refused."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.errors import BadInput, CasemateError
from casemate.intel.origins_blocks import BlockBuilder, Facts, block_text, parse_block
from casemate.intel.origins_formats import read_file
from casemate.intel.origins_mmdb import MARKER, facts_of, read_mmdb


def packed(value: Any) -> bytes:
    """A value as MMDB data."""

    def control(kind: int, size: int) -> bytes:
        extra = b"" if size < 29 else bytes([size - 29])
        low = min(size, 29)
        return (bytes([(kind << 5) | low]) if kind <= 7 else bytes([low, kind - 7])) + extra

    if isinstance(value, bool):
        return control(14, int(value))
    if isinstance(value, str):
        return control(2, len(value.encode())) + value.encode()
    if isinstance(value, int):
        raw = value.to_bytes(8, "big").lstrip(b"\0")
        return control(9, len(raw)) + raw
    if isinstance(value, float):
        return control(3, 8) + struct.pack(">d", value)
    if isinstance(value, dict):
        return control(7, len(value)) + b"".join(packed(str(k)) + packed(v) for k, v in value.items())
    return control(11, len(value)) + b"".join(packed(one) for one in value)


def mmdb(networks: dict[str, Any], bits: int = 24, version: int = 6, kind: str = "Test-DB") -> bytes:
    """An MMDB file; IPv4 networks lie below ::/96, which 2002::/16 leads to as well."""
    nodes: list[list[Any]] = [[None, None]]
    width = 128 if version == 6 else 32
    for text, record in networks.items():
        family, first, last = parse_block(text)
        length = (32 if family == 4 else 128) - (last - first + 1).bit_length() + 1
        depth = length + (96 if family == 4 and version == 6 else 0)
        node = 0
        for place in range(depth):
            bit = (first >> (width - 1 - place)) & 1
            if place == depth - 1:
                nodes[node][bit] = ("data", record)
            else:
                if nodes[node][bit] is None:
                    nodes.append([None, None])
                    nodes[node][bit] = ("node", len(nodes) - 1)
                node = nodes[node][bit][1]
    data, offsets = b"", {}
    for node in nodes:
        for place, target in enumerate(node):
            if target is not None and target[0] == "data":
                key = repr(target[1])
                if key not in offsets:
                    offsets[key] = len(data)
                    data += packed(target[1])
                node[place] = ("data", offsets[key])
    count = len(nodes)
    tree = b""
    for node in nodes:
        left, right = (count if one is None else one[1] if one[0] == "node" else count + 16 + one[1] for one in node)
        if bits == 24:
            tree += left.to_bytes(3, "big") + right.to_bytes(3, "big")
        elif bits == 28:
            middle = bytes([((left >> 24) << 4) | (right >> 24)])
            tree += (left & 0xFFFFFF).to_bytes(3, "big") + middle + (right & 0xFFFFFF).to_bytes(3, "big")
        else:
            tree += left.to_bytes(4, "big") + right.to_bytes(4, "big")
    metadata = {
        "node_count": count, "record_size": bits, "ip_version": version, "database_type": kind,
        "binary_format_major_version": 2, "binary_format_minor_version": 0, "build_epoch": 1_767_312_000,
    }  # fmt: skip
    return tree + bytes(16) + data + MARKER + packed(metadata)


@pytest.mark.parametrize("bits", [24, 28, 32])
@pytest.mark.parametrize("version", [4, 6])
def test_every_network_is_read(bits: int, version: int):
    networks: dict[str, Any] = {
        "192.0.2.0/24": {"registered_country": {"iso_code": "DE"}, "country": {"iso_code": "NL"}},
        "192.0.3.0/25": {"autonomous_system_number": 64496, "autonomous_system_organization": "Net"},
        "198.51.100.7/32": {"is_anonymous_vpn": True, "is_hosting_provider": True, "weight": 1.5},
        "203.0.113.0/24": {"weight": 2.5},
    }
    if version == 6:
        networks["2001:db8::/32"] = {"country": "FR", "asn": "AS64497", "as_name": "Other"}
    builder = BlockBuilder()
    database = read_mmdb(mmdb(networks, bits, version), builder)
    assert (database.kind, database.built) == ("Test-DB", "2026-01-02")
    found = {block_text(4, first, last): builder.facts[value] for first, last, value in builder.v4}
    found |= {block_text(6, first, last): builder.facts[value] for first, last, value in builder.v6}
    expected = {
        "192.0.2.0/24": Facts(country="DE", located="NL"),
        "192.0.3.0/25": Facts(asn=64496, operator="Net"),
        "198.51.100.7/32": Facts(categories=("vpn", "hosting")),
    }
    if version == 6:
        expected["2001:db8::/32"] = Facts(located="FR", asn=64497, operator="Other")
    assert found == expected


def test_the_file_is_told_by_its_end_and_dated_by_itself():
    parsed = read_file(
        "anything.bin", mmdb({"192.0.2.0/24": {"vpn": "true", "service": "Veil"}}, kind="ipinfo privacy")
    )
    assert (parsed.source, parsed.kind, parsed.dated) == ("mmdb-ipinfo-privacy", "database", "2026-01-02")
    assert parsed.blocks.facts == [Facts(operator="Veil", categories=("vpn",))]


def test_fields_of_other_kinds_say_nothing():
    assert facts_of({"country": {"iso_code": 7}, "asn": "x", "registered_country": "DEU", "vpn": "false"}) == Facts()
    assert facts_of({"traits": {"user_type": "residential"}}).categories == ("access network",)
    assert facts_of(None) == Facts()


@settings(max_examples=200)
@given(st.data())
def test_damaged_files_are_refused_or_read_within_bounds(data: st.DataObject):
    content = bytearray(mmdb({"192.0.2.0/24": {"country": {"iso_code": "NL"}}, "2001:db8::/32": {"asn": 1}}))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    for damaged in (bytes(content), bytes(content[:cut])):
        try:
            read_mmdb(damaged, BlockBuilder())
        except CasemateError:
            continue


def test_a_tree_that_is_none_is_refused():
    content = mmdb({"192.0.2.0/24": {"asn": 1}})
    with pytest.raises(BadInput, match="not a tree"):
        read_mmdb(b"\0\0\0\0\0\0" + content[6:], BlockBuilder())
