"""EternalRomance, EternalSynergy and EternalChampion: transactions that are changed while they are under way.

*Confusion* (CVE-2017-0143): a write to a message pipe in raw mode is kept as a transaction whose id is the pipe's FID.
The server looks transactions up by tree, process, user and that number, without asking which command made them.  A
WRITE_ANDX whose FID is the multiplex id of another, incomplete transaction moves that transaction's data pointer, and
the secondaries that follow write beyond its buffer.  EternalRomance and EternalSynergy use it.

*Race* (CVE-2017-0146): a secondary that arrives when a transaction is whole and being executed still changes its
counts.  EternalChampion uses it for both leak and write, EternalSynergy for its leak.

Sources: worawit/MS17-010 (BUG.txt); Microsoft, "Eternal Champion Exploit Analysis" (2017) and "Eternal Synergy Exploit
Analysis" (2017); MS-CIFS 2.2.4.33, 2.2.4.34, 2.2.4.43, 3.3.5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from casemate.detect.signatures.eternalblue import WEAKNESS, WEAKNESS_TITLE
from casemate.detect.signatures.model import CONSTANT, INVARIANT, PREPARATION, Event, Feature, Seen, Signature, verdict
from casemate.detect.signatures.transactions import Connection, Message, Pair, Transaction

RENAME = "5"
OPEN_TRANSACTIONS = 4
MESSAGE_START, RAW_MODE = 0x0008, 0x0004
WORAWIT = "worawit/MS17-010, BUG.txt"
CHAMPION_ANALYSIS = "Microsoft 2017, Eternal Champion Exploit Analysis"
SYNERGY_ANALYSIS = "Microsoft 2017, Eternal Synergy Exploit Analysis"

WRITTEN = Feature(
    "write_into_transaction",
    INVARIANT,
    "a WRITE_ANDX whose FID is the multiplex id of an incomplete transaction of the same tree, process and user",
    "it moves that transaction's data pointer",
    WORAWIT,
)
CONTINUED = Feature(
    "continued_after_write",
    INVARIANT,
    "secondaries of that transaction after the write",
    "only they use the moved pointer; they write or read beyond the buffer",
    SYNERGY_ANALYSIS,
)
RACED = Feature(
    "secondary_after_whole",
    INVARIANT,
    "a secondary with data for a transaction that was whole, before its answer",
    "it changes the counts while the transaction is executed",
    CHAMPION_ANALYSIS,
)
LEAK = Feature(
    "leak_by_rename",
    PREPARATION,
    "an NT_TRANSACT with function NT_RENAME (5) that asks for data back",
    "the function does nothing, so the answer holds what lay in memory",
    CHAMPION_ANALYSIS,
)
GROOM = Feature(
    "open_transactions",
    PREPARATION,
    f"{OPEN_TRANSACTIONS} transactions or more of one connection left incomplete beside each other",
    "their buffers must lie beside the one that is overrun",
    SYNERGY_ANALYSIS,
)
LIBRARY = Feature(
    "process_id", CONSTANT, "process id 0xFEFF", "the SMB library of the published tools", "seen in public captures"
)
PORT = Feature("port", CONSTANT, "port 445 or 139", "the published tools speak to the file server's ports", WORAWIT)
UNCHECKED = "on packets written for tests only: no capture of the tool was at hand"

ROMANCE = Signature(
    "eternalromance",
    "EternalRomance: write into a transaction of the SMB1 server",
    ("T1210",),
    ("lateral-movement",),
    (WRITTEN, CONTINUED, GROOM, LIBRARY, PORT),
    WEAKNESS,
    WEAKNESS_TITLE,
    checked=UNCHECKED,
)
SYNERGY = Signature(
    "eternalsynergy",
    "EternalSynergy: write into a transaction after a race",
    ("T1210",),
    ("lateral-movement",),
    (WRITTEN, CONTINUED, RACED, GROOM, LIBRARY, PORT),
    WEAKNESS,
    WEAKNESS_TITLE,
    checked=UNCHECKED,
)
CHAMPION = Signature(
    "eternalchampion",
    "EternalChampion: race with a transaction of the SMB1 server",
    ("T1210",),
    ("lateral-movement",),
    (RACED, LEAK, GROOM, LIBRARY, PORT),
    WEAKNESS,
    WEAKNESS_TITLE,
    checked=UNCHECKED,
)


def examine(pair: Pair) -> Iterator[Event]:
    """One event for each connection in which a transaction was changed under way."""
    for connection in pair.connections:
        transactions = connection.transactions
        written = [one for one in transactions if one.writes and one.after_write]
        raced = [one for one in transactions if one.after_whole]
        leaks = [one for one in transactions if _leaks(one)]
        if written:
            yield from _event(pair, connection, SYNERGY if raced else ROMANCE, written, raced, leaks)
        elif raced and (leaks or len(raced) > 1):
            yield from _event(pair, connection, CHAMPION, [], raced, leaks)


def _leaks(transaction: Transaction) -> bool:
    primary = transaction.primary
    return transaction.kind == "NT_TRANSACT" and primary.subcommand == RENAME and primary["max_data"] > 0


def _event(
    pair: Pair,
    connection: Connection,
    signature: Signature,
    written: Sequence[Transaction],
    raced: Sequence[Transaction],
    leaks: Sequence[Transaction],
) -> Iterator[Event]:
    used = [*written, *raced]
    incomplete = [one for one in connection.transactions if not one.whole and one.reply is None]
    processes = sorted({one.primary["process_id"] for one in used})
    facts = {
        WRITTEN: (bool(written), f"{sum(len(one.writes) for one in written)} writes"),
        CONTINUED: (bool(written), f"{sum(len(one.after_write) for one in written)} secondaries"),
        RACED: (bool(raced), f"{len(raced)} transactions"),
        LEAK: (bool(leaks), f"{len(leaks)} requests"),
        GROOM: (len(incomplete) >= OPEN_TRANSACTIONS, f"{len(incomplete)} transactions"),
        LIBRARY: (processes == [0xFEFF], ", ".join(f"0x{one:04x}" for one in processes)),
        PORT: (connection.port in ("445", "139"), f"port {connection.port}"),
    }
    seen = tuple(Seen(feature, *facts[feature]) for feature in signature.features)
    result = verdict(seen, weakness=True, tool=processes == [0xFEFF])
    if result is None:
        return
    outcome, because, proof = _outcome(used, leaks)
    messages: list[Message] = [message for one in (*used, *leaks) for message in one.messages]
    messages += proof
    times = [message.time for message in messages if message.time is not None]
    yield Event(
        signature,
        result,
        outcome,
        because,
        "medium",
        seen,
        pair.evidence,
        tuple(sorted({message.record for message in messages})),
        pair.source,
        pair.target,
        connection.port,
        min(times, default=None),
        max(times, default=None),
        (connection.uid,),
    )


def _outcome(used: Sequence[Transaction], leaks: Sequence[Transaction]) -> tuple[str, str, list[Message]]:
    """What the server's answers say."""
    for one in (*leaks, *used):
        given = sum(max(0, answer["data"]) for answer in one.answers)
        if one.answers and given > max(0, one.primary["max_data"]):
            return (
                "succeeded",
                f"answers hold {given:,} bytes where {max(0, one.primary['max_data']):,} were asked for",
                one.answers,
            )
    replies = [one.reply for one in used if one.reply is not None]
    refused = [reply for reply in replies if reply.status not in (0, None)]
    if refused and len(refused) == len(replies):
        status = refused[0].status or 0
        return "failed", f"the server refused it (status 0x{status:08x})", refused[:1]
    return "unknown", "the server's answers do not say", replies[:1]
