"""Which addresses are the lab's own, as given or as inferred, and the test for it in Ibis.

IPv4 networks are compared as numbers, IPv6 networks by the hexadecimal groups of their prefix
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

INFER_SOURCES = 20
"""An address that this many outside addresses connect to is on the sensor's side."""
INFER_SHARE = 0.05
"""... if it also takes this share of all connections to public addresses, so that a public service
which many own public clients use is not taken for the lab's own."""

_IPV4 = r"^([0-9]{1,3})[.]([0-9]{1,3})[.]([0-9]{1,3})[.]([0-9]{1,3})$"


@dataclass(frozen=True)
class OwnNetworks:
    """The own address space: CIDR networks, whether it was inferred, and the sentence that says so."""

    networks: tuple[str, ...]
    inferred: bool
    statement: str


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


def public_responders(network: ibis.Table) -> ibis.Table:
    """Public addresses that are probably the lab's own: column ``address``.

    Args:
        network: ``network_activity``.
    """
    outside = (*PRIVATE, *NOT_ONE_HOST)
    pairs = network.filter(network.src_endpoint_ip.notnull() & network.dst_endpoint_ip.notnull())
    # each pair is looked at once, however often the two talked
    pairs = pairs.group_by(source=pairs.src_endpoint_ip, address=pairs.dst_endpoint_ip).agg(times=pairs.count())
    pairs = pairs.filter(~within(pairs.address, outside) & ~within(pairs.source, outside))
    counted = pairs.group_by("address").agg(connections=pairs.times.sum(), sources=pairs.count())
    everything = counted.connections.sum().over(ibis.window())
    shared = counted.mutate(everything=everything)
    likely = (shared.sources >= INFER_SOURCES) & (shared.connections >= shared.everything * INFER_SHARE)
    return shared.filter(likely).select("address")


def marked(table: ibis.Table, address: str, **networks: Sequence[str]) -> ibis.Table:
    """Adds a column for each name in `networks`: whether the address lies in those networks (:func:`within`).

    Each distinct address is tested once: few addresses stand in many records, and the test is dear.

    Args:
        table: any table; it is read twice.
        address: a column of addresses (text).
    """
    distinct = table.filter(table[address].notnull()).select(tested_address=address).distinct()
    tests = distinct.mutate(**{name: within(distinct.tested_address, tested) for name, tested in networks.items()})
    joined = table.left_join(tests, table[address] == tests.tested_address).drop("tested_address")
    return joined.mutate(**{name: joined[name].fill_null(False) for name in networks})


def within(address: ir.StringValue, networks: Sequence[str]) -> ir.BooleanValue:
    """Whether an address (text) lies in any of these networks; False where it is null or not an address."""
    number = ipv4_number(address)
    tests: list[ir.BooleanValue] = []
    groups: list[ir.BooleanValue] = []
    for text in networks:
        network = ipaddress.ip_network(text, strict=False)
        if network.version == 4:
            inside = (number >= int(network.network_address)) & (number <= int(network.broadcast_address))
            # taking an address apart is dear: only those that begin as the network's do
            tests.append(ibis.ifelse(address.startswith(_beginning(network)), inside, ibis.literal(False)))
        else:
            groups.append(address.re_search(_ipv6_pattern(network)))
    if groups:
        tests.append(ibis.ifelse(address.contains(":"), _any(groups), ibis.literal(False)))
    return _any(tests) if tests else ibis.literal(False)


def _any(tests: Sequence[ir.BooleanValue]) -> ir.BooleanValue:
    first, *others = [test.fill_null(False) for test in tests]
    for other in others:
        first = first | other
    return first


def _beginning(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> str:
    """The text that every address of an IPv4 network begins with."""
    first, last = str(network.network_address).split("."), str(network.broadcast_address).split(".")
    fixed = network.prefixlen // 8
    if fixed == 4:
        return str(network.network_address)
    octets = [str(octet) for octet in range(int(first[fixed]), int(last[fixed]) + 1)]
    digit = octets[0][0] if len({octet[0] for octet in octets}) == 1 else ""
    return "".join(octet + "." for octet in first[:fixed]) + digit


def ipv4_number(address: ir.StringValue) -> ir.IntegerValue:
    """An IPv4 address (text) as int64, null where it is not one."""
    text = ibis.ifelse(address.re_search(_IPV4), address, ibis.null("string"))
    octets = [text.re_extract(_IPV4, place).cast("int64") for place in (1, 2, 3, 4)]
    return octets[0] * 16777216 + octets[1] * 65536 + octets[2] * 256 + octets[3]


def _ipv6_pattern(network: ipaddress.IPv6Network | ipaddress.IPv4Network) -> str:
    if network.prefixlen == 128:
        return f"^{network.network_address}$"
    if str(network) == "fc00::/7":
        return "^f[cd][0-9a-f]{2}:"
    if str(network) == "fe80::/10":
        return "^fe[89ab][0-9a-f]:"
    if str(network) == "ff00::/8":
        return "^ff[0-9a-f]{2}:"
    groups: list[str] = []
    for group in network.network_address.exploded.split(":")[: network.prefixlen // 16]:
        if group == "0000":
            break
        groups.append(group.lstrip("0"))
    return "^" + ":".join(groups) + ":" if groups else "^[0-9a-f]*:"
