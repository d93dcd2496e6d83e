"""Lookups of addresses: as one looks them up by hand, by the rules for overlaps, whatever form they are given in."""

from __future__ import annotations

import ipaddress
import socket
from contextlib import suppress
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.intel.origins_blocks import BlockBuilder, Facts, parse_block
from casemate.intel.origins_store import Source, Version
from casemate.origins.addresses import parse
from casemate.origins.answers import Answer
from casemate.origins.index import OriginIndex
from casemate.origins.kernel import index_of, kernel_of
from casemate.origins.spans import spans
from casemate.origins.special import own_blocks

V4 = st.integers(0, (1 << 32) - 1)
V6 = st.integers(0, (1 << 128) - 1) | st.integers(0x2001 << 112, (0x2001 << 112) + (1 << 70))


def version(name: str, kind: str, dated: str = "2026-01-01") -> Version:
    return Version(name, name, kind, f"{dated}-{name}", dated, "given", "made", "", "0" * 64, 0)


def source(name: str, kind: str, blocks: dict[str, Facts], systems: dict[int, Facts] | None = None) -> Source:
    builder = BlockBuilder()
    for block, facts in blocks.items():
        builder.add(parse_block(block), facts)
    return Source(version(name, kind), builder.build(), systems or {})


def ask(sources: list[Source], *addresses: str, own: tuple[str, ...] = (), later: bool = False) -> list[Answer]:
    index = OriginIndex([(one, later) for one in sources], own_blocks(own) if own else None)
    return [index.answers[number] for number in index.lookup(parse(pa.array(addresses, pa.string())))]


RIR = source(
    "rir", "registry", {"198.51.100.0/24": Facts(registry="arin", country="US"), "5.0.0.0/8": Facts(country="NL")}
)
CLOUD = source("cloud", "provider", {"5.5.0.0/16": Facts(operator="Nimbus", categories=("cloud",))})
VPN = source("vpn", "service", {"5.5.9.0/24": Facts(operator="Veil", categories=("vpn",))})


def test_a_vpn_exit_inside_a_cloud_range_is_both_and_registrant_and_operator_stay_apart():
    table = source("mine", "stated", {"5.5.0.0/20": Facts(holder="Registrant Ltd")})
    [answer] = ask([RIR, CLOUD, VPN, table], "5.5.9.1")
    assert (answer.registered_country, answer.holder, answer.operator) == ("NL", "Registrant Ltd", "Veil")
    assert set(answer.categories) == {"cloud", "vpn"}
    assert answer.cloud_providers == ("Nimbus",)
    claims = {(one.what, one.value, one.source, one.dated) for one in answer.claims}
    assert ("operator", "Nimbus", "cloud", "2026-01-01") in claims
    assert ("category", "vpn", "vpn", "2026-01-01") in claims


def test_unknown_stays_unknown_and_a_location_is_no_registration():
    located = source("geo", "database", {"9.0.0.0/8": Facts(located="FR")})
    unknown, elsewhere = ask([RIR, located], "8.8.8.8", "9.1.1.1")
    assert unknown == Answer()
    assert (elsewhere.registered_country, elsewhere.located_country, elsewhere.categories) == (None, "FR", ())


def test_special_addresses_are_named_unless_data_registers_them():
    asked = ("10.1.1.1", "198.51.100.7", "203.0.113.9", "198.18.0.1", "255.255.255.255", "fe80::1%eth0", "2001:db8::1")
    found = [one.categories for one in ask([RIR], *asked)]
    assert found == [
        ("private",), (), ("documentation",), ("bogon",), ("bogon",), ("private",), ("documentation",),
    ]  # fmt: skip
    listed = source("misp", "warning", {"203.0.113.0/24": Facts(lists=("Special use",))})
    [answer] = ask([listed], "203.0.113.9")
    assert (answer.categories, answer.lists) == (("documentation",), ("Special use",))


def test_own_addresses_are_named_so_beside_what_data_registers():
    [inside, outside] = ask([RIR, CLOUD], "10.1.1.1", "5.5.1.1", own=("10.0.0.0/8", "5.5.1.0/24"))
    assert inside.categories == ("own",)
    assert outside.categories == ("own", "cloud")
    assert outside.registered_country == "NL"


def test_a_list_of_as_numbers_speaks_where_another_source_says_the_as():
    routes = source("asn", "database", {"7.0.0.0/8": Facts(asn=64496, operator="Net")})
    listed = source("hosters", "service", {}, {64496: Facts(asn=64496, operator="Net, GB", categories=("hosting",))})
    [answer] = ask([routes, listed], "7.1.1.1")
    assert (answer.asn, answer.categories) == (64496, ("hosting",))


def test_versions_later_than_the_event_say_so():
    assert {one.later for one in ask([RIR], "5.1.1.1", later=True)[0].claims} == {True}
    kept = {"a": [version("a", "registry", "2026-02-01"), version("a", "registry", "2026-04-01")],
            "b": [version("b", "service", "2026-03-01")]}  # fmt: skip
    held = spans(kept)
    told = {
        day: [(one.dated, later) for one, later in held.versions(held.number(day))]
        for day in ("2026-01-01", "2026-02-01", "2026-03-15", "2026-05-01")
    }
    assert told == {
        "2026-01-01": [("2026-02-01", True), ("2026-03-01", True)],
        "2026-02-01": [("2026-02-01", False), ("2026-03-01", True)],
        "2026-03-15": [("2026-02-01", False), ("2026-03-01", False)],
        "2026-05-01": [("2026-04-01", False), ("2026-03-01", False)],
    }
    assert (held.begins(0), held.ends(0)) == (None, datetime(2026, 2, 1, tzinfo=UTC))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_text_is_read_as_strictly_as_by_inet_pton(kind: pa.DataType):
    texts = [
        "1.2.3.4",
        None,
        "035.1.1.1",
        "1.2.3",
        "1.2.3.256",
        "::ffff:1.2.3.4",
        "1.2.3.4.5",
        "",
        "2001:DB8::1",
        "host",
    ]
    index = index_of(
        [(source("x", "stated", {"1.2.3.4": Facts(country="NL"), "2001:db8::/32": Facts(country="FR")}), False)]
    )
    array = (
        pa.array(texts, pa.string()).cast(kind)
        if not pa.types.is_dictionary(kind)
        else pa.array(texts).dictionary_encode()
    )
    told = kernel_of(index, "a", plain=True)(pa.record_batch([array], names=["a"]))
    assert told.column("registered_country").to_pylist() == [
        "NL", None, None, None, None, "NL", None, None, "FR", None,
    ]  # fmt: skip
    sliced = kernel_of(index, "a")(pa.record_batch([array.slice(5)], names=["a"]))
    assert sliced.column("registered_country").to_pylist() == ["NL", None, None, "FR", None]


@given(st.lists(V4.map(ipaddress.IPv4Address) | V6.map(ipaddress.IPv6Address) | st.none(), max_size=30))
def test_text_and_bytes_of_an_address_are_the_same_number(
    addresses: list[ipaddress.IPv4Address | ipaddress.IPv6Address | None],
):
    text = parse(pa.array([None if one is None else str(one) for one in addresses], pa.string()))
    raw = parse(pa.array([None if one is None else one.packed for one in addresses], pa.binary()))
    for one in ("version", "v4", "rows6", "high", "low"):
        np.testing.assert_array_equal(getattr(text, one), getattr(raw, one))


@given(st.lists(st.text("0123456789.:abf%", max_size=24), max_size=20))
def test_odd_text_is_an_address_only_where_the_library_says_so(texts: list[str]):
    found = parse(pa.array(texts, pa.string())).version.tolist()
    for text, number in zip(texts, found, strict=True):
        try:
            expected = ipaddress.ip_address(text.partition("%")[0] if ":" in text else text)
        except ValueError:
            assert number == 0, text
            continue
        mapped = expected.ipv4_mapped if isinstance(expected, ipaddress.IPv6Address) else None
        assert number == (4 if mapped else expected.version), text


BLOCK = st.tuples(st.sampled_from((4, 6)), V4, V6, st.integers(0, 32), st.integers(0, 128))


@given(st.lists(BLOCK, max_size=12), st.lists(V4, max_size=6), st.lists(V6, max_size=6))
def test_searching_and_merging_give_what_a_search_of_every_block_gives(blocks, v4: list[int], v6: list[int]):
    networks = [
        ipaddress.ip_network((low, short), strict=False)
        if family == 4
        else ipaddress.IPv6Network((wide, long), strict=False)
        for family, low, wide, short, long in blocks
    ]
    networks = [one for one in networks if not (one.version == 6 and int(one.network_address) >> 32 == 0xFFFF)]
    sources = [
        source(
            f"s{place}",
            "stated",
            {
                str(one): Facts(categories=(f"c{place}-{number}",))
                for number, one in enumerate(networks)
                if number % 2 == place
            },
        )
        for place in (0, 1)
    ]
    asked = [ipaddress.IPv4Address(one) for one in v4] + [ipaddress.IPv6Address(one) for one in v6]
    asked += [edge for one in networks for edge in (one[0], one[-1])]
    asked = [one for one in asked if getattr(one, "ipv4_mapped", None) is None]
    index = OriginIndex([(one, False) for one in sources])
    given_as = parse(pa.array([str(one) for one in asked], pa.string()))
    searched = [index.answers[number] for number in index.lookup(given_as)]
    index.merge()
    assert [index.answers[number] for number in index.lookup(given_as)] == searched
    for address, answer in zip(asked, searched, strict=True):
        expected = {f"c{number % 2}-{number}" for number, one in enumerate(networks) if address in one}
        named = {name for name in answer.categories if name.startswith("c")}
        # equal blocks of one source are one block here
        same = {f"c{number % 2}-{number}" for number, one in enumerate(networks) if networks.index(one) != number}
        assert named <= expected
        assert expected - named <= same | {
            f"c{networks.index(one) % 2}-{networks.index(one)}" for one in networks if networks.count(one) > 1
        }


GROUP = st.sampled_from(("0", "1", "abcd", "F", "0db8", "00", "12345", "g", ""))
WRITTEN = st.one_of(
    st.lists(GROUP, min_size=1, max_size=10).map(":".join),
    st.tuples(st.lists(GROUP, max_size=8).map(":".join), st.lists(GROUP, max_size=8).map(":".join)).map("::".join),
    V6.map(lambda number: str(ipaddress.IPv6Address(number))),
    V6.map(lambda number: ipaddress.IPv6Address(number).exploded.upper()),
    st.sampled_from(("::", ":", ":::", "::1:", ":1::", "::ffff:192.0.2.1", "fe80::1%eth0", "192.0.2.1", "1::2::3")),
)


@given(st.lists(WRITTEN | st.none(), max_size=40), st.booleans(), st.integers(0, 3))
def test_ipv6_text_many_at_once_is_what_inet_pton_makes_of_each(texts: list[str | None], whole: bool, skipped: int):
    if whole:  # all with eight groups, which are read a shorter way
        texts = [ipaddress.IPv6Address(number + (1 << 127)).exploded for number in range(len(texts))]
    array = pa.array(texts, pa.string()).slice(skipped)
    found = parse(array)
    halves = zip(found.rows6.tolist(), found.high.tolist(), found.low.tolist(), strict=True)
    numbers = {row: high << 64 | low for row, high, low in halves}
    for row, text in enumerate(array.to_pylist()):
        expected = None
        if text is not None and ":" in text:
            with suppress(OSError):
                expected = int.from_bytes(socket.inet_pton(socket.AF_INET6, text.partition("%")[0]), "big")
        if expected is not None and expected >> 32 == 0xFFFF:
            assert (found.version[row], int(found.v4[row])) == (4, expected & 0xFFFFFFFF)
        else:
            assert numbers.get(row) == expected, text
