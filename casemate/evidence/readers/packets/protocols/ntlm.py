"""NTLMSSP messages (MS-NLMP 2.2.1) inside the security blobs of other protocols."""

from __future__ import annotations

import struct
from typing import NamedTuple

from casemate.evidence.readers.packets.protocols.base import MALFORMED

SIGNATURE = b"NTLMSSP\x00"
CHALLENGE, AUTHENTICATE = 2, 3
UNICODE = 1
PAIRS = {1: "server_nb_computer_name", 3: "server_dns_computer_name", 5: "server_tree_name"}


class Ntlm(NamedTuple):
    """One message: its kind (1 to 3) and the columns of ``zeek_ntlm`` it says."""

    kind: int
    values: dict[str, str | None]


def find_ntlm(blob: bytes) -> Ntlm | None:
    """The first NTLMSSP message in a blob, if there is one."""
    at = blob.find(SIGNATURE)
    if at < 0:
        return None
    message = blob[at:]
    try:
        kind = struct.unpack_from("<I", message, 8)[0]
        if kind == CHALLENGE:
            return Ntlm(kind, _target(message))
        if kind == AUTHENTICATE:
            flags = struct.unpack_from("<I", message, 60)[0]
            names = ("domainname", 28), ("username", 36), ("hostname", 44)
            return Ntlm(kind, {name: _text(message, place, flags) or None for name, place in names})
        return Ntlm(kind, {})
    except MALFORMED:
        return None


def _text(message: bytes, place: int, flags: int) -> str:
    size, _, offset = struct.unpack_from("<HHI", message, place)
    data = message[offset : offset + size]
    return data.decode("utf-16-le" if flags & UNICODE else "latin-1", "backslashreplace")


def _target(message: bytes) -> dict[str, str | None]:
    if len(message) < 48:
        return {}
    size, _, offset = struct.unpack_from("<HHI", message, 40)
    pairs, at = message[offset : offset + size], 0
    said: dict[str, str | None] = {}
    while at + 4 <= len(pairs):
        kind, length = struct.unpack_from("<HH", pairs, at)
        if kind == 0:
            break
        if kind in PAIRS:
            said[PAIRS[kind]] = pairs[at + 4 : at + 4 + length].decode("utf-16-le", "backslashreplace")
        at += 4 + length
    return said
