"""SMB1 (MS-CIFS 2.2.3, 2.2.4; MS-SMB) into ``smb1_message``, ``zeek_smb_cmd`` and the tables of :mod:`smb_common`."""

from __future__ import annotations

import contextlib
import hashlib
import struct
from collections import OrderedDict

from casemate.evidence.readers.packets.protocols.base import text
from casemate.evidence.readers.packets.protocols.smb1_tables import COMMANDS, SMB1_MESSAGE, status_name
from casemate.evidence.readers.packets.protocols.smb_common import LIMIT_HANDLES, LIMIT_WAITING, Logon, SmbParts
from casemate.evidence.readers.packets.streams import Ref

TRANSACTION, TRANSACTION_SECONDARY, TRANSACTION2, TRANSACTION2_SECONDARY = 0x25, 0x26, 0x32, 0x33
NT_TRANSACT, NT_TRANSACT_SECONDARY = 0xA0, 0xA1
NEGOTIATE, SESSION_SETUP, TREE_CONNECT, NT_CREATE = 0x72, 0x73, 0x75, 0xA2
READ_ANDX, WRITE_ANDX, CLOSE = 0x2E, 0x2F, 0x04
UNICODE = 0x8000
HEAD_BYTES = 1024
"""Of longer data the beginning is told apart as well: some tools fill the rest with noise."""
LISTS = (TRANSACTION2, NT_TRANSACT)
_HEADER = struct.Struct("<4sBIBHH8sHHHHH")
Values = dict[str, str | None]


class Smb1(SmbParts):
    """One connection."""

    def __init__(self, common, emit, named) -> None:
        super().__init__(common, emit, named)
        self.waiting: OrderedDict[tuple[int, int, int], tuple[Ref, int, Values, object]] = OrderedDict()
        self.trees: dict[int, str] = {}
        self.handles: dict[int, str] = {}
        self.logon = Logon()
        self.packets = 0

    def unfinished(self, originator: bool, ref: Ref, announced: int, content: bytes, name: str, packets: int) -> None:
        """A message that was announced and never sent whole."""
        values: Values = {
            "is_orig": _truth(originator),
            "command": "unfinished",
            "announced": str(announced),
            "delivered": str(len(content)),
            "name": name,
            "content": "zeros" if not any(content[4:68]) else "other",
            "packets": str(packets),
            "data_digest": _digest(content),
        }
        self.row(SMB1_MESSAGE.name, ref, values)

    def message(self, originator: bool, message: bytes, ref: Ref, last: Ref, size: int) -> None:
        """One message; `last` is the packet that completed it."""
        _, code, status, flags, flags2, high, signature, _, tree, low, user, multiplex = _HEADER.unpack_from(message)
        reply = bool(flags & 0x80)
        words = message[33 : 33 + message[32] * 2]
        at = 33 + message[32] * 2
        count = struct.unpack_from("<H", message, at)[0] if at + 2 <= len(message) else 0
        body = message[at + 2 :]
        values: Values = {
            "is_orig": _truth(originator),
            "command": COMMANDS.get(code) or f"0x{code:02X}",
            "code": f"0x{code:02x}",
            "status": f"0x{status:08x}" if reply else None,
            "signature": signature.hex(),
            "header_flags": str(flags),
            "flags2": str(flags2),
            "tree_id": str(tree),
            "process_id": str((high << 16) | low),
            "user_id": str(user),
            "multiplex_id": str(multiplex),
            "word_count": str(message[32]),
            "byte_count": str(count),
            "message_bytes": str(size),
            "packets": str(self.packets) if self.packets else None,
        }
        values["share"] = self.trees.get(tree)
        wide = bool(flags2 & UNICODE)
        carried: object = None
        try:
            if not reply:
                carried = self._request(code, message, words, body, wide, values, ref)
            else:
                self._sizes_of_reply(code, words, values)
        except (struct.error, IndexError):
            values["content"] = "malformed"
        self.row(SMB1_MESSAGE.name, ref, values)
        key = (multiplex, low, code)
        if not reply:
            self.waiting[key] = ref, code, values, carried
            if len(self.waiting) > LIMIT_WAITING:
                self.waiting.popitem(last=False)
            return
        asked = self.waiting.pop(key, None)
        with contextlib.suppress(struct.error, IndexError):
            self._reply(code, status, tree, message, words, body, wide, ref, last, asked)
        if asked is not None:
            self._command(asked, status, ref)

    def _command(self, asked: tuple[Ref, int, Values, object], status: int, ref: Ref) -> None:
        begun, _, request, carried = asked
        values: Values = {
            "command": request["command"],
            "sub_command": request.get("subcommand"),
            "argument": carried if isinstance(carried, str) else None,
            "status": status_name(status),
            "version": "SMB1",
            "tree": request.get("share"),
        }
        if begun.time is not None and ref.time is not None and ref.time >= begun.time:
            values["rtt"] = f"{(ref.time - begun.time) / 1e6:.6f}"
        self.row("zeek_smb_cmd", begun, values)

    def _request(
        self, code: int, message: bytes, words: bytes, body: bytes, wide: bool, values: Values, ref: Ref
    ) -> object:
        if code in (TRANSACTION, TRANSACTION2, NT_TRANSACT):
            return self._transaction(code, message, words, body, wide, values, ref)
        if code in (TRANSACTION_SECONDARY, TRANSACTION2_SECONDARY, NT_TRANSACT_SECONDARY):
            layout, skip = ("<IIIIIIII", 3) if code == NT_TRANSACT_SECONDARY else ("<HHHHHHHH", 0)
            fields = struct.unpack_from(layout, words, skip)
            names = ("total_parameters", "total_data", "parameters", "", "parameter_displacement", "data", "",
                     "data_displacement")  # fmt: skip
            values |= {name: str(value) for name, value in zip(names, fields, strict=True) if name}
            _digests(values, message[fields[6] : fields[6] + fields[5]])
            return None
        if code == SESSION_SETUP:
            size = struct.unpack_from("<H", words, 4)[0]
            values["buffer_size"] = str(size)
            if len(words) >= 24 and len(words) < 26:
                blob, _, capabilities = struct.unpack_from("<HII", words, 14)
                values["security_blob"], values["capabilities"] = str(blob), str(capabilities)
                self.logon.asked(body[:blob], ref)
            elif len(words) >= 26:
                values["capabilities"] = str(struct.unpack_from("<I", words, 22)[0])
                self._plain_logon(words, body, wide, ref)
            return None
        if code == TREE_CONNECT:
            password = struct.unpack_from("<H", words, 6)[0]
            rest = body[password:]
            if wide and (len(words) + 3 + 32 + password) % 2:
                rest = rest[1:]
            path = _string(rest, wide)
            after = rest[(len(path) + 1) * (2 if wide else 1) :]
            return (path, text(after.split(b"\x00")[0]))
        if code == NT_CREATE:
            size = struct.unpack_from("<H", words, 5)[0]
            data = body[1:] if wide and len(body) > size else body
            name = _string(data[: size + 2], wide)
            values["name"] = name
            return name
        if code == WRITE_ANDX:
            fid, offset, timeout, mode, remaining, big, length, where = struct.unpack_from("<HIIHHHHH", words, 4)
            values |= {
                "fid": str(fid),
                "offset_low": str(offset),
                "timeout": str(timeout),
                "write_mode": str(mode),
                "remaining": str(remaining),
                "data": str(length | big << 16),
            }
            handle = ("1", fid)
            if not self.through(handle, True, message[where : where + length], ref):
                if fid in self.handles:
                    self._once(fid, "WRITE", ref)
                if self.part is not None:
                    name = self.handles.get(fid) or ""
                    self.part(fid, name, True, offset, message[where : where + length], ref)
            return fid
        if code == READ_ANDX:
            fid, offset = struct.unpack_from("<HI", words, 4)
            values |= {"fid": str(fid), "offset_low": str(offset)}
            if fid in self.handles:
                self._once(fid, "READ", ref)
            return fid
        if code == CLOSE:
            fid = struct.unpack_from("<H", words)[0]
            values["fid"] = str(fid)
            return fid
        return None

    def _transaction(
        self, code: int, message: bytes, words: bytes, body: bytes, wide: bool, values: Values, ref: Ref
    ) -> object:
        if code == NT_TRANSACT:
            total_parameters, total_data, most_parameters, most_data, parameters, _, data, where = struct.unpack_from(
                "<IIIIIIII", words, 3
            )
            setups = words[35]
            function = struct.unpack_from("<H", words, 36)[0]
            values["subcommand"] = f"{function}"
            setup = words[38 : 38 + 2 * setups]
        else:
            total_parameters, total_data, most_parameters, most_data = struct.unpack_from("<HHHH", words)
            values["timeout"] = str(struct.unpack_from("<I", words, 12)[0])
            parameters, _, data, where = struct.unpack_from("<HHHH", words, 18)
            setups = words[26]
            setup = words[28 : 28 + 2 * setups]
            if len(setup) >= 2:
                values["subcommand"] = str(struct.unpack_from("<H", setup)[0])
            if code == TRANSACTION:
                values["name"] = _string(body[1:] if wide else body, wide)
                if len(setup) >= 4:
                    values["fid"] = str(struct.unpack_from("<H", setup, 2)[0])
        values |= {
            "total_parameters": str(total_parameters),
            "total_data": str(total_data),
            "max_parameters": str(most_parameters),
            "max_data": str(most_data),
            "parameters": str(parameters),
            "data": str(data),
        }
        content = message[where : where + data]
        _digests(values, content)
        if code in LISTS and len(content) >= 4:
            values["fea_size"] = str(struct.unpack_from("<I", content)[0])
            values["fea_well_formed"] = str(_fea_walk(content))
        if code == TRANSACTION and values.get("subcommand") == "38" and "fid" in values:
            self.through(("1", int(values["fid"] or 0)), True, content, ref)
            return ("1", int(values["fid"] or 0))
        return None

    def _sizes_of_reply(self, code: int, words: bytes, values: Values) -> None:
        if code in (TRANSACTION, TRANSACTION2) and len(words) >= 18:
            total_parameters, total_data, _, parameters, _, _, data, _, shift = struct.unpack_from("<9H", words)
        elif code == NT_TRANSACT and len(words) >= 35:
            total_parameters, total_data, parameters, _, _, data, _, shift = struct.unpack_from("<8I", words, 3)
        else:
            return
        values |= {
            "total_parameters": str(total_parameters),
            "total_data": str(total_data),
            "parameters": str(parameters),
            "data": str(data),
            "data_displacement": str(shift),
        }

    def _reply(
        self,
        code: int,
        status: int,
        tree: int,
        message: bytes,
        words: bytes,
        body: bytes,
        wide: bool,
        ref: Ref,
        last: Ref,
        asked: tuple[Ref, int, Values, object] | None,
    ) -> None:
        if code == SESSION_SETUP:
            if len(words) >= 8:
                blob = struct.unpack_from("<H", words, 6)[0]
                self.logon.answered(body[:blob])
            if status != 0xC0000016:
                self.logged_on(self.logon, status, status_name(status))
        elif asked is None:
            return
        elif code == TREE_CONNECT and status == 0 and isinstance(asked[3], tuple):
            path, service = asked[3]
            if len(self.trees) < LIMIT_HANDLES:
                self.trees[tree] = path
            kind = "PIPE" if path.upper().endswith("IPC$") else "PRINT" if service == "LPT1:" else "DISK"
            self.mapping(asked[0], path, service, kind)
        elif code == NT_CREATE and status == 0 and isinstance(asked[3], str) and len(words) >= 7:
            fid = struct.unpack_from("<H", words, 5)[0]
            share = self.trees.get(tree)
            if share is not None and share.upper().endswith("IPC$"):
                self.pipe(("1", fid), asked[3])
            elif len(self.handles) < LIMIT_HANDLES:
                self.handles[fid] = asked[3]
                self.file(asked[0], "OPEN", share, asked[3])
        elif code == READ_ANDX and status in (0, 0x80000005) and len(words) >= 14:
            length, where = struct.unpack_from("<HH", words, 10)
            data = message[where : where + length]
            if not self.through(("1", asked[3]), False, data, ref) and self.part is not None:
                name = self.handles.get(asked[3], "") if isinstance(asked[3], int) else ""
                self.part(asked[3], name, False, int(asked[2].get("offset_low") or 0), data, ref)
        elif code == TRANSACTION and isinstance(asked[3], tuple) and len(words) >= 18:
            data, where = struct.unpack_from("<HH", words, 12)
            self.through(asked[3], False, message[where : where + data], ref)
        elif code == CLOSE and isinstance(asked[3], int):
            self.handles.pop(asked[3], None)

    def _once(self, fid: int, action: str, ref: Ref) -> None:
        """The first read or write of a handle."""
        marked = f"{action}\x00{self.handles[fid]}"
        if self.handles.get(-fid - 1) != marked:
            self.handles[-fid - 1] = marked
            self.file(ref, action, None, self.handles[fid])

    def _plain_logon(self, words: bytes, body: bytes, wide: bool, ref: Ref) -> None:
        """NTLM as it was before NTLMSSP: the answers stand in the message itself (MS-CIFS 2.2.4.53.1)."""
        short, long = struct.unpack_from("<HH", words, 14)
        rest = body[short + long :]
        if wide and (len(words) + 3 + 32 + short + long) % 2:
            rest = rest[1:]
        user = _string(rest, wide)
        rest = rest[(len(user) + 1) * (2 if wide else 1) :]
        domain = _string(rest, wide)
        self.logon.values, self.logon.ref = {"username": user or None, "domainname": domain or None}, ref


def _digests(values: Values, data: bytes) -> None:
    values["data_digest"] = _digest(data)
    if len(data) >= HEAD_BYTES:
        values["head_digest"] = _digest(data[:HEAD_BYTES])


def _digest(data: bytes) -> str | None:
    """The beginning of the SHA-256 of a transaction's data, to tell whether two messages carry the same."""
    return hashlib.sha256(data).hexdigest()[:16] if data else None


def _fea_walk(content: bytes) -> int:
    """How many bytes of an FEA list here are well formed (MS-CIFS 2.2.1.2.2): whole entries with names that end."""
    at = 4
    while at + 4 <= len(content):
        flag, name, value = struct.unpack_from("<BBH", content, at)
        end = at + 4 + name + 1 + value
        if flag & 0x7F or not name or end > len(content) or content[at + 4 + name] != 0:
            break
        at = end
    return at


def _string(data: bytes, wide: bool) -> str:
    """The text up to its zero."""
    if not wide:
        return text(data.split(b"\x00")[0])
    at = 0
    while at + 1 < len(data) and at < 4096 and data[at : at + 2] != b"\x00\x00":
        at += 2
    return data[:at].decode("utf-16-le", "backslashreplace")


def _truth(value: object) -> str:
    return "true" if value else "false"
