"""SMB1 messages by connection, and the transactions they make up (MS-CIFS 3.2.4.1.5: a primary request and its
secondaries, which belong together by tree, process, user and multiplex id)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

FURTHER = 10**12
"""Rows of one packet after its first are numbered this plus its number (see the reader)."""
PRIMARIES = {"TRANSACTION": "TRANSACTION", "TRANSACTION2": "TRANSACTION2", "NT_TRANSACT": "NT_TRANSACT"}
SECONDARIES = {
    "TRANSACTION_SECONDARY": "TRANSACTION",
    "TRANSACTION2_SECONDARY": "TRANSACTION2",
    "NT_TRANSACT_SECONDARY": "NT_TRANSACT",
}
UNFINISHED = "unfinished"
NUMBERS = (
    "flags2", "tree_id", "process_id", "user_id", "multiplex_id", "word_count", "byte_count", "message_bytes",
    "timeout", "total_parameters", "total_data", "max_parameters", "max_data", "parameters", "data",
    "data_displacement", "fea_size", "fea_well_formed", "fid", "write_mode", "capabilities", "security_blob",
    "announced", "delivered", "packets",
)  # fmt: skip
COLUMNS = (
    *("evidence", "record", "time", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p"),
    *(
        "is_orig",
        "command",
        "status",
        "signature",
        "subcommand",
        "name",
        "content",
        "share",
        "data_digest",
        "head_digest",
    ),
    *NUMBERS,
)
"""What signatures read of ``smb1_message``."""


@dataclass(frozen=True)
class Message:
    """One SMB1 message; numbers are -1 where the message has none."""

    record: int
    time: datetime | None
    request: bool
    command: str
    status: int | None
    signature: str
    subcommand: str | None
    name: str | None
    content: str | None
    share: str | None
    digest: str | None
    head: str | None
    number: Mapping[str, int]

    def __getitem__(self, name: str) -> int:
        return self.number.get(name, -1)

    @property
    def key(self) -> tuple[int, int, int, int]:
        """What holds a transaction together."""
        return self["tree_id"], self["process_id"], self["user_id"], self["multiplex_id"]


@dataclass
class Transaction:
    """A primary request with what followed."""

    primary: Message
    secondaries: list[Message] = field(default_factory=list)
    after_whole: list[Message] = field(default_factory=list)
    """Secondaries sent after all data was there and before the reply."""
    writes: list[Message] = field(default_factory=list)
    """WRITE_ANDX of the same tree, process and user whose FID is this transaction's multiplex id."""
    after_write: list[Message] = field(default_factory=list)
    """Secondaries after such a write."""
    reply: Message | None = None
    answers: list[Message] = field(default_factory=list)
    """All its answers: data may come in several."""

    @property
    def kind(self) -> str:
        """The command it was begun with."""
        return self.primary.command

    @property
    def received(self) -> int:
        """Bytes of data so far."""
        return max(0, self.primary["data"]) + sum(max(0, one["data"]) for one in self.secondaries)

    @property
    def whole(self) -> bool:
        """Whether all announced bytes are there."""
        parameters = max(0, self.primary["parameters"]) + sum(max(0, one["parameters"]) for one in self.secondaries)
        return self.received >= self.primary["total_data"] and parameters >= self.primary["total_parameters"]

    @property
    def messages(self) -> list[Message]:
        """All requests."""
        return [self.primary, *self.secondaries, *self.writes]


@dataclass(frozen=True)
class Connection:
    """One connection: its messages in order and its transactions."""

    uid: str
    port: str
    messages: tuple[Message, ...]
    transactions: tuple[Transaction, ...]


@dataclass(frozen=True)
class Pair:
    """All connections of one client to one server in one capture."""

    evidence: str
    source: str
    target: str
    connections: tuple[Connection, ...]


def pairs(rows: Iterable[Mapping[str, Any]]) -> Iterator[Pair]:
    """Rows of ``smb1_message`` (columns :data:`COLUMNS`), in any order, by client and server."""
    found: dict[tuple[str, str, str], dict[str, list[Mapping[str, Any]]]] = {}
    for row in rows:
        key = row["evidence"], row["id.orig_h"] or "", row["id.resp_h"] or ""
        found.setdefault(key, {}).setdefault(row["uid"], []).append(row)
    for (evidence, source, target), connections in sorted(found.items()):
        built = [_connection(uid, several) for uid, several in connections.items()]
        yield Pair(evidence, source, target, tuple(sorted(built, key=lambda one: place(one.messages[0].record))))


def place(record: int) -> tuple[int, int]:
    """The order of rows: by packet, then within it."""
    return record % FURTHER, record // FURTHER


def _connection(uid: str, rows: Sequence[Mapping[str, Any]]) -> Connection:
    ordered = sorted(rows, key=lambda row: place(row["record"]))
    messages = tuple(_message(row) for row in ordered)
    return Connection(uid, ordered[0]["id.resp_p"] or "", messages, tuple(_transactions(messages)))


def _message(row: Mapping[str, Any]) -> Message:
    numbers = {
        name: int(row[name]) for name in NUMBERS if row.get(name) is not None and row[name].lstrip("-").isdigit()
    }
    status = row.get("status")
    return Message(
        record=row["record"],
        time=row["time"],
        request=row["is_orig"] == "true",
        command=row["command"] or "",
        status=int(status, 16) if status else None,
        signature=row.get("signature") or "",
        subcommand=row.get("subcommand"),
        name=row.get("name"),
        content=row.get("content"),
        share=row.get("share"),
        digest=row.get("data_digest"),
        head=row.get("head_digest"),
        number=numbers,
    )


def _transactions(messages: Sequence[Message]) -> list[Transaction]:
    under_way: dict[tuple[int, int, int, int], Transaction] = {}
    answered: dict[tuple[int, int, int, int], Transaction] = {}
    done: list[Transaction] = []
    for message in messages:
        if message.request:
            if message.command in PRIMARIES:
                begun = under_way[message.key] = Transaction(message)
                done.append(begun)
            elif message.command in SECONDARIES and message.key in under_way:
                current = under_way[message.key]
                if current.writes:
                    current.after_write.append(message)
                elif current.whole and (message["data"] > 0 or message["parameters"] > 0):
                    current.after_whole.append(message)
                current.secondaries.append(message)
            elif message.command == "WRITE_ANDX":
                tree, process, user, _ = message.key
                written = under_way.get((tree, process, user, message["fid"]))
                if written is not None and not written.whole:
                    written.writes.append(message)
        elif message.command in PRIMARIES and not (message.status == 0 and message["word_count"] == 0):
            if message.key in under_way:
                ended = answered[message.key] = under_way.pop(message.key)
                ended.reply = message
            if message.key in answered:
                answered[message.key].answers.append(message)
    return done
