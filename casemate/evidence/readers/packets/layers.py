"""From the bytes of a link to an IP packet and its transport segment.

Link types after tcpdump.org's list; headers after RFC 791 (IPv4), RFC 8200 (IPv6 and its extension headers),
IEEE 802.1Q (VLAN, also stacked), RFC 2784 (GRE), RFC 2516 (PPPoE).  Whatever is too short or unknown gives a word
that says why it is no segment; that is counted, never an error.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

ETHERNET, RAW, LOOP, LINUX_COOKED, LINUX_COOKED_2 = 1, 101, 108, 113, 276
NULL, PPP, RAW_BSD, RAW_OPENBSD, IPV4_ONLY, IPV6_ONLY = 0, 9, 12, 14, 228, 229
ETHERTYPE_IPV4, ETHERTYPE_IPV6 = 0x0800, 0x86DD
VLANS = (0x8100, 0x88A8, 0x9100, 0x9200)
PPPOE, MPLS = 0x8864, (0x8847, 0x8848)
TCP, UDP, ICMP, ICMP6, SCTP = 6, 17, 1, 58, 132
EXTENSIONS = frozenset((0, 43, 60, 135, 139, 140))
FRAGMENT, AUTHENTICATION = 44, 51
IP_IN_IP, IPV6_IN_IP, GRE, ETHERTYPE_BRIDGED = 4, 41, 47, 0x6558
LIMIT_EXTENSIONS = 16
IPV6_FAMILIES = (10, 24, 28, 30)
"""AF_INET6 of the systems that write loopback captures."""


class Ip(NamedTuple):
    """An IP packet: addresses as bytes, protocol, its payload, length on the wire, fragment (id, offset, more) or
    None, whether bytes of it were not captured, VLAN tags."""

    source: bytes
    target: bytes
    protocol: int
    payload: bytes
    size: int
    fragment: tuple[int, int, bool] | None
    cut: int
    vlans: tuple[int, ...]


_TWO = struct.Struct(">H")
_IPV4 = struct.Struct(">BBHHHBBH4s4s")
_IPV6 = struct.Struct(">IHBB16s16s")


def network_layer(link: int, data: bytes) -> Ip | str:
    """The IP packet in a link's frame, or why there is none."""
    vlans: tuple[int, ...] = ()
    try:
        if link == ETHERNET:
            kind, at = (data[12] << 8) | data[13], 14
            while kind in VLANS and len(vlans) < 4:
                vlans = (*vlans, _TWO.unpack_from(data, at)[0] & 0xFFF)
                kind, at = _TWO.unpack_from(data, at + 2)[0], at + 4
            if kind == PPPOE:
                kind = {0x21: ETHERTYPE_IPV4, 0x57: ETHERTYPE_IPV6}.get(_TWO.unpack_from(data, at + 6)[0], 0)
                at += 8
            elif kind in MPLS:
                labels = 0
                while not data[at + 2] & 1 and labels < 16:
                    at, labels = at + 4, labels + 1
                at += 4
                kind = ETHERTYPE_IPV4 if data[at] >> 4 == 4 else ETHERTYPE_IPV6
        elif link in (RAW, RAW_BSD, RAW_OPENBSD, IPV4_ONLY, IPV6_ONLY):
            kind, at = (ETHERTYPE_IPV6 if data[0] >> 4 == 6 else ETHERTYPE_IPV4), 0
        elif link == LINUX_COOKED:
            kind, at = _TWO.unpack_from(data, 14)[0], 16
            while kind in VLANS and len(vlans) < 4:
                vlans = (*vlans, _TWO.unpack_from(data, at)[0] & 0xFFF)
                kind, at = _TWO.unpack_from(data, at + 2)[0], at + 4
        elif link == LINUX_COOKED_2:
            kind, at = _TWO.unpack_from(data, 0)[0], 20
        elif link in (NULL, LOOP):
            family = struct.unpack_from("<I", data)[0]
            if family > 0xFFFF:  # written by a machine of the other byte order
                family = struct.unpack_from(">I", data)[0]
            kind, at = (ETHERTYPE_IPV6 if family in IPV6_FAMILIES else ETHERTYPE_IPV4 if family == 2 else 0), 4
        elif link == PPP:
            at = 4 if data[:2] == b"\xff\x03" else 2
            kind = {0x21: ETHERTYPE_IPV4, 0x57: ETHERTYPE_IPV6}.get(_TWO.unpack_from(data, at - 2)[0], 0)
        else:
            return f"link type {link}"
        if kind == ETHERTYPE_IPV4:
            return _ipv4(data, at, vlans)
        if kind == ETHERTYPE_IPV6:
            return _ipv6(data, at, vlans)
    except (IndexError, struct.error):
        return "cut before its addresses"
    return "not IP"


def _ipv4(data: bytes, at: int, vlans: tuple[int, ...]) -> Ip | str:
    first, _, size, identity, fragment, _, protocol, _, source, target = _IPV4.unpack_from(data, at)
    header = (first & 15) * 4
    if first >> 4 != 4 or header < 20:
        return "no valid IPv4 header"
    if size == 0:  # segmentation was left to the network card
        size = len(data) - at
    if size < header:
        return "no valid IPv4 header"
    payload = data[at + header : at + size]
    part = None
    if fragment & 0x3FFF:
        part = (identity, (fragment & 0x1FFF) * 8, bool(fragment & 0x2000))
    return Ip(source, target, protocol, payload, size, part, size - header - len(payload), vlans)


def _ipv6(data: bytes, at: int, vlans: tuple[int, ...]) -> Ip | str:
    first, size, following, _, source, target = _IPV6.unpack_from(data, at)
    if first >> 28 != 6:
        return "no valid IPv6 header"
    begin = at + 40
    end = begin + size if size else len(data)
    part = None
    for _ in range(LIMIT_EXTENSIONS):
        if following in EXTENSIONS:
            following, length = data[begin], (data[begin + 1] + 1) * 8
        elif following == AUTHENTICATION:
            following, length = data[begin], (data[begin + 1] + 2) * 4
        elif following == FRAGMENT and part is None:
            place, identity = struct.unpack_from(">HI", data, begin + 2)
            following, length = data[begin], 8
            if place & 0xFFF9:
                part = (identity, place & 0xFFF8, bool(place & 1))
                begin += length
                break
        else:
            break
        begin += length
    if begin > end:
        return "no valid IPv6 header"
    payload = data[begin:end]
    return Ip(source, target, following, payload, end - at, part, end - begin - len(payload), vlans)


def tunnelled(ip: Ip) -> Ip | None:
    """The packet inside a tunnel without encryption: IP in IP (RFC 2003, RFC 4213) and GRE (RFC 2784, RFC 2890)."""
    if ip.protocol not in (IP_IN_IP, IPV6_IN_IP, GRE) or ip.fragment is not None:
        return None
    payload = ip.payload
    try:
        if ip.protocol == GRE:
            flags, kind = payload[0], _TWO.unpack_from(payload, 2)[0]
            at = 4 + 4 * (bool(flags & 0x80) + bool(flags & 0x20) + bool(flags & 0x10))
            if kind == ETHERTYPE_BRIDGED:
                inner = network_layer(ETHERNET, payload[at:])
            elif kind in (ETHERTYPE_IPV4, ETHERTYPE_IPV6):
                inner = network_layer(RAW, payload[at:])
            else:
                return None
        else:
            inner = network_layer(RAW, payload)
    except (IndexError, struct.error):
        return None
    if isinstance(inner, str) or inner.fragment is not None:
        return None
    return inner._replace(vlans=ip.vlans) if ip.vlans else inner
