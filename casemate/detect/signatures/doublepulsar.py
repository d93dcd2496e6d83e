"""DoublePulsar: the implant that answers where SMB has no answer.

The implant hooks the table entry of TRANS2_SESSION_SETUP, a subcommand that no client sends because it was never
implemented, takes its order from the bytes of the Timeout field and answers by raising the multiplex id.

Sources: MS-CIFS 2.2.6.15 ("This subcommand was introduced in the LAN Manager 2.0 dialect. This command was reserved but
not implemented"); countercept/doublepulsar-detection-script; Z. Harding, "DoublePulsar Initial SMB Backdoor Ring 0
Shellcode Analysis" (2017).
"""

from __future__ import annotations

from collections.abc import Iterator

from casemate.detect.signatures.model import CONSTANT, INVARIANT, Event, Feature, Seen, Signature, verdict
from casemate.detect.signatures.transactions import Connection, Message, Pair

SESSION_SETUP = "14"
RAISED = {16: "done", 32: "wrong parameters", 48: "out of memory"}
ORDERS = {0x23: "ping", 0xC8: "run", 0x77: "remove"}
SHAPE_FIELDS = ("word_count", "parameters", "max_parameters", "byte_count", "message_bytes")
PING_SHAPE = (15, 12, 1, 13, 78)
HARDING = "Harding 2017, DoublePulsar Initial SMB Backdoor Ring 0 Shellcode Analysis"
CAPTURED = "seen in public captures of the tool"

RESERVED = Feature(
    "reserved_subcommand",
    INVARIANT,
    "a TRANSACTION2 request with subcommand SESSION_SETUP (0x000E)",
    "the implant hooks this entry of the server's table because nobody else calls it",
    "MS-CIFS 2.2.6.15",
)
ORDER = Feature(
    "order_in_timeout",
    INVARIANT,
    "the bytes of Timeout add up to an order of the implant (0x23 ping, 0xC8 run, 0x77 remove)",
    "the implant computes its order from this sum",
    HARDING,
)
ANSWER = Feature(
    "raised_multiplex_id",
    INVARIANT,
    "the answer's multiplex id is that of the request plus 0x10 (done), 0x20 or 0x30",
    "the implant returns its result in it; a server without the implant answers with the id it was asked with",
    HARDING,
)
KEY = Feature(
    "key_in_signature",
    INVARIANT,
    "the answer's signature field is not empty on an unsigned session",
    "the implant hands out the key for its payload there",
    HARDING,
)
IDS = Feature(
    "multiplex_ids",
    CONSTANT,
    "multiplex ids 0x41 (ping), 0x42 (run) or 0x43",
    "the published client counts up from 0x41",
    CAPTURED,
)
PROCESS = Feature("process_id", CONSTANT, "process id 0xFEFF", "the published client's SMB library", CAPTURED)
SHAPE = Feature(
    "request_shape",
    CONSTANT,
    "15 words, 12 bytes of parameters, at most 1 parameter back, 78 bytes in all",
    "the published client's request",
    CAPTURED,
)
PORT = Feature("port", CONSTANT, "port 445 or 139", "the published client speaks to the file server's ports", CAPTURED)
SEGMENTS = Feature(
    "segments",
    CONSTANT,
    "a request comes in one packet",
    "the published client sends each request at once",
    CAPTURED,
)

DOUBLEPULSAR = Signature(
    "doublepulsar",
    "DoublePulsar implant",
    ("T1205",),
    ("command-and-control", "lateral-movement", "persistence"),
    (RESERVED, ORDER, ANSWER, KEY, IDS, PROCESS, SHAPE, PORT, SEGMENTS),
    "smb1_implant",
    "An SMB1 server answers as one with a DoublePulsar-like implant",
    checked="on captures of the tool (Windows 7)",
)


def orders(connection: Connection) -> Iterator[tuple[Message, Message | None]]:
    """Requests with the reserved subcommand, each with its answer."""
    messages = connection.messages
    for index, asked in enumerate(messages):
        if not asked.request or asked.command != "TRANSACTION2" or asked.subcommand != SESSION_SETUP:
            continue
        answer = None
        for message in messages[index + 1 :]:
            if message.request:
                if message.command == "TRANSACTION2" and message["multiplex_id"] == asked["multiplex_id"]:
                    break
                continue
            raised = message["multiplex_id"] - asked["multiplex_id"]
            if message.command == "TRANSACTION2" and (raised == 0 or raised in RAISED):
                answer = message
                break
        yield asked, answer


def answered_by_implant(asked: Message, answer: Message | None) -> bool:
    """Whether something answered that no server answers with."""
    return answer is not None and answer["multiplex_id"] - asked["multiplex_id"] in RAISED


def order_of(asked: Message) -> str | None:
    """The order in a request's Timeout."""
    timeout = asked["timeout"]
    if timeout < 0:
        return None
    return ORDERS.get(sum(timeout.to_bytes(4, "little")) & 0xFF)


def examine(pair: Pair) -> Iterator[Event]:
    """One event for each connection with orders to an implant."""
    for connection in pair.connections:
        found = list(orders(connection))
        if not found:
            continue
        yes = [(asked, answer) for asked, answer in found if answered_by_implant(asked, answer)]
        named = [order_of(asked) for asked, _ in found]
        ordered = [name for name in named if name]
        if not yes and not ordered:
            continue  # the reserved subcommand alone is odd, and no more
        seen = tuple(_seen(connection, found, yes, named))
        result = verdict(seen, weakness=True, tool=bool(ordered))
        if result is None:
            continue
        answers = [answer for _, answer in found if answer is not None]
        if yes:
            done = RAISED[yes[-1][1]["multiplex_id"] - yes[-1][0]["multiplex_id"]] if yes[-1][1] is not None else ""
            outcome, because = "succeeded", f"an implant answered (multiplex id raised: {done})"
        elif answers:
            outcome, because = "failed", "the server answered as one without an implant does (multiplex id unchanged)"
        else:
            outcome, because = "unknown", "no answer was captured"
        requests = [asked for asked, _ in found]
        records = tuple(sorted({message.record for message in (*requests, *answers)}))
        times = [message.time for message in (*requests, *answers) if message.time is not None]
        yield Event(
            DOUBLEPULSAR,
            result,
            outcome,
            because,
            "high" if yes or len(ordered) == len(found) else "medium",
            seen,
            pair.evidence,
            records,
            pair.source,
            pair.target,
            connection.port,
            min(times, default=None),
            max(times, default=None),
            (connection.uid,),
        )


def _seen(
    connection: Connection,
    found: list[tuple[Message, Message | None]],
    yes: list[tuple[Message, Message | None]],
    named: list[str | None],
) -> Iterator[Seen]:
    requests = [asked for asked, _ in found]
    answers = [answer for _, answer in found if answer is not None]
    yield Seen(RESERVED, True, f"{len(found)} requests")
    yield Seen(ORDER, all(named), ", ".join(name or "no order" for name in named))
    if yes:
        raised = sorted({answer["multiplex_id"] - asked["multiplex_id"] for asked, answer in yes if answer is not None})
        yield Seen(ANSWER, True, f"raised by {', '.join(f'0x{one:02x}' for one in raised)}")
        keyed = [answer for _, answer in yes if answer is not None and answer.signature.strip("0")]
        yield Seen(KEY, bool(keyed), f"{len(keyed)} of {len(yes)} answers of the implant")
    else:
        said = "answered with the same id" if answers else "no answer captured"
        yield Seen(ANSWER, None, f"{said}: no implant spoke")
        yield Seen(KEY, None, "no implant spoke")
    ids = sorted({asked["multiplex_id"] for asked in requests})
    yield Seen(IDS, set(ids) <= {0x41, 0x42, 0x43}, ", ".join(f"0x{one:02x}" for one in ids))
    processes = sorted({asked["process_id"] for asked in requests})
    yield Seen(PROCESS, processes == [0xFEFF], ", ".join(f"0x{one:04x}" for one in processes))
    shapes = sorted({tuple(asked[name] for name in SHAPE_FIELDS) for asked in requests})
    pings = [asked for asked, name in zip(requests, named, strict=True) if name == "ping"]
    usual = all(tuple(one[name] for name in SHAPE_FIELDS) == PING_SHAPE for one in pings)
    yield Seen(SHAPE, usual, "; ".join(" / ".join(map(str, shape)) for shape in shapes))
    yield Seen(PORT, connection.port in ("445", "139"), f"port {connection.port}")
    most = max(max(1, asked["packets"]) for asked in pings or requests)
    yield Seen(SEGMENTS, most == 1 or not pings, f"at most {most} packets")
