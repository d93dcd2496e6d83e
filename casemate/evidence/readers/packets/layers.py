"""From the bytes of a link to an IP packet and its transport segment.

Link types after tcpdump.org's list: Ethernet (with the type or with LLC/SNAP), raw IP, BSD loopback, Linux cooked 1 and
2, PPP in its framings, Cisco HDLC, and the logs of packet filters (NFLOG, PFLOG, enc).  802.11 is unwrapped to Ethernet
in :mod:`packets.wireless`.  Headers after RFC 791 (IPv4), RFC 8200 (IPv6 and its extension headers), IEEE 802.1Q (VLAN,
also stacked), RFC 3032 (MPLS), RFC 2516 (PPPoE); tunnels after RFC 2784 (GRE, also with ERSPAN), RFC 7348 (VXLAN) and
RFC 8926 (Geneve).  Whatever is too short or unknown gives a word that says why it is no segment; that is counted,
never an error.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

ETHERNET, RAW, LOOP, LINUX_COOKED, LINUX_COOKED_2 = 1, 101, 108, 113, 276
NULL, PPP, RAW_BSD, RAW_OPENBSD, IPV4_ONLY, IPV6_ONLY = 0, 9, 12, 14, 228, 229
PPP_SERIAL, PPP_DAEMON, PPP_OVER_ETHERNET, PPP_WITH_DIRECTION = 50, 166, 51, 204
CISCO_HDLC, BSD_ENCAPSULATED, PFLOG, NFLOG = 104, 109, 117, 239
ETHERTYPE_IPV4, ETHERTYPE_IPV6 = 0x0800, 0x86DD
VLANS = (0x8100, 0x88A8, 0x9100, 0x9200)
PPPOE, MPLS = 0x8864, (0x8847, 0x8848)
TCP, UDP, ICMP, ICMP6, SCTP = 6, 17, 1, 58, 132
EXTENSIONS = frozenset((0, 43, 60, 135, 139, 140))
FRAGMENT, AUTHENTICATION = 44, 51
IP_IN_IP, IPV6_IN_IP, GRE, ETHERTYPE_BRIDGED = 4, 41, 47, 0x6558
MIRRORED, MIRRORED_3 = 0x88BE, 0x22EB
"""ERSPAN inside GRE (draft-foschiano-erspan): what a switch was told to copy."""
VXLAN_PORT, GENEVE_PORT = 4789, 6081
SMALLEST_ETHERTYPE = 0x600
"""Below it stands the length of an IEEE 802.3 frame, and LLC follows."""
LIMIT_EXTENSIONS = 16
PPP_PROTOCOLS = {0x21: ETHERTYPE_IPV4, 0x57: ETHERTYPE_IPV6}
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
                kind, at = PPP_PROTOCOLS.get(_TWO.unpack_from(data, at + 6)[0], 0), at + 8
            elif kind in MPLS:
                labels = 0
                while not data[at + 2] & 1 and labels < 16:
                    at, labels = at + 4, labels + 1
                at += 4
                kind = ETHERTYPE_IPV4 if data[at] >> 4 == 4 else ETHERTYPE_IPV6
            elif kind < SMALLEST_ETHERTYPE and data[at : at + 6] == b"\xaa\xaa\x03\x00\x00\x00":
                kind, at = _TWO.unpack_from(data, at + 6)[0], at + 8
        elif link in (RAW, RAW_BSD, RAW_OPENBSD, IPV4_ONLY, IPV6_ONLY):
            kind, at = (ETHERTYPE_IPV6 if data[0] >> 4 == 6 else ETHERTYPE_IPV4), 0
        elif link == LINUX_COOKED:
            kind, at = _TWO.unpack_from(data, 14)[0], 16
            while kind in VLANS and len(vlans) < 4:
                vlans = (*vlans, _TWO.unpack_from(data, at)[0] & 0xFFF)
                kind, at = _TWO.unpack_from(data, at + 2)[0], at + 4
        elif link == LINUX_COOKED_2:
            kind, at = _TWO.unpack_from(data, 0)[0], 20
        elif link in (NULL, LOOP, BSD_ENCAPSULATED):
            kind, at = _family(data), 12 if link == BSD_ENCAPSULATED else 4
        elif link in (PPP, PPP_SERIAL, PPP_DAEMON, PPP_OVER_ETHERNET, PPP_WITH_DIRECTION):
            kind, at = _point_to_point(link, data)
        elif link == CISCO_HDLC:
            kind, at = _TWO.unpack_from(data, 2)[0], 4
        elif link == PFLOG:
            kind, at = ETHERTYPE_IPV4 if data[1] == 2 else ETHERTYPE_IPV6, data[0] + 3 & ~3
        elif link == NFLOG:
            kind, at, end = _filter_log(data)
            data = data[:end]
        else:
            return f"link type {link}"
        if kind == ETHERTYPE_IPV4:
            return _ipv4(data, at, vlans)
        if kind == ETHERTYPE_IPV6:
            return _ipv6(data, at, vlans)
    except (IndexError, struct.error):
        return "cut before its addresses"
    return "not IP"


def _family(data: bytes) -> int:
    family = struct.unpack_from("<I", data)[0]
    if family > 0xFFFF:  # written by a machine of the other byte order
        family = struct.unpack_from(">I", data)[0]
    return ETHERTYPE_IPV6 if family in IPV6_FAMILIES else ETHERTYPE_IPV4 if family == 2 else 0


def _point_to_point(link: int, data: bytes) -> tuple[int, int]:
    """Type and place of what PPP carries (RFC 1661, RFC 1662): addresses may be left out, the protocol be one byte."""
    if link == PPP_SERIAL and data[:2] in (b"\x0f\x00", b"\x8f\x00"):  # Cisco HDLC on the same line
        return _TWO.unpack_from(data, 2)[0], 4
    at = 0
    if link == PPP_WITH_DIRECTION:
        at = 1
    elif link == PPP_OVER_ETHERNET:
        at = 6
    if link == PPP_DAEMON and data[0] <= 1:
        at = 2 if data[1] == 3 else 1
    elif data[at : at + 2] == b"\xff\x03":
        at += 2
    if data[at] & 1:
        return PPP_PROTOCOLS.get(data[at], 0), at + 1
    return PPP_PROTOCOLS.get(_TWO.unpack_from(data, at)[0], 0), at + 2


def _filter_log(data: bytes) -> tuple[int, int, int]:
    """Type, place and end of the packet in a message of NFLOG: values with length and type, in the host's order."""
    kind = {2: ETHERTYPE_IPV4, 10: ETHERTYPE_IPV6}.get(data[0], 0)
    for order in ("<", ">"):
        at = 4
        while at + 4 <= len(data):
            size, name = struct.unpack_from(order + "HH", data, at)
            if size < 4:
                break
            if name == 9:
                return kind, at + 4, at + size
            at += size + 3 & ~3
    return 0, 4, len(data)


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
            if kind == MIRRORED:  # its own header of 8 bytes is there where packets are numbered
                at += 8 if flags & 0x10 else 0
            elif kind == MIRRORED_3:
                at += 20 if payload[at + 11] & 1 else 12
            if kind in (ETHERTYPE_BRIDGED, MIRRORED, MIRRORED_3):
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


def overlaid(ip: Ip) -> tuple[str, Ip] | None:
    """The packet that a datagram of an overlay carries, and the name of that overlay: VXLAN (RFC 7348, also what
    clouds mirror traffic in) and Geneve (RFC 8926).

    Anybody may send such a datagram: it is one only where everything in it fits, and its own connection is counted too.
    """
    payload = ip.payload
    if ip.fragment is not None or len(payload) < 16:
        return None
    port = (payload[2] << 8) | payload[3]
    if port not in (VXLAN_PORT, GENEVE_PORT):
        return None
    name = "vxlan" if port == VXLAN_PORT else "geneve"
    if port == VXLAN_PORT:
        if payload[8] & 0xF7 != 0 or not payload[8] & 8 or payload[15]:
            return None
        inner = network_layer(ETHERNET, payload[16:])
    else:
        kind, at = (payload[10] << 8) | payload[11], 16 + (payload[8] & 0x3F) * 4
        if payload[8] >> 6 or kind not in (ETHERTYPE_BRIDGED, ETHERTYPE_IPV4, ETHERTYPE_IPV6):
            return None
        inner = network_layer(ETHERNET if kind == ETHERTYPE_BRIDGED else RAW, payload[at:])
    if isinstance(inner, str) or inner.fragment is not None or inner.cut > ip.cut:
        return None
    return name, inner
