"""EternalBlue (CVE-2017-0143 to 0148, MS17-010): an FEA list of more than 64 KiB smuggled past a 16-bit command.

The server writes the size of a list of extended attributes back as 16 bits only (SrvOs2FeaListSizeToNt) and so copies
too much into a buffer that was measured too small.  TRANSACTION2, which alone leads there, cannot carry a list that
long; the server, though, takes the last message's command for the command of the whole.  So a transaction is begun as
NT_TRANSACT, whose sizes have 32 bits, and ended with TRANSACTION2_SECONDARY.  What is overwritten must be prepared:
connections that announce a message and leave it unfinished hold SRVNET buffers beside each other, a session set-up
that contradicts itself makes the server allocate a hole of the right size.

Sources: worawit/MS17-010 (BUG.txt, eternalblue_exploit7.py); RiskSense, "EternalBlue: Exploit Analysis and Port to
Microsoft Windows 10" (2017); MS-CIFS 2.2.4.46, 2.2.4.47, 2.2.4.62, 2.2.1.2.2.1; Microsoft MS17-010.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from casemate.detect.signatures.doublepulsar import answered_by_implant, orders
from casemate.detect.signatures.model import CONSTANT, INVARIANT, PREPARATION, Event, Feature, Seen, Signature, verdict
from casemate.detect.signatures.transactions import UNFINISHED, Connection, Message, Pair, Transaction, place

INVALID_PARAMETER = 0xC000000D
EXTENDED_SECURITY_FLAG = 0x0800
LARGE = 0x8000
GROOMS = 3
BEFORE, AFTER = timedelta(minutes=2), timedelta(minutes=10)
PACKET_BYTES = 1200
WORAWIT = "worawit/MS17-010, BUG.txt"
RISKSENSE = "RiskSense 2017, EternalBlue: Exploit Analysis and Port to Microsoft Windows 10"
CAPTURED = "seen in public captures of the tool"
FIRST = (66_512, 0x10000, 976, 1004, 1080)
"""Of the first piece: data announced, size of the list, data sent, byte count, length of the message."""
PIECE = (4096, 4096, 4149)
HOLE_SIZES = (22, 81)
"""Data, byte count and length of the further pieces; byte count and length of the session set-ups."""
FIRST_DIGEST, SECOND_DIGEST, GROOM_DIGEST = "3cd62c0d888c97ce", "5f70bf18a0860070", "7238c125eb831719"
"""Beginnings of the SHA-256 of the list's first piece, of the first KiB of its second piece (what follows is noise),
and of a groom's bytes, as the published tool sends them."""

MIXED = Feature(
    "mixed_transaction",
    INVARIANT,
    "a transaction begun as NT_TRANSACT and continued as TRANSACTION2_SECONDARY",
    "only NT_TRANSACT can announce more than 64 KiB, and only TRANSACTION2 leads to the faulty conversion",
    WORAWIT,
)
TOO_LONG = Feature(
    "beyond_16_bits",
    INVARIANT,
    "more data is announced than a TRANSACTION2 can carry (65,535 bytes)",
    "the size must not fit into the 16 bits that the server writes back",
    RISKSENSE,
)
CONTRADICTION = Feature(
    "list_contradicts_data",
    INVARIANT,
    "the FEA list's own size is above 65,535 and is not the size of the data",
    "the list must be cut short by the server while its size keeps its high 16 bits",
    RISKSENSE,
)
GROOM = Feature(
    "groom_connections",
    PREPARATION,
    f"{GROOMS} connections or more hold a large message that was announced and not sent whole",
    "their buffers in the server's pool lie beside the one that is overrun",
    RISKSENSE,
)
HOLE = Feature(
    "hole_by_session_setup",
    PREPARATION,
    "a SESSION_SETUP_ANDX in the form of extended security on a session without it",
    "the server reads the sizes at the wrong places and allocates the hole that the overrun buffer shall take",
    WORAWIT,
)
IDS = Feature("ids", CONSTANT, "multiplex id 0x41, process id 0xFEFF", "the published tool's SMB library", CAPTURED)
SIZES = Feature(
    "sizes",
    CONSTANT,
    "66,512 bytes announced, a list of 65,536, 976 bytes first, then 4,096 each, nothing between them",
    "the published tool's layout",
    CAPTURED,
)
CONTENT = Feature(
    "content",
    CONSTANT,
    "the beginning of the list and the bytes of the grooms are those of the published tool",
    "the published tool sends them unchanged each time",
    CAPTURED,
)
ORDER = Feature(
    "order",
    CONSTANT,
    "a hole first, then grooms, then a second hole, then at least five more grooms",
    "the published tool prepares in this order",
    CAPTURED,
)
GROOM_SIZES = Feature(
    "groom_sizes", CONSTANT, "each announces 65,527 bytes as SMB2 and sends 4,200", "the published tool", CAPTURED
)
PORT = Feature("port", CONSTANT, "port 445 or 139", "the published tool speaks to the file server's ports", CAPTURED)
SEGMENTS = Feature(
    "segments",
    CONSTANT,
    "no message is cut into more packets than its length needs",
    "the published tool sends each message at once",
    CAPTURED,
)

WEAKNESS = "ms17_010"
WEAKNESS_TITLE = "Weakness of the SMB1 server's transactions (MS17-010) used by an unknown tool"

ETERNALBLUE = Signature(
    "eternalblue",
    "EternalBlue: FEA list overflow of the SMB1 server",
    ("T1210",),
    ("lateral-movement",),
    (MIXED, TOO_LONG, CONTRADICTION, GROOM, HOLE, IDS, SIZES, CONTENT, ORDER, GROOM_SIZES, PORT, SEGMENTS),
    WEAKNESS,
    WEAKNESS_TITLE,
    checked="on captures of the tool (Windows 7)",
)


def examine(pair: Pair) -> Iterator[Event]:
    """One event for each transaction that uses the weakness."""
    mixed = [
        (connection, transaction)
        for connection in pair.connections
        for transaction in connection.transactions
        if transaction.kind == "NT_TRANSACT"
        and any(one.command == "TRANSACTION2_SECONDARY" for one in transaction.secondaries)
    ]
    taken: set[str] = set()
    for index, (connection, transaction) in enumerate(mixed):
        later = mixed[index + 1][1].primary.time if index + 1 < len(mixed) else None
        event = _event(pair, connection, transaction, later, taken)
        if event is not None:
            yield event


def _event(
    pair: Pair, connection: Connection, transaction: Transaction, later: datetime | None, taken: set[str]
) -> Event | None:
    primary = transaction.primary
    size, listed = primary["total_data"], primary["fea_size"]
    too_long = size > 0xFFFF
    contradiction = listed > 0xFFFF and listed != size
    beside = [one for one in pair.connections if one.uid != connection.uid and _near(one, transaction, later)]
    grooms = [(one, message) for one in beside if one.uid not in taken for message in one.messages if _groom(message)]
    holes = [(one, message) for one in beside if one.uid not in taken for message in one.messages if _hole(message)]
    taken.update(one.uid for one, _ in (*grooms, *holes))
    seen = (
        Seen(MIXED, True, f"begun as NT_TRANSACT, {len(transaction.secondaries)} pieces of other commands"),
        Seen(TOO_LONG, too_long, f"{size:,} bytes announced"),
        Seen(CONTRADICTION, contradiction, f"the list says {listed:,} bytes, the transaction {size:,}"),
        Seen(GROOM, len(grooms) >= GROOMS, f"{len(grooms)} connections"),
        Seen(HOLE, bool(holes), f"{len(holes)} session set-ups"),
        *_constants(connection, transaction, grooms, holes),
    )
    weakness = too_long or contradiction
    result = verdict(seen, weakness=weakness, tool=len(grooms) >= GROOMS)
    if result is None:
        return None
    outcome, because, proof = _outcome(pair, transaction, later)
    messages = [*transaction.messages, *(message for _, message in (*grooms, *holes)), *proof]
    if transaction.reply is not None:
        messages.append(transaction.reply)
    times = [message.time for message in messages if message.time is not None]
    return Event(
        ETERNALBLUE,
        result,
        outcome,
        because,
        "high" if too_long and contradiction else "medium",
        seen,
        pair.evidence,
        tuple(sorted({message.record for message in messages})),
        pair.source,
        pair.target,
        connection.port,
        min(times, default=None),
        max(times, default=None),
        tuple(dict.fromkeys((connection.uid, *(one.uid for one, _ in (*grooms, *holes))))),
    )


def _near(connection: Connection, transaction: Transaction, later: datetime | None) -> bool:
    """Whether a connection was begun around the transaction, and before the next attempt."""
    begun, here = connection.messages[0].time, transaction.primary.time
    if begun is None or here is None:
        return True
    return here - BEFORE <= begun <= here + AFTER and (later is None or begun < later)


def _groom(message: Message) -> bool:
    return (
        message.command == UNFINISHED
        and message.request
        and message["announced"] >= LARGE
        and message["announced"] > message["delivered"]
    )


def _hole(message: Message) -> bool:
    return (
        message.request
        and message.command == "SESSION_SETUP_ANDX"
        and message["word_count"] == 12
        and message["security_blob"] == 0
        and not message["flags2"] & EXTENDED_SECURITY_FLAG
    )


def _constants(
    connection: Connection,
    transaction: Transaction,
    grooms: Sequence[tuple[Connection, Message]],
    holes: Sequence[tuple[Connection, Message]],
) -> Iterator[Seen]:
    primary, pieces = transaction.primary, transaction.secondaries
    ids = primary["multiplex_id"], primary["process_id"]
    yield Seen(IDS, ids == (0x41, 0xFEFF), f"multiplex id 0x{ids[0]:02x}, process id 0x{ids[1]:04x}")
    lengths = sorted({(piece["data"], piece["byte_count"], piece["message_bytes"]) for piece in pieces})
    first = primary["total_data"], primary["fea_size"], primary["data"], primary["byte_count"], primary["message_bytes"]
    opened = {(message["byte_count"], message["message_bytes"]) for _, message in holes}
    yield Seen(
        SIZES,
        first == FIRST and lengths == [PIECE] and opened <= {HOLE_SIZES},
        f"{' / '.join(map(str, first))}; {', '.join(' / '.join(map(str, one)) for one in lengths[:3])}; "
        f"{', '.join(' / '.join(map(str, one)) for one in sorted(opened))}",
    )
    digests = {message.digest for _, message in grooms}
    second = pieces[0].head if pieces else None
    same = (primary.digest, second) == (FIRST_DIGEST, SECOND_DIGEST) and digests <= {GROOM_DIGEST}
    yield Seen(CONTENT, same, f"{primary.digest}; {second}; {', '.join(sorted(one or '-' for one in digests)[:3])}")
    prepared = [*((message, "g") for _, message in grooms), *((message, "h") for _, message in holes)]
    order = "".join(letter for _, letter in sorted(prepared, key=lambda one: place(one[0].record)))
    runs = order.split("h")
    told = len(runs) == 3 and not runs[0] and len(runs[1]) >= GROOMS and len(runs[2]) >= 5
    yield Seen(ORDER, told, order)
    sizes = {(message["announced"], message["delivered"], message.name) for _, message in grooms}
    yield Seen(
        GROOM_SIZES, sizes == {(65_527, 4_200, "SMB2")}, ", ".join(f"{a:,} / {d:,}" for a, d, _ in sorted(sizes)[:3])
    )
    yield Seen(PORT, connection.port in ("445", "139"), f"port {connection.port}")
    torn = [
        message
        for message in (*transaction.messages, *(message for _, message in (*grooms, *holes)))
        if message["packets"] > max(1, -(-(max(message["message_bytes"], message["delivered"]) + 4) // PACKET_BYTES))
    ]
    yield Seen(SEGMENTS, not torn, f"{len(torn)} messages in more packets than needed")


def _before(request: Message, here: Message, later: datetime | None) -> bool:
    """Whether a request still belongs to the attempt that began `here`."""
    if here.time is None or request.time is None:
        return True
    return request.time <= here.time + AFTER and (later is None or request.time < later)


def _outcome(pair: Pair, transaction: Transaction, later: datetime | None) -> tuple[str, str, list[Message]]:
    """What became of it: whether an implant answers afterwards, else what the server said."""
    here, reply = transaction.primary, transaction.reply
    asked: list[tuple[Message, Message]] = []
    for connection in pair.connections:
        for request, answer in orders(connection):
            if answer is None or place(request.record) < place(here.record) or not _before(request, here, later):
                continue
            asked.append((request, answer))
    asked.sort(key=lambda one: place(one[0].record))
    for request, answer in asked:
        if answered_by_implant(request, answer):
            return "succeeded", "afterwards the implant it installs answers", [request, answer]
    proof = [message for both in asked[:1] for message in both]
    if asked:
        return "failed", "the implant that was asked for afterwards does not answer", proof
    if reply is not None and reply.status == INVALID_PARAMETER:
        said = (
            "the server answered STATUS_INVALID_PARAMETER, as one does whose memory was overwritten; no more is known"
        )
        return "unknown", said, proof
    if reply is not None:
        return "failed", f"the server refused it (status 0x{reply.status or 0:08x})", proof
    return "unknown", "the server's answer was not captured", proof
