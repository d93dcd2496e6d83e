"""Flow records that a capture holds as datagrams of NetFlow and IPFIX (any port; told by their own lengths).

The address of a flow is that of the packet it came in, also where it had to wait for its template.
"""

from __future__ import annotations

from collections.abc import Iterable

from casemate.evidence.readers.flows.datagrams import NAMES, Decoder, Found, looks_like_flows
from casemate.evidence.readers.flows.pairing import Pairing
from casemate.evidence.readers.flows.records import FLOW, OPTIONS, BadRecord, OptionsRecord
from casemate.evidence.readers.packets.connections import text_address
from casemate.evidence.readers.packets.protocols.base import Emit
from casemate.evidence.readers.packets.streams import Ref

SPACE = 1 << 20
"""More than a datagram holds: where a record stands is told as packet number * SPACE + its place in the datagram."""


class ExportedFlows:
    """All flows of one capture."""

    def __init__(self, emit: Emit) -> None:
        self.emit = emit
        self.decoder = Decoder()
        self.pairing = Pairing(lambda ref, values: emit("zeek_conn", ref, values))
        self.flows = self.bad = 0
        self._refs: dict[int, Ref] = {}

    def datagram(self, data: bytes, exporter: bytes, ref: Ref) -> str:
        """One datagram of an exporter; gives the name of the protocol."""
        waited = self.decoder.waited
        self._refs[ref.number] = ref
        self._take(self.decoder.datagram(data, ref.number * SPACE, text_address(exporter)))
        if not self.decoder.waiting_sets:
            self._refs.clear()
        elif self.decoder.waited == waited:
            del self._refs[ref.number]
        return NAMES[data[1]]

    def finish(self) -> None:
        """The capture is over."""
        self._take(self.decoder.finish())
        self.pairing.finish()

    def _take(self, several: Iterable[Found]) -> None:
        for found in several:
            ref = self._refs[found.offset // SPACE]
            if isinstance(found, BadRecord):
                self.bad += 1
            elif isinstance(found, OptionsRecord):
                self.emit(OPTIONS.name, ref._replace(time=found.time), found.values)
            else:
                self.flows += 1
                found.values["uid"] = self.pairing.add(found, ref._replace(time=found.start))
                self.emit(FLOW.name, ref._replace(time=found.start), found.values)


__all__ = ["ExportedFlows", "looks_like_flows"]
