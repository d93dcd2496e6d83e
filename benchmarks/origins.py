"""How many addresses a second does one core look up among many prefixes?

    python benchmarks/origins.py [--prefixes 500000] [--addresses 5000000] [--batch 1000000] [--at-least 5] [--json]

Makes origin data out of nothing (a registry, a list per country, cloud ranges, a VPN list that lies inside
others), merges it, and runs the kernel over random addresses: as bytes and as text, IPv4 and IPv6, all different and
repeated as in logs.  Times are CPU seconds of this process, the best of three; the first answers are compared with a
search of every block.  With ``--at-least N`` the exit code is 1 if IPv4 addresses (bytes or text), all different, are
looked up at less than N million a second.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

# the benchmark beside this one that is called sigma.py would hide the package of that name
sys.path = [folder for folder in sys.path if Path(folder).resolve() != Path(__file__).resolve().parent]

from casemate.intel.origins_blocks import BlockBuilder, Facts  # noqa: E402
from casemate.intel.origins_store import Source, Version  # noqa: E402
from casemate.origins.kernel import index_of, kernel_of  # noqa: E402

SHARES: tuple[tuple[str, str, float], ...] = (
    # source, kind, share of all prefixes
    ("rir", "registry", 0.5),
    ("cloud", "provider", 0.1),
    ("hosting", "service", 0.2),
    ("vpn", "service", 0.2),
)
V4_SHARE = 0.7
CHECKED = 300
HOLDERS = 5_000
REPEATED_FROM = 20_000
"""Different addresses in the repeated ones."""


def made(prefixes: int, random: np.random.Generator) -> list[Source]:
    """Sources of `prefixes` prefixes together."""
    sources = []
    for name, kind, share in SHARES:
        builder = BlockBuilder()
        number = round(prefixes * share)
        for version, count in ((4, round(number * V4_SHARE)), (6, number - round(number * V4_SHARE))):
            blocks: set[tuple[int, int]] = set()
            while len(blocks) < count:
                bits = (
                    int(random.integers(14, 29 if kind != "service" else 33))
                    if version == 4
                    else int(random.integers(24, 65))
                )
                width = 32 if version == 4 else 128
                size = 1 << (width - bits)
                top = (
                    int(random.integers(0, 1 << 32))
                    if version == 4
                    else (0x2000 << 112) | (int(random.integers(0, 1 << 61)) << 64)
                )
                blocks.add((top // size * size, size))
            for first, size in sorted(blocks):
                facts = Facts(
                    country="".join(chr(65 + int(part)) for part in random.integers(0, 26, 2))
                    if kind == "registry"
                    else None,
                    holder=f"Holder {random.integers(HOLDERS)}" if kind == "registry" else None,
                    operator=f"Provider {random.integers(20)}" if kind == "provider" else None,
                    categories=() if kind == "registry" else ("cloud" if kind == "provider" else name,),
                )
                builder.add((version, first, first + size - 1), facts)
        version_of = Version(name, name, kind, "2026-01-01-made", "2026-01-01", "given", "made", "", "0" * 64, 0)
        sources.append(Source(version_of, builder.build()))
    return sources  # fmt: skip


def best(work: Callable[[], object]) -> float:
    """CPU seconds of the best of three runs."""
    seconds = []
    for _ in range(3):
        began = time.process_time()
        work()
        seconds.append(time.process_time() - began)
    return min(seconds)


def check(sources: list[Source], numbers: list[int], holders: list[str | None], categories: list[list[str]]) -> None:
    """Compare with a search of every block."""
    for number, holder, found in zip(numbers, holders, categories, strict=True):
        said = []
        for source in sources:
            blocks = source.blocks
            inside = np.flatnonzero((blocks.v4_first <= number) & (blocks.v4_last >= number))
            said += [blocks.facts[blocks.v4_value[place]] for place in inside]
        assert holder == next((one.holder for one in said if one.holder), None), number
        assert {name for one in said for name in one.categories} <= set(found), number


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prefixes", type=int, default=500_000)
    parser.add_argument("--addresses", type=int, default=5_000_000)
    parser.add_argument("--batch", type=int, default=1_000_000)
    parser.add_argument("--at-least", type=float, default=0.0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    random = np.random.default_rng(7)
    sources = made(given.prefixes, random)
    index = index_of([(source, False) for source in sources])
    merge_seconds = time.process_time()
    kernel = kernel_of(index, "address")
    merge_seconds = time.process_time() - merge_seconds

    numbers = random.integers(0, 1 << 32, given.addresses, dtype=np.uint64)
    packed = numbers.astype(">u4").tobytes()
    v4 = pa.FixedSizeBinaryArray.from_buffers(pa.binary(4), given.addresses, [None, pa.py_buffer(packed)])
    text4 = pa.array([socket.inet_ntoa(packed[at : at + 4]) for at in range(0, len(packed), 4)])
    fewer = given.addresses // 5
    high = (np.uint64(0x2000 << 48) | random.integers(0, 1 << 61, fewer, dtype=np.uint64)).astype(">u8")
    wide = np.stack([high, random.integers(0, 1 << 63, fewer, dtype=np.uint64).astype(">u8")], axis=1).tobytes()
    v6 = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), fewer, [None, pa.py_buffer(wide)])
    text6 = pa.array([socket.inet_ntop(socket.AF_INET6, wide[at : at + 16]) for at in range(0, len(wide), 16)])
    places = pa.array(random.zipf(1.3, given.addresses) % REPEATED_FROM, pa.int32())
    repeated = pa.DictionaryArray.from_arrays(places, text4.slice(0, REPEATED_FROM))
    forms = {
        "IPv4 bytes": v4,
        "IPv4 text": text4,
        "IPv6 bytes": v6,
        "IPv6 text": text6,
        "IPv4 text, repeated (dictionary)": repeated,
    }

    first = kernel(pa.record_batch([v4.slice(0, CHECKED)], names=["address"]))
    check(
        sources,
        [int(one) for one in numbers[:CHECKED]],
        first.column("holder").to_pylist(),
        first.column("categories").to_pylist(),
    )
    again = kernel(pa.record_batch([text4.slice(0, CHECKED)], names=["address"]))
    assert first.column("holder").to_pylist() == again.column("holder").to_pylist()

    speeds: dict[str, float] = {}
    for name, array in forms.items():
        batches = [
            pa.record_batch([array.slice(begin, given.batch)], names=["address"])
            for begin in range(0, len(array), given.batch)
        ]
        seconds = best(lambda batches=batches: [kernel(batch) for batch in batches])
        speeds[name] = len(array) / seconds / 1e6
    if given.json:
        print(json.dumps({"prefixes": given.prefixes, "merge_seconds": merge_seconds, "million_a_second": speeds}))
    else:
        print(f"{given.prefixes:,} prefixes, {len(index.answers):,} different answers, merged in {merge_seconds:.1f} s")
        print(f"lookups on one core, batches of {given.batch:,}:")
        for name, speed in speeds.items():
            print(f"  {name:<34}{speed:6.1f} million a second")
    return int(min(speeds["IPv4 bytes"], speeds["IPv4 text"]) < given.at_least)


if __name__ == "__main__":
    sys.exit(main())
