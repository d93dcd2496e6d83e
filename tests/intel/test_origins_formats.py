"""Files of origin data of every format: what they say, of which source, from which day; nothing lost silently."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.errors import BadInput, CasemateError
from casemate.intel.origins_blocks import BlockBuilder, Blocks, Facts, block_text, parse_block
from casemate.intel.origins_formats import read_file
from casemate.intel.origins_parsed import Parsed
from casemate.intel.origins_sources import PUBLISHERS, publisher

RIR = b"""2|ripencc|1769986799|5|19830705|20260201|+0100
ripencc|*|ipv4|*|3|summary
# comment
ripencc|DE|ipv4|192.0.2.0|96|20100101|allocated|abc
ripencc||ipv4|198.51.100.0|256||available|
ripencc|FR|ipv6|2001:db8::|32|20110101|assigned|def
ripencc|NL|asn|64496|1|20110101|allocated|ghi
ripencc|XX|ipv4|300.1.2.3|256|20110101|allocated|ghi
"""


def said(parsed: Parsed) -> dict[str, Facts]:
    """Facts by block."""
    blocks: Blocks = parsed.blocks.build()
    found = {}
    for first, last, value in zip(blocks.v4_first, blocks.v4_last, blocks.v4_value, strict=True):
        found[block_text(4, int(first), int(last))] = blocks.facts[value]
    for (high, low), (last_high, last_low), value in zip(
        blocks.v6_first.tolist(), blocks.v6_last.tolist(), blocks.v6_value, strict=True
    ):
        found[block_text(6, (high << 64) | low, (last_high << 64) | last_low)] = blocks.facts[value]
    return found


def test_a_delegation_file_registers_blocks_and_names_free_ones_bogons():
    parsed = read_file("delegated-ripencc-extended-latest", RIR)
    assert (parsed.source, parsed.kind, parsed.dated, parsed.dated_by) == (
        "rir-ripencc", "registry", "2026-02-01", "content",
    )  # fmt: skip
    assert said(parsed) == {
        "192.0.2.0-192.0.2.95": Facts(registry="ripencc", country="DE"),
        "198.51.100.0/24": Facts(registry="ripencc", categories=("bogon",)),
        "2001:db8::/32": Facts(registry="ripencc", country="FR"),
    }
    assert (parsed.lines, parsed.rejected) == (5, 1)
    assert "300.1.2.3" in str(parsed.first)


def test_lists_per_country_and_per_provider_are_told_by_their_path():
    country = read_file("rir-country/country/de/ipv4-aggregated.txt", b"# Germany\n192.0.2.0/24\n")
    assert (country.source, said(country)) == ("rir-country", {"192.0.2.0/24": Facts(country="DE")})
    cloud = read_file("cloud/amazon-ipv6.txt", b"2001:db8:1::/48\n")
    assert (cloud.source, cloud.kind) == ("amazon", "provider")
    assert said(cloud) == {"2001:db8:1::/48": Facts(operator="Amazon", categories=("cloud",))}
    exits = read_file("x4bnet/input-vpn/ips/mullvadvpn.txt", b"192.0.2.7/32\n192.0.2.9 # berlin\n")
    assert exits.source == "x4bnet-vpn-mullvadvpn"
    assert set(said(exits)) == {"192.0.2.7/32", "192.0.2.9/32"}
    assert said(exits)["192.0.2.7/32"] == Facts(operator="Mullvad VPN", categories=("vpn",))
    dated = read_file("tor/2026-03-04/exits.txt", b"192.0.2.1\n")
    assert (dated.dated, dated.dated_by) == ("2026-03-04", "name")
    with pytest.raises(BadInput, match="does not say what"):
        read_file("things/ipv4.txt", b"192.0.2.1\n")


@pytest.mark.parametrize(
    ("source", "dated", "text"),
    [
        ("amazon", "2026-03-04", '{"syncToken": "1", "createDate": "2026-03-04-05-06-07", "prefixes": [{"ip_prefix": '
         '"192.0.2.0/24", "service": "EC2"}], "ipv6_prefixes": [{"ipv6_prefix": "2001:db8::/32"}]}'),
        ("google", "2026-03-04", '{"syncToken": "1", "creationTime": "2026-03-04T05:06:07", "prefixes": '
         '[{"ipv4Prefix": "192.0.2.0/24"}, {"ipv6Prefix": "2001:db8::/32"}]}'),
        ("microsoft", None, '{"changeNumber": 1, "cloud": "Public", "values": [{"name": "A", "properties": '
         '{"addressPrefixes": ["192.0.2.0/24", "2001:db8::/32"]}}]}'),
        ("oracle", "2026-03-04", '{"last_updated_timestamp": "2026-03-04T05:06:07.1", "regions": [{"region": "x", '
         '"cidrs": [{"cidr": "192.0.2.0/24", "tags": ["OCI"]}, {"cidr": "2001:db8::/32"}]}]}'),
        ("github", None, '{"verifiable_password_authentication": false, "domains": {"a": ["*.example"]}, '
         '"hooks": ["192.0.2.0/24", "2001:db8::/32"]}'),
        ("fastly", None, '{"addresses": ["192.0.2.0/24"], "ipv6_addresses": ["2001:db8::/32"]}'),
        ("cloudflare", None, '{"result": {"ipv4_cidrs": ["192.0.2.0/24"], "ipv6_cidrs": ["2001:db8::/32"]}}'),
    ],
)  # fmt: skip
def test_what_providers_publish_is_read(source: str, dated: str | None, text: str):
    parsed = read_file("file.json", text.encode())
    assert (parsed.source, parsed.dated) == (source, dated)
    assert set(said(parsed)) == {"192.0.2.0/24", "2001:db8::/32"}
    assert all(one.categories == ("cloud",) for one in said(parsed).values())


def test_a_geofeed_says_where_and_not_whose():
    provider = publisher("digitalocean")
    assert provider is not None
    parsed = read_file("google.csv", b"192.0.2.0/24,NL,NL-NH,Amsterdam,1098\n", provider)
    assert said(parsed)["192.0.2.0/24"] == Facts(located="NL", operator="DigitalOcean", categories=("cloud",))


def test_a_table_names_its_columns():
    text = "block,registered_country,holder,category,dated\n192.0.2.0/24,ZX,Veil,vpn,2026-01-02\nno,ZX,a,b,\n"
    parsed = read_file("mine/networks.csv", text.encode())
    assert (parsed.source, parsed.kind, parsed.dated) == ("networks", "stated", "2026-01-02")
    assert said(parsed) == {"192.0.2.0/24": Facts(country="ZX", holder="Veil", categories=("vpn",))}
    assert (parsed.lines, parsed.rejected) == (2, 1)
    ranges = read_file("as.csv", b"start_ip,end_ip,country,asn,as_name\n192.0.2.1,192.0.2.9,NL,AS64496,Net\n")
    assert said(ranges) == {"192.0.2.1-192.0.2.9": Facts(located="NL", asn=64496, operator="Net")}


def test_lists_of_as_numbers_tor_exits_and_warning_lists():
    systems = read_file("x4bnet/input-vpn/ASN.txt", b"AS64496 # Net, GB\nASx\nAS64497\n")
    assert systems.systems[64496] == Facts(operator="Net, GB", asn=64496, categories=("vpn",))
    assert (len(systems.systems), systems.lines, systems.rejected) == (2, 3, 1)
    exits = (
        b"ExitNode A\nPublished 2026-03-01 1\nLastStatus 2026-03-02 01:00:00\nExitAddress 192.0.2.1 2026-03-02 02:00\n"
    )
    tor = read_file("exit-addresses", exits)
    assert (tor.source, tor.dated, said(tor)["192.0.2.1/32"].categories) == ("tor", "2026-03-02", ("tor",))
    warning = (
        b'{"name": "Resolvers", "list": ["192.0.2.1", "a.example"], "matching_attributes": [], "version": 20260102}'
    )
    parsed = read_file("public-dns/list.json", warning)
    assert (parsed.source, parsed.kind, parsed.dated) == ("misp-public-dns", "warning", "2026-01-02")
    assert said(parsed) == {"192.0.2.1/32": Facts(lists=("Resolvers",))}
    with pytest.raises(BadInput, match="without addresses"):
        read_file("tlds.json", b'{"name": "x", "list": ["AAA"], "matching_attributes": []}')


def test_blocks_inside_blocks_keep_what_lies_around_them():
    builder = BlockBuilder()
    builder.add(parse_block("198.18.0.0/17"), Facts(country="ZZ", holder="Nimbus", categories=("cloud",)))
    builder.add(parse_block("198.18.90.0/23"), Facts(country="ZX", holder="Veil", categories=("vpn",)))
    blocks = builder.build()
    at = blocks.v4_first.searchsorted(int.from_bytes(bytes([198, 18, 90, 3])), "right") - 1
    facts = blocks.facts[blocks.v4_value[at]]
    assert (facts.country, facts.holder, facts.within) == ("ZX", "Veil", ("Nimbus",))
    assert facts.names() == {"vpn": "Veil", "cloud": "Nimbus"}


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_whatever_comes_is_read_or_refused(content: bytes):
    try:
        parsed = read_file("vpn/ipv4.txt", content)
    except CasemateError:
        return
    assert 0 <= parsed.rejected < max(parsed.lines, 1)


@given(st.integers(0, (1 << 128) - 1), st.integers(0, 128))
def test_a_prefix_is_written_as_it_is_read(number: int, length: int):
    network = ipaddress.IPv6Network((number, length), strict=False)
    if network.network_address.ipv4_mapped is None:
        assert block_text(*parse_block(str(network))) == str(network)


def test_every_publisher_has_a_name_of_its_own_and_plain_addresses():
    assert len({one.name for one in PUBLISHERS}) == len(PUBLISHERS)
    assert all(url.startswith("https://") for one in PUBLISHERS for url in one.urls)


def test_the_files_of_real_publishers_are_read_whole(shared_data):
    folder = shared_data / "intel" / "origins"
    read = [
        read_file(str(path.relative_to(folder.parent)), path.read_bytes()) for path in sorted(folder.rglob("*.txt"))
    ]
    assert not [one.source for one in read if one.rejected]
    lines = sum(len(one.blocks.v4) + len(one.blocks.v6) + len(one.systems) for one in read)
    assert lines >= 80_000
