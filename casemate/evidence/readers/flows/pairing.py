"""Flows put together to connections, in the words of Zeek's conn.log.

Exporters write one record per direction, and one more each time a long flow reaches their active timeout.  Records of
the same ends and protocol from the same exporter are one connection as long as none begins later after the end of
the others than Zeek's inactivity timeouts.  What is known, and what is not:

* Who began it: the direction that started first by the exporter's clock; where both say the same time, the side whose
  port servers listen on was asked, else the side with the lower port.  One direction alone that comes from such a
  port is taken for the answer (``^`` in the history, as Zeek does).
* ``orig_ip_bytes`` and ``resp_ip_bytes`` are as counted, IP headers included.  ``orig_bytes`` and ``resp_bytes`` are
  these less the smallest headers each packet must have: exact for UDP, at most that much for TCP (options count in).
* ``conn_state`` is told by the flags of all packets of each side together: their order is not known, so there is no
  history of letters.  A side of which no record exists is not said to have been silent, unless the flags of the other
  say so (a SYN that was never followed by an ACK).
* ``rest`` says which records went into it (``flows``), whether both directions were there (``directions``), and
  whether the exporter looked at a sample only: numbers stay as exported, they are not scaled up.
"""

from __future__ import annotations

import base64
import hashlib
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from casemate.evidence.readers.flows.records import ICMP, ICMP6, TCP, UDP, FlowRecord
from casemate.evidence.readers.packets.connections import (
    ACK,
    FIN,
    PROTOCOLS,
    REPLIES,
    REPLIES6,
    RST,
    SERVER_PORTS,
    SYN,
    TIMEOUTS,
    community_id,
)
from casemate.evidence.readers.packets.streams import Ref

OTHER_TIMEOUT = 60_000_000
MOST_OPEN = 200_000
SWEEP_EVERY = 50_000
SLACK = 600_000_000
"""Exporters write a flow when it is over or cut off: records come up to that much out of order."""
FLOWS_TOLD = 64
SMALLEST = {(TCP, 4): 40, (TCP, 6): 60, (UDP, 4): 28, (UDP, 6): 48, (ICMP, 4): 28, (ICMP6, 6): 48}
"""Smallest IP and transport header of a packet, by protocol and version of IP."""
NOTHING_TOLD = 20
Key = tuple[str, int, str, int, int, str]


@dataclass(slots=True)
class Side:
    """What one end sent."""

    octets: int = 0
    packets: int = 0
    flags: int | None = None
    start: int | None = None
    records: int = 0


@dataclass(slots=True)
class Pair:
    """One connection under way.  `sides` belong to `ends`: (address, port) of each."""

    ends: tuple[tuple[str, int], tuple[str, int]]
    protocol: int
    ref: Ref
    uid: str
    begin: int | None
    end: int | None
    exporter: str
    sides: tuple[Side, Side]
    flows: list[int] = field(default_factory=list)
    more: int = 0
    sampled: bool = False
    first_side: int = 0


Emit = Callable[[Ref, dict[str, str | None]], None]


class Pairing:
    """Takes flows in the order of the evidence; `emit` gets the first record of a connection and its row."""

    def __init__(self, emit: Emit) -> None:
        self.emit = emit
        self.open: dict[Key, Pair] = {}
        self.evicted = self.both = self.one_way = self.timeless = 0
        self.latest = 0
        self.count = 0

    def add(self, flow: FlowRecord, ref: Ref) -> str | None:
        """The uid of the connection a flow belongs to; None if its ends are not known."""
        if not flow.source or not flow.target:
            return None
        self.count += 1
        if self.count % SWEEP_EVERY == 0:
            self._sweep()
        low, high = (flow.source, flow.source_port), (flow.target, flow.target_port)
        if flow.protocol in (ICMP, ICMP6):
            low, high = _icmp_ends(flow)
        turned = high < low
        one, two = (high, low) if turned else (low, high)
        key = (*one, *two, flow.protocol, flow.exporter)
        pair = self.open.get(key)
        if pair is not None and _apart(pair, flow):
            self._end(key)
            pair = None
        if pair is None:
            named = f"{ref.number} {ref.offset} {flow.start} {key}".encode()
            uid = "C" + base64.b32encode(hashlib.sha1(named, usedforsecurity=False).digest()[:10]).decode()
            pair = Pair(
                (one, two), flow.protocol, ref, uid, flow.start, flow.end, flow.exporter, (Side(), Side()),
                first_side=int(turned),
            )  # fmt: skip
            self.open[key] = pair
            if len(self.open) > MOST_OPEN:
                self.evicted += 1
                self._end(next(iter(self.open)))
        self._take(pair, flow, int(turned), ref)
        return pair.uid

    def finish(self) -> None:
        """There are no more flows."""
        for key in list(self.open):
            self._end(key)

    def _take(self, pair: Pair, flow: FlowRecord, side: int, ref: Ref) -> None:
        _count(pair.sides[side], flow.octets, flow.packets, flow.flags, flow.start)
        if flow.back_octets is not None or flow.back_packets is not None:
            if flow.back_octets or flow.back_packets:
                _count(pair.sides[1 - side], flow.back_octets, flow.back_packets, flow.back_flags, None)
            pair.first_side = side  # a record of both directions names the one that began as its source
        elif flow.start is not None:
            self._first(pair, side)
        if flow.start is not None and (pair.begin is None or flow.start < pair.begin):
            pair.begin = flow.start
        if flow.end is not None:
            pair.end = flow.end if pair.end is None else max(pair.end, flow.end)
            self.latest = max(self.latest, flow.end)
        pair.sampled |= flow.sampled
        if pair.flows and pair.flows[-1] == ref.number:
            pass  # several of one packet
        elif len(pair.flows) < FLOWS_TOLD:
            pair.flows.append(ref.number)
        else:
            pair.more += 1

    def _first(self, pair: Pair, side: int) -> None:
        """Which side began, as far as the starts tell."""
        mine, other = pair.sides[side].start, pair.sides[1 - side].start
        if mine is None or other is None:
            return
        if mine != other:
            pair.first_side = side if mine < other else 1 - side
        else:
            pair.first_side = _asking(pair)

    def _sweep(self) -> None:
        """End connections that no record can belong to any more."""
        for key, pair in list(self.open.items()):
            timeout = TIMEOUTS.get(pair.protocol, OTHER_TIMEOUT)
            if pair.end is not None and self.latest - pair.end > timeout + SLACK:
                self._end(key)

    def _end(self, key: Key) -> None:
        pair = self.open.pop(key)
        both = all(side.records for side in pair.sides)
        self.both += both
        self.one_way += not both
        self.timeless += pair.begin is None
        # where nothing ever was seen of two directions, the silence of one says nothing
        self.emit(pair.ref._replace(time=pair.begin), _row(pair, both, answers_show=self.both > 0))


def _apart(pair: Pair, flow: FlowRecord) -> bool:
    """Whether a flow is too far from a connection to belong to it."""
    timeout = TIMEOUTS.get(pair.protocol, OTHER_TIMEOUT)
    if flow.start is not None and pair.end is not None and flow.start - pair.end > timeout:
        return True
    return flow.end is not None and pair.begin is not None and pair.begin - flow.end > timeout


def _count(side: Side, octets: int | None, packets: int | None, flags: int | None, start: int | None) -> None:
    side.octets += octets or 0
    side.packets += packets or 0
    if flags is not None:
        side.flags = (side.flags or 0) | flags
    if start is not None and (side.start is None or start < side.start):
        side.start = start
    side.records += 1


def _icmp_ends(flow: FlowRecord) -> tuple[tuple[str, int], tuple[str, int]]:
    """A question and its answer have the same ends: type and code as Zeek writes them."""
    replies = REPLIES if flow.protocol == ICMP else REPLIES6
    kind, code = flow.source_port, flow.target_port
    return (flow.source, kind), (flow.target, replies.get(kind, code))


def _asking(pair: Pair) -> int:
    """Which side asked, by ports alone: not the one whose port servers listen on."""
    (_, low), (_, high) = pair.ends
    if (low in SERVER_PORTS) != (high in SERVER_PORTS):
        return int(low in SERVER_PORTS)
    if low != high:
        return int(low < high)
    return pair.first_side


def _row(pair: Pair, both: bool, answers_show: bool) -> dict[str, str | None]:
    history = None
    first = pair.first_side
    if not both and pair.protocol in (TCP, UDP):
        from_port, to_port = pair.ends[first][1], pair.ends[1 - first][1]
        asked = pair.sides[first].flags
        begun = asked is not None and asked & SYN and not asked & ACK
        if from_port in SERVER_PORTS and to_port not in SERVER_PORTS and not begun:
            first, history = 1 - first, "^"
    origin, answer = pair.sides[first], pair.sides[1 - first]
    source, target = pair.ends[first], pair.ends[1 - first]
    duration = pair.end - pair.begin if pair.end is not None and pair.begin is not None else None
    flows = ",".join(map(str, pair.flows)) + (f" and {pair.more:,} more" if pair.more else "")
    version = 6 if ":" in source[0] else 4
    return {
        "uid": pair.uid,
        "id.orig_h": source[0],
        "id.orig_p": str(source[1]),
        "id.resp_h": target[0],
        "id.resp_p": str(target[1]),
        "proto": PROTOCOLS.get(pair.protocol, "unknown_transport"),
        "ip_proto": str(pair.protocol),
        "duration": f"{duration // 1_000_000}.{duration % 1_000_000:06d}" if duration is not None and duration >= 0
        else None,
        **_sizes("orig", origin, pair.protocol, version),
        **_sizes("resp", answer, pair.protocol, version),
        "conn_state": state(pair.protocol, origin, answer, answers_show and not pair.sampled),
        "history": history,
        "community_id": _community(source, target, pair.protocol),
        "flows": flows,
        "directions": "both" if both else "one",
        "sampled": "true" if pair.sampled else None,
        "exporter": pair.exporter.strip() or None,
    }  # fmt: skip


def _sizes(name: str, side: Side, protocol: int, version: int) -> dict[str, str | None]:
    if not side.records:
        return {}
    payload = max(0, side.octets - side.packets * SMALLEST.get((protocol, version), NOTHING_TOLD))
    return {
        f"{name}_bytes": str(payload),
        f"{name}_ip_bytes": str(side.octets),
        f"{name}_pkts": str(side.packets),
    }


def state(protocol: int, origin: Side, answer: Side, silence_counts: bool) -> str:
    """Zeek's ``conn_state`` as far as flags and the presence of records tell.

    Args:
        silence_counts: whether this exporter shows answers at all, so that none means that none was seen.
    """
    if protocol == UDP:
        if origin.records and answer.records:
            return "SF"
        return "S0" if origin.records and silence_counts else "OTH"
    if protocol != TCP or origin.flags is None:
        return "OTH"
    asked = origin.flags
    if not answer.records:
        if asked & SYN and not asked & (ACK | FIN):
            return "RSTOS0" if asked & RST else "S0"
        return "OTH"
    told = answer.flags
    if told is None or not asked & SYN:
        return "OTH"
    if told & RST and not told & SYN:
        return "REJ" if not told & FIN else "OTH"
    if not told & SYN:
        return "OTH"
    if not asked & ACK and not asked & FIN:  # never acknowledged: the handshake did not end
        return "RSTO" if asked & RST else "RSTR" if told & RST else "OTH"
    if asked & FIN and told & FIN:
        return "SF"
    if asked & RST:
        return "RSTO"
    if told & RST:
        return "RSTR"
    return "S2" if asked & FIN else "S3" if told & FIN else "S1"


def _community(source: tuple[str, int], target: tuple[str, int], protocol: int) -> str | None:
    family = socket.AF_INET6 if ":" in source[0] else socket.AF_INET
    try:
        pair = socket.inet_pton(family, source[0]), socket.inet_pton(family, target[0])
    except OSError:
        return None
    if max(source[1], target[1]) > 0xFFFF or protocol > 255:
        return None
    return community_id(pair, (source[1], target[1]), protocol)
