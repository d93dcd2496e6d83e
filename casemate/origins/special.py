"""Addresses that mean the same everywhere: private, documentation, and those that no traffic can come from.

IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890).  They go before everything else, unless
loaded origin data registers the address.
"""

from __future__ import annotations

from collections.abc import Iterable

from casemate.intel.origins_blocks import BlockBuilder, Blocks, Facts, parse_block

SPECIAL: tuple[tuple[str, str, str], ...] = (
    # block, category, why
    ("0.0.0.0/8", "bogon", "RFC 791 this network"),
    ("10.0.0.0/8", "private", "RFC 1918"),
    ("100.64.0.0/10", "private", "RFC 6598 shared address space"),
    ("127.0.0.0/8", "private", "RFC 1122 loopback"),
    ("169.254.0.0/16", "private", "RFC 3927 link local"),
    ("172.16.0.0/12", "private", "RFC 1918"),
    ("192.0.0.0/24", "bogon", "RFC 6890 protocol assignments"),
    ("192.0.2.0/24", "documentation", "RFC 5737"),
    ("192.88.99.0/24", "bogon", "RFC 7526 former 6to4 relays"),
    ("192.168.0.0/16", "private", "RFC 1918"),
    ("198.18.0.0/15", "bogon", "RFC 2544 benchmarking"),
    ("198.51.100.0/24", "documentation", "RFC 5737"),
    ("203.0.113.0/24", "documentation", "RFC 5737"),
    ("224.0.0.0/4", "bogon", "RFC 5771 multicast"),
    ("240.0.0.0/4", "bogon", "RFC 1112 reserved, and broadcast"),
    ("::/128", "bogon", "RFC 4291 unspecified"),
    ("::1/128", "private", "RFC 4291 loopback"),
    ("::2-1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "bogon", "RFC 4291 not global unicast"),
    ("2001:2::/48", "bogon", "RFC 5180 benchmarking"),
    ("2001:db8::/32", "documentation", "RFC 3849"),
    ("3fff::/20", "documentation", "RFC 9637"),
    ("4000::-fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "bogon", "RFC 4291 not global unicast"),
    ("fc00::/7", "private", "RFC 4193 unique local"),
    ("fe00::-fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "bogon", "RFC 4291 reserved"),
    ("fe80::/10", "private", "RFC 4291 link local"),
    ("fec0::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "bogon", "RFC 3879 and multicast"),
)


def special_blocks() -> Blocks:
    """:data:`SPECIAL` as intervals; ``lists`` holds the reason."""
    builder = BlockBuilder()
    for block, category, why in SPECIAL:
        builder.add(parse_block(block), Facts(categories=(category,), lists=(why,)))
    return builder.build()


def own_blocks(networks: Iterable[str]) -> Blocks:
    """The own address space as intervals."""
    builder = BlockBuilder()
    for network in networks:
        builder.add(parse_block(network), Facts(categories=("own",)))
    return builder.build()
