"""SMB2 and SMB3 (MS-SMB2 2.2) into ``zeek_smb_cmd`` and the tables of :mod:`smb_common`."""

from __future__ import annotations

import contextlib
import struct
from collections import OrderedDict

from casemate.evidence.readers.packets.protocols.smb1_tables import COMMANDS2, status_name
from casemate.evidence.readers.packets.protocols.smb_common import LIMIT_HANDLES, LIMIT_WAITING, Logon, SmbParts
from casemate.evidence.readers.packets.streams import Ref

NEGOTIATE, SESSION_SETUP, TREE_CONNECT, CREATE, CLOSE, READ, WRITE, IOCTL, SET_INFO = 0, 1, 3, 5, 6, 8, 9, 11, 17
PENDING, MORE_PROCESSING, BUFFER_OVERFLOW = 0x103, 0xC0000016, 0x80000005
PIPE_TRANSCEIVE = 0x0011C017
SHARE_TYPES = {1: "DISK", 2: "PIPE", 3: "PRINT"}
RENAME_CLASS, DISPOSITION_CLASS = 10, 13
DELETE_ON_CLOSE = 0x1000
RESPONSE, ASYNCHRONOUS = 1, 2
LIMIT_COMPOUND = 64
_HEADER = struct.Struct("<4sHHIHHIIQIIQ")
Values = dict[str, str | None]


class Smb2(SmbParts):
    """One connection."""

    def __init__(self, common, emit, named) -> None:
        super().__init__(common, emit, named)
        self.waiting: OrderedDict[int, tuple[Ref, int, Values, object]] = OrderedDict()
        self.trees: dict[int, tuple[str, int]] = {}
        self.handles: dict[bytes, list[object]] = {}
        self.logons: dict[int, Logon] = {}
        self.users: dict[int, str] = {}
        self.logon = Logon()
        self.last_created: bytes = b""

    def messages(self, originator: bool, message: bytes, ref: Ref, last: Ref) -> None:
        """One message or several compounded ones."""
        at = 0
        for _ in range(LIMIT_COMPOUND):
            if message[at : at + 4] != b"\xfeSMB" or at + 64 > len(message):
                return
            following = struct.unpack_from("<I", message, at + 20)[0]
            end = at + following if following else len(message)
            with contextlib.suppress(struct.error, IndexError):
                self._message(message[at:end], ref)
            if not following or following < 64:
                return
            at = end

    def _message(self, message: bytes, ref: Ref) -> None:
        _, _, _, status, code, _, flags, _, identity, _, tree, session = _HEADER.unpack_from(message)
        if flags & RESPONSE:
            self._answer(message, status, code, flags, identity, tree, session, ref)
            return
        values: Values = {"command": COMMANDS2[code] if code < len(COMMANDS2) else f"0x{code:02X}"}
        share = self.trees.get(tree)
        values["tree"] = share[0] if share else None
        values["username"] = self.users.get(session)
        carried: object = None
        body = message[64:]
        if code == SESSION_SETUP:
            where, size = struct.unpack_from("<HH", body, 12)
            self.logon.asked(message[where : where + size], ref)
        elif code == TREE_CONNECT:
            where, size = struct.unpack_from("<HH", body, 4)
            carried = _wide(message[where : where + size])
            values["argument"] = carried
        elif code == CREATE:
            where, size = struct.unpack_from("<HH", body, 44)
            name = _wide(message[where : where + size])
            carried = (name, struct.unpack_from("<I", body, 40)[0])
            values["argument"] = name or "<share_root>"
        elif code == WRITE:
            where, size, offset = struct.unpack_from("<HIQ", body, 2)
            handle = self._handle(body[16:32])
            values["argument"] = self._name(handle)
            if not self.through(handle, True, message[where : where + size], ref):
                self._once(handle, "WRITE", ref, data_offset_req=str(offset), data_len_req=str(size))
                if self.part is not None:
                    self.part(handle, self._name(handle) or "", True, offset, message[where : where + size], ref)
        elif code == READ:
            size, offset = struct.unpack_from("<IQ", body, 4)
            handle = self._handle(body[16:32])
            carried = handle, offset
            values["argument"] = self._name(handle)
            if handle not in self.pipes:
                self._once(handle, "READ", ref, data_offset_req=str(offset), data_len_req=str(size))
        elif code == IOCTL:
            control = struct.unpack_from("<I", body, 4)[0]
            handle = self._handle(body[8:24])
            where, size = struct.unpack_from("<II", body, 24)
            values["sub_command"] = f"0x{control:08x}"
            if control == PIPE_TRANSCEIVE:
                self.through(handle, True, message[where : where + size], ref)
                carried = handle
        elif code == CLOSE:
            carried = self._handle(body[8:24])
            values["argument"] = self._name(carried)
        elif code == SET_INFO:
            self._set_info(message, body, ref)
        self.waiting[identity] = ref, code, values, carried
        if len(self.waiting) > LIMIT_WAITING:
            self.waiting.popitem(last=False)

    def _answer(
        self, message: bytes, status: int, code: int, flags: int, identity: int, tree: int, session: int, ref: Ref
    ) -> None:
        if status == PENDING and flags & ASYNCHRONOUS:
            return
        asked = self.waiting.pop(identity, None)
        body = message[64:]
        if code == SESSION_SETUP:
            where, size = struct.unpack_from("<HH", body, 4) if len(body) >= 8 else (0, 0)
            self.logon.answered(message[where : where + size])
            if status != MORE_PROCESSING:
                if self.logon.values is not None and status == 0 and len(self.users) < LIMIT_HANDLES:
                    domain, user = self.logon.values.get("domainname"), self.logon.values.get("username")
                    if user:
                        self.users[session] = f"{domain}\\{user}" if domain else user
                self.logged_on(self.logon, status, status_name(status))
        if asked is None:
            return
        begun, _, values, carried = asked
        if code == TREE_CONNECT and status == 0 and isinstance(carried, str):
            kind = body[2]
            if len(self.trees) < LIMIT_HANDLES:
                self.trees[tree] = carried, kind
            self.mapping(begun, carried, None, SHARE_TYPES.get(kind))
        elif code == CREATE and status == 0 and isinstance(carried, tuple):
            self._created(tree, body, carried, begun)
        elif code == READ and status in (0, BUFFER_OVERFLOW) and isinstance(carried, tuple):
            where, size = body[2], struct.unpack_from("<I", body, 4)[0]
            handle, offset = carried
            piped = self.through(handle, False, message[where : where + size], ref)
            if not piped and self.part is not None:
                self.part(handle, self._name(handle) or "", False, offset, message[where : where + size], ref)
        elif code == IOCTL and isinstance(carried, bytes) and len(body) >= 40:
            where, size = struct.unpack_from("<II", body, 32)
            self.through(carried, False, message[where : where + size], ref)
        elif code == CLOSE and isinstance(carried, bytes):
            self.handles.pop(carried, None)
        values |= {"status": status_name(status), "version": "SMB2"}
        if begun.time is not None and ref.time is not None and ref.time >= begun.time:
            values["rtt"] = f"{(ref.time - begun.time) / 1e6:.6f}"
        self.row("zeek_smb_cmd", begun, values)

    def _created(self, tree: int, body: bytes, asked: tuple[str, int], begun: Ref) -> None:
        name, options = asked
        handle = bytes(body[64:80])
        self.last_created = handle
        share = self.trees.get(tree)
        if (share is not None and share[1] == 2) or (share is None and name.lower() in KNOWN_PIPES):
            self.pipe(handle, name)
            return
        if len(self.handles) < LIMIT_HANDLES:
            self.handles[handle] = [name, share[0] if share else None]
        size = struct.unpack_from("<Q", body, 48)[0]
        self.file(begun, "OPEN", share[0] if share else None, name or "<share_root>", size=str(size))
        if options & DELETE_ON_CLOSE:
            self.file(begun, "DELETE", share[0] if share else None, name)

    def _set_info(self, message: bytes, body: bytes, ref: Ref) -> None:
        kind, group = body[2], body[3]
        size, where = struct.unpack_from("<IH", body, 4)
        handle = self._handle(body[16:32])
        known = self.handles.get(handle)
        if kind != 1 or known is None:
            return
        data = message[where : where + size]
        share = known[1] if isinstance(known[1], str) else None
        if group == RENAME_CLASS and len(data) >= 20:
            length = struct.unpack_from("<I", data, 16)[0]
            self.file(ref, "RENAME", share, _wide(data[20 : 20 + length]), prev_name=str(known[0]))
        elif group == DISPOSITION_CLASS and data[:1] == b"\x01":
            self.file(ref, "DELETE", share, str(known[0]))

    def _handle(self, handle: bytes) -> bytes:
        """The handle; all ones mean the one created before it in a compound."""
        return self.last_created if handle == b"\xff" * 16 else bytes(handle)

    def _name(self, handle: bytes) -> str | None:
        if handle in self.pipes:
            return self.pipes[handle][0]
        known = self.handles.get(handle)
        return str(known[0]) if known else None

    def _once(self, handle: bytes, action: str, ref: Ref, **more: str | None) -> None:
        known = self.handles.get(handle)
        if known is not None and action not in known[2:]:
            known.append(action)
            self.file(ref, action, known[1] if isinstance(known[1], str) else None, str(known[0]), **more)


KNOWN_PIPES = frozenset(
    ("svcctl", "srvsvc", "wkssvc", "samr", "lsarpc", "netlogon", "atsvc", "winreg", "spoolss", "epmapper", "drsuapi")
)
"""Names that are pipes even where the tree connect was not captured."""


def _wide(data: bytes) -> str:
    return data.decode("utf-16-le", "backslashreplace")
