"""What both generations of SMB say in the same tables: logons, tree connects, files, calls through pipes."""

from __future__ import annotations

from collections.abc import Mapping

from casemate.evidence.readers.packets.protocols.base import Emit, FilePart, Named
from casemate.evidence.readers.packets.protocols.dce_rpc import Calls, Pipe
from casemate.evidence.readers.packets.protocols.ntlm import AUTHENTICATE, CHALLENGE, find_ntlm
from casemate.evidence.readers.packets.streams import Ref

LIMIT_WAITING, LIMIT_HANDLES = 4096, 8192
PIPE_FOLDERS = ("\\pipe\\", "pipe\\", "\\")


class Logon:
    """One NTLM logon under way in session set-ups."""

    __slots__ = ("ref", "server", "values")

    def __init__(self) -> None:
        self.server: dict[str, str | None] = {}
        self.values: dict[str, str | None] | None = None
        self.ref: Ref | None = None

    def asked(self, blob: bytes, ref: Ref) -> None:
        """The client's security blob."""
        found = find_ntlm(blob)
        if found is not None and found.kind == AUTHENTICATE:
            self.values, self.ref = {**self.server, **found.values}, ref

    def answered(self, blob: bytes) -> None:
        """The server's security blob."""
        found = find_ntlm(blob)
        if found is not None and found.kind == CHALLENGE:
            self.server = found.values


class SmbParts:
    """Rows that SMB1 and SMB2 give alike."""

    def __init__(self, common: Mapping[str, str | None], emit: Emit, named: Named) -> None:
        self.common, self.emit, self.named = common, emit, named
        self.pipes: dict[object, tuple[str, Pipe]] = {}
        self.part: FilePart | None = None

    def row(self, table: str, ref: Ref, values: Mapping[str, str | None]) -> None:
        """One row of a table."""
        self.emit(table, ref, {**self.common, **values})

    def logged_on(self, logon: Logon, status: int, name: str) -> None:
        """The answer to a logon."""
        if logon.values is None or logon.ref is None:
            return
        self.named("ntlm")
        success = "true" if status == 0 else "false"
        self.row("zeek_ntlm", logon.ref, {**logon.values, "success": success, "status": name})
        logon.values = None

    def mapping(self, ref: Ref, path: str, service: str | None, kind: str | None) -> None:
        """A tree connect that was granted."""
        self.row("zeek_smb_mapping", ref, {"path": path, "service": service, "share_type": kind})

    def file(self, ref: Ref, action: str, path: str | None, name: str, **more: str | None) -> None:
        """Something was done to a file."""
        self.row("zeek_smb_files", ref, {"action": f"SMB::FILE_{action}", "path": path, "name": name, **more})

    def pipe(self, handle: object, name: str) -> None:
        """A named pipe was opened."""
        lowered = name.lower()
        for folder in PIPE_FOLDERS:
            if lowered.startswith(folder):
                name = name[len(folder) :]
                break
        shown = f"\\pipe\\{name}"

        def give(ref: Ref, values: dict[str, str | None]) -> None:
            self.named("dce_rpc")
            self.row("zeek_dce_rpc", ref, {"named_pipe": shown, **values})

        def logon(ref: Ref, values: dict[str, str | None]) -> None:
            self.row("zeek_ntlm", ref, values)

        if len(self.pipes) >= LIMIT_HANDLES:
            self.pipes.pop(next(iter(self.pipes)))
        self.pipes[handle] = name, Pipe(Calls(give, logon))

    def through(self, handle: object, originator: bool, data: bytes, ref: Ref) -> bool:
        """Bytes written to or read from a handle; whether that is a pipe."""
        found = self.pipes.get(handle)
        if found is None:
            return False
        if data:
            found[1].data(originator, data, ref)
        return True

    def finish(self) -> None:
        """The connection is over."""
        for _, pipe in self.pipes.values():
            pipe.calls.finish()
