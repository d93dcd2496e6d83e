"""Which addresses are the lab's own, as given or as inferred, and the test for it in Ibis.

Both are compared as text.  IPv4 networks are exact (an address with leading zeros is none: readers of it
disagree whether they mean octal); IPv6 networks go by the hexadecimal groups of their prefix
(addresses are recorded compressed, RFC 5952).  The prefix of an IPv6 network is rounded down to
whole groups that hold no zero, so ``2001:db8::/32`` is exact and ``2001:db8:0:1::/64`` is read as
``2001:db8::/32``; this is stated in the result.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from casemate.errors import BadInput

PRIVATE: tuple[str, ...] = (
    "10.0.0.0/8",  # RFC 1918
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",  # RFC 6598
    "127.0.0.0/8",
    "169.254.0.0/16",
    "::1/128",
    "fc00::/7",  # RFC 4193
    "fe80::/10",
)
NOT_ONE_HOST: tuple[str, ...] = ("224.0.0.0/4", "255.255.255.255/32", "0.0.0.0/32", "ff00::/8", "::/128")
"""Multicast, broadcast and unspecified: never the target of a scan."""

_NOT_PUBLIC = tuple(ipaddress.ip_network(text) for text in (*PRIVATE, *NOT_ONE_HOST))

INFER_SOURCES = 20
"""An address that this many outside addresses connect to is on the sensor's side."""
INFER_SHARE = 0.05
"""... if it also takes this share of all connections to public addresses, so that a public service
which many own public clients use is not taken for the lab's own."""

_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"


@dataclass(frozen=True)
class OwnNetworks:
    """The own address space: CIDR networks, whether it was inferred, and the sentence that says so.

    `core` are the addresses of the core assets in it.
    """

    networks: tuple[str, ...]
    inferred: bool
    statement: str
    core: tuple[str, ...] = ()


def own_networks(given: Sequence[str], inferred_hosts: Iterable[str] = ()) -> OwnNetworks:
    """The own networks: as given, else private ranges and `inferred_hosts` (see :func:`public_responders`).

    Raises:
        BadInput: a given network is not one.
    """
    if given:
        for text in given:
            try:
                ipaddress.ip_network(text, strict=False)
            except ValueError as error:
                raise BadInput(f"not a network: '{text}'", hint="write 203.0.113.0/24 or 2001:db8::/32") from error
        networks = tuple(sorted({str(ipaddress.ip_network(text, strict=False)) for text in given}))
        return OwnNetworks(networks, False, f"as given: {', '.join(networks)}")
    hosts = sorted({_host_network(text) for text in inferred_hosts} - {None}, key=str)
    shown = ", ".join(str(host).removesuffix("/32").removesuffix("/128") for host in hosts[:3])
    more = f" and {len(hosts) - 3} more" if len(hosts) > 3 else ""
    found = f" and {shown}{more}" if hosts else ""
    statement = f"inferred: private ranges{found}; --own says it better"
    return OwnNetworks((*PRIVATE, *(str(host) for host in hosts)), True, statement)


def _host_network(text: str) -> str | None:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        return None


def is_address(text: str) -> bool:
    """Whether a text is one address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def talking_pairs(network: ibis.Table) -> ibis.Table:
    """Who connected to whom, and how often: ``source, address, times``.

    Args:
        network: ``network_activity``.
    """
    pairs = network.filter(network.src_endpoint_ip.notnull() & network.dst_endpoint_ip.notnull())
    return pairs.group_by(source=pairs.src_endpoint_ip, address=pairs.dst_endpoint_ip).agg(times=pairs.count())


def busy_addresses(pairs: ibis.Table) -> ibis.Table:
    """The addresses that enough others connect to for :func:`public_responders`: column ``address``."""
    counted = pairs.group_by("address").agg(sources=pairs.count())
    return counted.filter(counted.sources >= INFER_SOURCES).select("address")


def may_be_public(text: str) -> bool:
    """Whether an address is in none of the private ranges and may be that of one host (or cannot be read)."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return True
    return not any(address in network for network in _NOT_PUBLIC if network.version == address.version)


def public_responders(pairs: ibis.Table) -> ibis.Table:
    """Public addresses that are probably the lab's own: column ``address``.

    Args:
        pairs: from :func:`talking_pairs`: each pair is looked at once, however often the two talked.
    """
    outside = (*PRIVATE, *NOT_ONE_HOST)
    pairs = pairs.filter(~within(pairs.address, outside) & ~within(pairs.source, outside))
    counted = pairs.group_by("address").agg(connections=pairs.times.sum(), sources=pairs.count())
    everything = counted.connections.sum().over(ibis.window())
    shared = counted.mutate(everything=everything)
    likely = (shared.sources >= INFER_SOURCES) & (shared.connections >= shared.everything * INFER_SHARE)
    return shared.filter(likely).select("address")


def within(address: ir.StringValue, networks: Sequence[str]) -> ir.BooleanValue:
    """Whether an address (text) lies in any of these networks; False where it is null or not an address."""
    patterns = sorted({_pattern(ipaddress.ip_network(text, strict=False)) for text in networks})
    if not patterns:
        return ibis.literal(False)
    # one regular expression: both engines run through it once, and it is one node to plan
    return address.re_search(f"^(?:{'|'.join(patterns)})").fill_null(False)


def _pattern(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> str:
    """What every address of a network looks like, and no other."""
    if isinstance(network, ipaddress.IPv6Network):
        return _ipv6_pattern(network)
    first, last = str(network.network_address).split("."), str(network.broadcast_address).split(".")
    fixed = network.prefixlen // 8
    octets = first[:fixed]
    if fixed < 4:
        low, high = int(first[fixed]), int(last[fixed])
        octets.append(_OCTET if (low, high) == (0, 255) else f"(?:{'|'.join(map(str, range(low, high + 1)))})")
    octets += [_OCTET] * (4 - len(octets))
    return "[.]".join(octets) + r"\z"


def _ipv6_pattern(network: ipaddress.IPv6Network) -> str:
    if network.prefixlen == 128:
        return f"{network.network_address}\\z"
    if str(network) == "fc00::/7":
        return "f[cd][0-9a-f]{2}:"
    if str(network) == "fe80::/10":
        return "fe[89ab][0-9a-f]:"
    if str(network) == "ff00::/8":
        return "ff[0-9a-f]{2}:"
    groups: list[str] = []
    for group in network.network_address.exploded.split(":")[: network.prefixlen // 16]:
        if group == "0000":
            break
        groups.append(group.lstrip("0"))
    return ":".join(groups) + ":" if groups else "[0-9a-f]*:"
