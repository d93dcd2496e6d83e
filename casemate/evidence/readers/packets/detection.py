"""Which protocol a connection speaks, told by its first bytes (and, where bytes say little, by its port too).

Those with an analyser are read; of some others only the name is given, as Zeek's ``service`` does.
"""

from __future__ import annotations

from collections.abc import Callable

from casemate.evidence.readers.packets.protocols.base import Analyzer
from casemate.evidence.readers.packets.protocols.dce_rpc import DceRpc, looks_like_dce_rpc
from casemate.evidence.readers.packets.protocols.dns import Dns
from casemate.evidence.readers.packets.protocols.http import Http, looks_like_http
from casemate.evidence.readers.packets.protocols.rdp import Rdp, looks_like_rdp
from casemate.evidence.readers.packets.protocols.smb import Smb, looks_like_smb
from casemate.evidence.readers.packets.protocols.ssh import Ssh, looks_like_ssh
from casemate.evidence.readers.packets.protocols.tls import Tls, looks_like_tls

ENOUGH = 24
"""Bytes of one side after which a connection that was not recognised will not be."""
PREFIX_BYTES = 1024
ANALYZERS: tuple[tuple[Callable[[bytes], bool], type[Analyzer]], ...] = (
    (looks_like_http, Http),
    (looks_like_tls, Tls),
    (looks_like_smb, Smb),
    (looks_like_ssh, Ssh),
    (looks_like_rdp, Rdp),
    (looks_like_dce_rpc, DceRpc),
)
KERBEROS_TAGS = frozenset((0x6A, 0x6B, 0x6C, 0x6D, 0x6E, 0x6F, 0x7E))
LDAP_PORTS, KERBEROS_PORTS = (389, 3268), (88, 464)
DHCP_COOKIE = b"\x63\x82\x53\x63"


def analyzer_for(begin: bytes, port: int) -> type[Analyzer] | None:
    """The analyser for a TCP connection whose one side begins so."""
    for recognise, kind in ANALYZERS:
        if recognise(begin):
            return kind
    if port in (53, 5353) and len(begin) >= 14 and begin[6:8] in (b"\x00\x01", b"\x00\x00"):
        return Dns
    return None


def tcp_service(begin: bytes, port: int, originator: bool) -> str | None:
    """The name of a service without an analyser."""
    if port in KERBEROS_PORTS and len(begin) > 8 and begin[:2] == b"\x00\x00" and begin[4] in KERBEROS_TAGS:
        return "krb_tcp"
    if (
        port in LDAP_PORTS
        and len(begin) > 6
        and begin[0] == 0x30
        and (b"\x02\x01" in begin[:8] or b"\x02\x02" in begin[:8])
    ):
        return "ldap_tcp"
    if not originator:
        if begin[:4] in (b"220 ", b"220-"):
            return "smtp" if port in (25, 587, 465) or b"SMTP" in begin[:256] else "ftp"
        if begin[:3] == b"+OK":
            return "pop3"
        if begin[:4] == b"* OK":
            return "imap"
        if begin[:4] == b"RFB ":
            return "rfb"
        if len(begin) > 5 and begin[3] == 0 and begin[4] == 10 and port == 3306:
            return "mysql"
    return None


def udp_service(data: bytes, ports: tuple[int, int]) -> str | None:
    """The name of a service over UDP, DNS apart."""
    if 67 in ports and data[236:240] == DHCP_COOKIE:
        return "dhcp"
    if 123 in ports and len(data) >= 48 and 1 <= (data[0] >> 3) & 7 <= 4:
        return "ntp"
    if ports[1] in KERBEROS_PORTS and data[:1] and data[0] in KERBEROS_TAGS:
        return "krb"
    if ports[1] in LDAP_PORTS and data[:1] == b"\x30":
        return "ldap_udp"
    if 161 in ports and data[:1] == b"\x30":
        return "snmp"
    if len(data) >= 1200 and data[0] & 0xC0 == 0xC0 and data[1:5] in (b"\x00\x00\x00\x01", b"\x6b\x33\x43\xcf"):
        return "quic"
    return None
