"""How fast captures are read, and beside what.

    python benchmarks/packets.py CAPTURE... [--repeat N]

Each capture is read N times in this process; CPU seconds, megabytes and packets a second are printed, beside bare
decoding by dpkt and beside tshark where these are installed (same file, same run, CPU seconds as well).
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import io
import resource
import shutil
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from casemate.evidence.readers.base import ReadContext, Tally
from casemate.evidence.readers.packets.capture import Framing, Packet, is_classic, read_packets
from casemate.evidence.readers.packets.layers import network_layer
from casemate.evidence.readers.pcap import PCAP_READER, PCAPNG_READER

FIELDS = (
    *("frame.number", "tcp.stream", "dns.qry.name", "http.request.uri", "http.user_agent", "http.response.code"),
    *(
        "tls.handshake.extensions_server_name",
        "tls.handshake.ja3",
        "ssh.protocol",
        "smb.cmd",
        "smb2.cmd",
        "smb2.filename",
    ),
    *("dcerpc.opnum", "ntlmssp.auth.username", "rdp.client.name"),
)
TSHARK = {
    "tshark, connections": ("-q", "-z", "conv,tcp", "-z", "conv,udp"),
    "tshark, messages": ("-T", "fields", *(word for name in FIELDS for word in ("-e", name))),
}
"""What comes near to what the reader does: connections alone, and fields of the protocols it reads."""
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Content:
    """A capture in memory."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def open(self) -> io.BytesIO:
        return io.BytesIO(self.data)


def whole(content: Content) -> int:
    """Everything the reader does."""
    reader = PCAP_READER if is_classic(content.data[:24]) else PCAPNG_READER
    records = 0
    for item in reader.read(content, ReadContext("capture", NOW)):
        if isinstance(item, Tally):
            records = item.records
    return records


def layers(content: Content) -> int:
    """Framing and headers only."""
    count = 0
    for packet in read_packets(content.open(), Framing()):
        count += 1
        if isinstance(packet, Packet):
            network_layer(packet.link, packet.data)
    return count


def dpkt_layers(content: Content) -> int:
    """Framing and headers by dpkt, which decodes the whole stack."""
    dpkt = importlib.import_module("dpkt")
    classic = is_classic(content.data[:24])
    reader = dpkt.pcap.Reader(content.open()) if classic else dpkt.pcapng.Reader(content.open())
    count = 0
    for _, data in reader:
        dpkt.ethernet.Ethernet(data)
        count += 1
    return count


def timed(name: str, work, content: Content, repeat: int) -> None:
    """Print one line: best of `repeat` runs."""
    best, count = float("inf"), 0
    for _ in range(repeat):
        begun = time.process_time()
        count = work(content)
        best = min(best, time.process_time() - begun)
    size = content.size / 1e6
    print(f"  {name:<22} {best:7.2f} s CPU {size / best:8.1f} MB/s {count / best:10,.0f} packets/s")


def tshark(*arguments: str) -> float:
    """CPU seconds of one run of tshark."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["tshark", *arguments], check=False, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captures", nargs="+", type=Path)
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    for path in given.captures:
        content = Content(path.read_bytes())
        print(f"{path.name}: {content.size / 1e6:.1f} MB")
        timed("reader", whole, content, given.repeat)
        timed("framing and headers", layers, content, given.repeat)
        if importlib.util.find_spec("dpkt") is not None:
            timed("dpkt, headers", dpkt_layers, content, given.repeat)
        if shutil.which("tshark"):
            print(f"  tshark takes {tshark('-v'):.2f} s of CPU to start; that is in what follows")
            for name, asked in TSHARK.items():
                seconds = min(tshark("-r", str(path), *asked) for _ in range(given.repeat))
                print(f"  {name:<22} {seconds:7.2f} s CPU {content.size / 1e6 / seconds:8.1f} MB/s")


if __name__ == "__main__":
    main()
