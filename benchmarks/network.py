"""How many planted behaviours the network analytics find, whom they accuse wrongly, and what they cost.

    python benchmarks/network.py accuracy [--days N] [--hosts N] [--seed N]
    python benchmarks/network.py speed [--connections N] [--folder DIR]

`accuracy` draws ordinary days of an office (updaters, sync clients, messengers, telemetry, time, packages, people who
browse) and plants behaviours of known kinds, one of each per infected host; it prints recall by kind, and which
ordinary pairs were accused at `medium` or higher.  `speed` writes connections with planted behaviour to Parquet and
times all analytics against one plain grouping of the same file.

Nothing here is shared with the detectors: kinds are drawn from what implants and programs are documented to do.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from casemate.detect.behaviour import Read, infer_own, read_once, run_all
from casemate.engine.duckdb import DuckDBEngine
from casemate.schema.ocsf import EVENT_CLASSES

START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
DAY = 86_400.0


@dataclass
class Traffic:
    """Rows of OCSF tables, and for each planted or ordinary pair what it is."""

    random: np.random.Generator
    days: int
    network: list[dict[str, Any]] = field(default_factory=list)
    dns: list[dict[str, Any]] = field(default_factory=list)
    http: list[dict[str, Any]] = field(default_factory=list)
    kinds: dict[tuple[str, str], str] = field(default_factory=dict)
    planted: set[str] = field(default_factory=set)

    def address(self) -> str:
        """An address outside that nobody has yet."""
        a, b, c = self.random.integers(0, 250, 3)
        return f"{self.random.choice([23, 45, 91, 104, 141, 185, 193, 212])}.{a}.{b}.{c + 1}"

    def spoke(
        self,
        kind: str,
        times: np.ndarray,
        source: str,
        target: str,
        port: int,
        out: Any,
        heard: Any,
        seconds: Any = 0.2,
        **more: Any,
    ) -> None:
        """Connections of one pair; `out`, `heard`, `seconds` are numbers or arrays."""
        times = np.sort(times)
        self.kinds[source, target] = kind
        outs, heards, lasted = (np.broadcast_to(value, times.shape) for value in (out, heard, seconds))
        state = more.pop("state", "SF")
        for at, one, two, three in zip(times, outs, heards, lasted, strict=True):
            if not 0 <= at < self.days * DAY:
                continue
            self.network.append({
                "time": START + timedelta(seconds=float(at)), "src_endpoint_ip": source, "dst_endpoint_ip": target,
                "dst_endpoint_port": port, "connection_info_protocol_name": more.get("protocol", "tcp"),
                "traffic_bytes_out": int(one), "traffic_bytes_in": int(two), "duration": int(three * 1000),
                "unmapped_conn_state": state,
            })  # fmt: skip

    def resolved(self, times: np.ndarray, source: str, name: str, addresses: list[str]) -> None:
        """Answered questions for a name."""
        for at in times:
            if 0 <= at < self.days * DAY:
                self.dns.append({
                    "time": START + timedelta(seconds=float(at)), "src_endpoint_ip": source,
                    "dst_endpoint_ip": "10.20.0.53", "query_hostname": name, "query_type": "A", "rcode": "NOERROR",
                    "answers": json.dumps(addresses),
                })  # fmt: skip

    def requested(self, times: np.ndarray, source: str, target: str, host: str, out: int, heard) -> None:
        """Requests by name."""
        heards = np.broadcast_to(heard, times.shape)
        for at, size in zip(np.sort(times), heards, strict=True):
            if 0 <= at < self.days * DAY:
                self.http.append({
                    "time": START + timedelta(seconds=float(at)), "src_endpoint_ip": source, "dst_endpoint_ip": target,
                    "dst_endpoint_port": 3128, "http_request_http_method": "POST", "http_request_url_path": "/a",
                    "http_request_url_hostname": host, "http_response_code": 200, "traffic_bytes_out": out,
                    "traffic_bytes_in": int(size),
                })  # fmt: skip


def clock(random: np.random.Generator, end: float, period: float, jitter: float = 0.0) -> np.ndarray:
    """Times of a loop that sleeps `period` seconds, more or less by up to `jitter` of it."""
    gaps = period * (1 + random.uniform(-jitter, jitter, int(end / period * (2.2 if jitter else 1.1)) + 2))
    times = random.uniform(0, period) + np.cumsum(gaps)
    return times[times < end]


# What is planted: kind -> a function that plants one


def plant(kind: str, traffic: Traffic, source: str) -> tuple[str, str]:
    """Plant one beacon of a kind; the pair it makes."""
    r, end = traffic.random, traffic.days * DAY
    target = traffic.address()
    out, heard = int(r.integers(180, 900)), int(r.integers(120, 1500))
    hour = lambda times: (times % DAY) / 3600  # noqa: E731
    period = float(r.choice([60, 120, 300, 600]))
    if kind == "plain":
        times = clock(r, end, period, 0.02)
    elif kind == "jitter 20 %":
        times = clock(r, end, period, 0.2)
    elif kind == "jitter 50 %":
        times = clock(r, end, period, 0.5)
    elif kind == "every three hours":
        times = clock(r, DAY, 3 * 3600, 0.05)[:8]
    elif kind == "office hours":
        times = clock(r, end, max(period, 300), 0.2)
        times = times[(hour(times) >= 9) & (hour(times) < 17)]
    elif kind == "missing hours":
        times = clock(r, end, period, 0.1)
        dark = r.choice(24, 8, replace=False)
        times = times[~np.isin(hour(times).astype(int), dark)]
    elif kind == "several periods":
        parts = np.array_split(np.arange(3), 3)
        bounds = np.linspace(0, end, len(parts) + 1)
        times = np.concatenate([
            low + clock(r, high - low, p, 0.1) for low, high, p in zip(bounds, bounds[1:], (60, 300, 900), strict=False)
        ])  # fmt: skip
    elif kind == "two clocks":
        times = np.concatenate([clock(r, end, 60, 0.02), clock(r, end, 3600, 0.02)])
    elif kind == "varied answers":
        times = clock(r, end, period, 0.2)
        heard = np.where(r.random(len(times)) < 0.1, r.integers(2_000, 200_000, len(times)), heard)
    elif kind == "unanswered":
        traffic.spoke(kind, clock(r, end, period, 0.1), source, target, 443, 0, 0, 0.0, state="S0")
        return source, target
    elif kind == "rejected":
        traffic.spoke(kind, clock(r, end, period, 0.1), source, target, 8443, 0, 0, 0.0, state="REJ")
        return source, target
    elif kind == "still open":
        times = clock(r, end, 600, 0.1)
        traffic.spoke(kind, times, source, target, 443, out, heard, 30.0, state="S1")
        return source, target
    elif kind in ("through a proxy", "requests only"):
        host = f"cdn{r.integers(1_000_000)}.example-{r.integers(10_000)}.net"
        via = "10.20.0.80" if kind == "through a proxy" else target
        traffic.requested(clock(r, end, period, 0.2), source, via, host, out, heard)
        traffic.kinds[source, host] = kind
        return source, host
    else:
        raise ValueError(kind)
    traffic.spoke(kind, times, source, target, 443, out, heard)
    if r.random() < 0.5:
        name = f"x{r.integers(1_000_000)}.example-{r.integers(10_000)}.org"
        traffic.resolved(times[:: max(1, len(times) // 5)], source, name, [target])
    return source, target


KINDS = (
    "plain", "jitter 20 %", "jitter 50 %", "every three hours", "office hours", "missing hours", "several periods",
    "two clocks", "varied answers", "unanswered", "rejected", "still open", "through a proxy", "requests only",
)  # fmt: skip


# Ordinary traffic


def ordinary(traffic: Traffic, hosts: list[str]) -> None:
    """Days of an office; some services everybody uses, some only few."""
    r, days = traffic.random, traffic.days
    shared = {name: (f"{name}.vendor{number}.com", [traffic.address() for _ in range(4)])
              for number, name in enumerate(("updates", "telemetry", "messenger", "sync", "packages", "antivirus",
                                             "licence", "weather", "mail", "calendar"))}  # fmt: skip
    few = {f"few{number}": (f"client.tool{number}.io", [traffic.address() for _ in range(2)]) for number in range(12)}
    users = {name: set(r.choice(hosts, max(2, int(len(hosts) * 0.06)), replace=False)) for name in few}
    sites = [(f"www.site{number}.org", traffic.address()) for number in range(300)]
    ntp = [traffic.address() for _ in range(4)]
    for host in hosts:
        on = [(day * DAY + r.uniform(7, 9.5) * 3600, day * DAY + r.uniform(16, 19) * 3600) for day in range(days)]
        always = r.random() < 0.3
        awake = lambda t, on=on, always=always: t if always else t[np.any([(t >= a) & (t < b) for a, b in on], axis=0)]  # noqa: E731
        end = days * DAY
        for name, (host_name, addresses) in {**shared, **few}.items():
            if name in few and host not in users[name]:
                continue
            address = str(r.choice(addresses))
            times, out, heard, seconds = _software(r, name, end)
            keep = np.isin(times, awake(times))
            times = times[keep]
            pick = lambda value, keep=keep: value[keep] if isinstance(value, np.ndarray) else value  # noqa: E731
            if len(times):
                traffic.spoke(f"ordinary: {name}", times, host, address, 443, pick(out), pick(heard), pick(seconds))
                traffic.resolved(times[:: max(1, len(times) // 6)], host, host_name, [address])
        server = ntp[int(r.integers(4))]
        traffic.spoke("ordinary: time", awake(clock(r, end, 1024, 0.02)), host, server, 123, 48, 48, protocol="udp")
        for number in r.choice(len(sites), 25, replace=False):
            name, address = sites[number]
            visits = awake(r.uniform(0, end, int(r.integers(1, 5)) * days))
            times = (visits[:, None] + r.exponential(8, (len(visits), 6)).cumsum(axis=1)).ravel()
            if len(times):
                traffic.spoke("ordinary: browsing", times, host, address, 443, r.lognormal(7, 0.7, len(times)),
                              r.lognormal(9.5, 1.5, len(times)), r.exponential(20, len(times)))  # fmt: skip
                traffic.resolved(visits, host, name, [address])


def _software(r: np.random.Generator, name: str, end: float):
    """Times, bytes out, bytes in, seconds of what a program does."""
    if name == "updates":
        times = clock(r, end, 3600 * float(r.choice([1, 4])), 0.1)
        big = r.random(len(times)) < 0.1
        return times, 900.0, np.where(big, r.integers(1_000_000, 50_000_000, len(times)), 3_000), 2.0
    if name == "telemetry":
        times = clock(r, end, 900, 0.1)
        return times, r.lognormal(8, 0.8, len(times)), 400.0, 0.5
    if name == "messenger":
        times = clock(r, end, 300, 0.05)
        return times, r.lognormal(6, 0.3, len(times)), r.lognormal(6.3, 0.6, len(times)), 290.0
    if name == "sync":
        times = clock(r, end, 60, 0.05)
        return times, 700.0, 350.0, 59.0
    if name == "packages":
        times = clock(r, end, 12 * 3600, 0.3)
        return times, 2_000.0, r.lognormal(12, 1, len(times)), 5.0
    if name in ("antivirus", "licence", "weather", "mail", "calendar"):
        period = {"antivirus": 1800, "licence": 3600, "weather": 900, "mail": 300, "calendar": 600}[name]
        times = clock(r, end, period, 0.03)
        return times, 600.0, r.lognormal(7, 0.3, len(times)), 0.4
    # programs few have: half of them poll, half work with content
    times = clock(r, end, float(r.choice([300, 900, 1800])), 0.1)
    if r.random() < 0.5:
        return times, r.lognormal(7, 0.9, len(times)), r.lognormal(8, 1.2, len(times)), 0.6
    return np.sort(r.uniform(0, end, max(8, int(end / 3000)))), r.lognormal(7, 0.9), 4_000.0, 1.0


def tables(engine: DuckDBEngine, traffic: Traffic) -> dict[str, Any]:
    """The traffic as OCSF tables of an engine."""
    made = {}
    for kind in EVENT_CLASSES:
        rows = {"network_activity": traffic.network, "dns_activity": traffic.dns,
                "http_activity": traffic.http}.get(kind.name, [])  # fmt: skip
        schema = kind.schema.to_pyarrow()
        letter = kind.name[0]
        filled = [{"evidence": letter * 64, "record": number, **row} for number, row in enumerate(rows)]
        columns = {name: [row.get(name) for row in filled] for name in schema.names}
        plain = pa.table({name: pa.array(columns[name], schema.field(name).type) for name in schema.names})
        made[kind.name] = engine._connection.create_table(f"made_{kind.name}", plain, temp=True)
    return made


def findings(engine: DuckDBEngine, ocsf: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All findings of all analytics, own networks as given."""
    read: Read = read_once(ocsf, engine.batches, engine.hold)
    own = infer_own(("10.0.0.0/8",), read, engine.batches, engine.hold)
    for found in run_all(read, own, engine.batches, engine.hold):
        yield from found.findings.to_pylist()


def accuracy(days: int, hosts: int, seed: int, each: int) -> dict[str, Any]:
    """Recall by kind of beacon, and ordinary pairs accused."""
    traffic = Traffic(np.random.default_rng(seed), days)
    names = [f"10.20.{1 + number // 200}.{number % 200 + 10}" for number in range(hosts)]
    ordinary(traffic, names)
    benign = set(traffic.kinds)
    planted = {}
    for kind in KINDS:
        for _ in range(each):
            planted[plant(kind, traffic, str(traffic.random.choice(names)))] = kind
    engine = DuckDBEngine()
    accused: dict[tuple[str, str], str] = {}
    rules: Counter[str] = Counter()
    for row in findings(engine, tables(engine, traffic)):
        rules[row["rule_id"].rpartition(".")[2], row["severity"]] += 1  # type: ignore[index]
        if row["severity"] in ("medium", "high", "critical"):
            accused[row["source"]["value"], row["target"]["value"]] = row["rule_id"]
    recall: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for pair, kind in planted.items():
        recall[kind][0] += pair in accused
        recall[kind][1] += 1
    wrong = Counter(traffic.kinds.get(pair, "other") for pair in accused if pair not in planted)
    found = sum(one for one, _ in recall.values())
    return {
        "days": days, "hosts": hosts, "seed": seed, "connections": len(traffic.network),
        "recall": {kind: f"{one}/{of}" for kind, (one, of) in recall.items()},
        "recall_all": round(found / len(planted), 4),
        "ordinary_pairs": len(benign), "accused": dict(wrong),
        "accused_per_1000": round(1000 * sum(wrong.values()) / len(benign), 2),
        "rules": {" ".join(name): number for name, number in sorted(rules.items())},
    }  # fmt: skip


# Speed

PLANTED = 40
"""Beacons among the connections that speed is measured on."""


def write_connections(path: Path, count: int, seed: int) -> set[tuple[str, str]]:
    """Write `count` connections of 30 days as ``network_activity``; the planted pairs.

    9 of 10 go from 4,000 own hosts to the peers of 600 services, a few of them much more liked than others; the rest
    stay inside, come from scanners outside, or are planted beacons.
    """
    kind = next(one for one in EVENT_CLASSES if one.name == "network_activity")
    schema = kind.schema.to_pyarrow()
    r = np.random.default_rng(seed)
    own = [f"10.{a}.{b}.{c}" for a in range(4) for b in range(10) for c in range(1, 101)]
    outside = [f"{23 + i % 150}.{i // 7 % 250}.{i % 251}.{1 + i % 250}" for i in range(20_000)]
    names = pa.array([*own, *outside])
    first_outside = len(own)
    planted, made = set(), 0
    with pq.ParquetWriter(path, schema) as writer:
        while made < count:
            size = min(1_000_000, count - made)
            share = r.random(size)
            source = r.integers(0, first_outside, size)
            liked = np.minimum(r.zipf(1.3, size) - 1, 599)
            target = first_outside + liked * 30 + source % 30
            inside, scan = share < 0.07, share > 0.98
            target = np.where(inside, (source * 7 + r.integers(0, 3, size)) % 40, target)
            scanner = first_outside + 19_000 + r.integers(0, 300, size)
            target, source = np.where(scan, source, target), np.where(scan, scanner, source)
            at = r.integers(0, 30 * 86_400_000_000, size)
            port = np.where(scan, r.choice([22, 23, 80, 445, 3389], size), np.where(inside, 445, 443))
            out, heard = r.lognormal(7, 1, size).astype("int64"), r.lognormal(9, 1.5, size).astype("int64")
            if made == 0:  # a beacon every half hour, in the first part of the file
                beats = min(30 * 48, size // (2 * PLANTED))
                for number in range(PLANTED):
                    rows = slice(number * beats, (number + 1) * beats)
                    source[rows], target[rows], port[rows] = number * 97, first_outside + 19_500 + number, 443
                    at[rows] = (np.arange(beats) + r.uniform(-0.3, 0.3, beats) + 1) * 30 * 86_400_000_000 // (beats + 2)
                    out[rows], heard[rows], scan[rows] = 400, 200, False
                    planted.add((own[number * 97], outside[19_500 + number]))
            columns = {
                "evidence": pa.DictionaryArray.from_arrays(pa.array(np.zeros(size, "int32")), pa.array(["e" * 64])),
                "record": pa.array(np.arange(made, made + size)),
                "time": pa.array(at + int(START.timestamp()) * 1_000_000).cast(schema.field("time").type),
                "src_endpoint_ip": names.take(pa.array(source)),
                "dst_endpoint_ip": names.take(pa.array(target)),
                "src_endpoint_port": pa.array(r.integers(1024, 65_000, size)),
                "dst_endpoint_port": pa.array(port),
                "connection_info_protocol_name": pa.array(["tcp"]).take(pa.array(np.zeros(size, "int32"))),
                "duration": pa.array(r.integers(10, 60_000, size)),
                "traffic_bytes_out": pa.array(np.where(scan, 0, out)),
                "traffic_bytes_in": pa.array(np.where(scan, 0, heard)),
                "unmapped_conn_state": pa.array(["SF", "S0"]).take(pa.array(scan.astype("int32"))),
            }
            arrays = [
                columns[field.name].cast(field.type) if field.name in columns else pa.nulls(size, field.type)
                for field in schema
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            made += size
    return planted


PLAIN = """
    SELECT src_endpoint_ip, dst_endpoint_ip, dst_endpoint_port, count(*), sum(traffic_bytes_out + traffic_bytes_in),
           list(time ORDER BY time)
    FROM read_parquet('{path}') GROUP BY ALL
"""


def _forget_peak() -> None:
    """Begin to measure the peak of this process' memory anew (Linux, ``proc_pid_clear_refs``)."""
    Path("/proc/self/clear_refs").write_text("5")


def _peak_mebibytes() -> int:
    """The most memory this process held since it last forgot."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) >> 10


def speed(count: int, folder: Path, seed: int, memory: int) -> dict[str, Any]:
    """Seconds and memory of all analytics and of one plain grouping of the same file, in one run."""
    path = folder / f"connections-{count}.parquet"
    planted = write_connections(path, count, seed)
    engine = DuckDBEngine(memory_bytes=memory << 20, spill=folder / "spill")
    _forget_peak()
    began, spent = time.monotonic(), time.process_time()
    engine._connection.con.execute(f"CREATE TEMP TABLE plain AS {PLAIN.format(path=path)}")
    plain, plain_cpu = time.monotonic() - began, time.process_time() - spent
    pairs = engine._connection.con.execute("SELECT count(*) FROM plain").fetchall()[0][0]
    engine._connection.con.execute("DROP TABLE plain")
    plain_peak = _peak_mebibytes()
    _forget_peak()
    ocsf = {"network_activity": engine._connection.read_parquet(str(path))}
    began, spent = time.monotonic(), time.process_time()
    rows, steps, last = [], {}, began
    read = read_once(ocsf, engine.batches, engine.hold)
    steps["reading"] = time.monotonic() - last
    own = infer_own(("10.0.0.0/8",), read, engine.batches, engine.hold)
    last = time.monotonic()
    for found in run_all(read, own, engine.batches, engine.hold):
        rows += found.findings.to_pylist()
        now = time.monotonic()
        steps[found.analytic], last = now - last, now
    everything, everything_cpu = time.monotonic() - began, time.process_time() - spent
    accused = {
        (row["source"]["value"], row["target"]["value"])
        for row in rows
        if row["severity"] in ("medium", "high", "critical")
    }
    engine.close()
    return {
        "connections": count, "plain_seconds": round(plain, 2), "all_seconds": round(everything, 2),
        "ratio": round(everything / plain, 2), "plain_cpu": round(plain_cpu, 2), "all_cpu": round(everything_cpu, 2),
        "ratio_cpu": round(everything_cpu / plain_cpu, 2),
        "steps": {name: round(value, 2) for name, value in steps.items()},
        "memory_limit_mebibytes": memory, "plain_peak_mebibytes": plain_peak, "all_peak_mebibytes": _peak_mebibytes(),
        "beacons_found": f"{len(planted & accused)}/{len(planted)}", "others_accused": len(accused - planted),
        "others_accused_per_1000": round(1000 * len(accused - planted) / pairs, 2),
        "findings": len(rows),
    }  # fmt: skip


def main() -> None:
    """Read the options, run one part, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    one = parts.add_parser("accuracy")
    one.add_argument("--days", type=int, default=1)
    one.add_argument("--hosts", type=int, default=60)
    one.add_argument("--each", type=int, default=10, help="beacons of each kind")
    one.add_argument("--seed", type=int, default=1)
    one.set_defaults(run=lambda given: accuracy(given.days, given.hosts, given.seed, given.each))
    two = parts.add_parser("speed")
    two.add_argument("--connections", type=int, default=10_000_000)
    two.add_argument(
        "--folder", type=Path, help="where the file and what is spilled go; a temporary folder if not given"
    )
    two.add_argument("--seed", type=int, default=1)
    two.add_argument("--memory", type=int, default=1024, help="MiB that DuckDB may use before it spills")
    two.set_defaults(run=_speed)
    given = parser.parse_args()
    print(json.dumps(given.run(given), indent=1))


def _speed(given: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        return speed(given.connections, Path(folder), given.seed, given.memory)


if __name__ == "__main__":
    main()
