"""Data that leaves after a core asset was read, from ``network_activity``.

Method: data is collected before it is sent (ATT&CK TA0009 before TA0010), and what was collected bounds what leaves.
Told is an own host that got data from a core asset of the case and, on that day or the next, sent a peer outside at
least a quarter as much, and many times what it had sent that peer on any day before.  A quarter, because what is stolen
is compressed first.

That the bytes are the same is not known: a person who reads from the asset and backs up to a peer that few others use,
for the first time, looks alike.  Only assets that ``case.toml`` names by address can be told, and only hosts that reach
them over the network.  Left out: peers that several own hosts speak to.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from collections.abc import Sequence
from dataclasses import dataclass

import ibis

from casemate.detect.behaviour.pairs import PAIR, microseconds, of_a_pair, of_pairs, service_of
from casemate.detect.behaviour.rules import BehaviourRule, Statements, key

DAY = 86_400_000_000


@dataclass(frozen=True)
class AssetSettings:
    """Thresholds."""

    read_bytes: int = 1_000_000
    """Read from the asset over all of the evidence, and on the day in question."""
    left_bytes: int = 10_000_000
    share: int = 4
    """What leaves is at least this part of what was read."""
    times: int = 5
    """How many times the most of any day before (``ExfiltrationSettings.times``)."""
    common_hosts: int = 3


RULES: tuple[BehaviourRule, ...] = (
    BehaviourRule(
        "sent_after_asset_read",
        "Own host read from a core asset and then sent much to a rare outside peer",
        "medium",
        "network",
        ("T1039", "T1041"),
        ("collection", "exfiltration"),
        "an own host got data from a core asset and within a day sent a peer outside much more than ever before; that "
        "it is the same data is not seen",
    ),
)


def asset_pairs(pairs: ibis.Table, core: Sequence[str], settings: AssetSettings) -> ibis.Table:
    """Pairs of hosts that read from an asset: with the asset (``leaves`` False), and with rare peers they sent much."""
    inside = pairs.from_own & pairs.to_own & (pairs.heard >= settings.read_bytes)
    reading = pairs.filter(inside & pairs.target.isin(list(core)))
    readers = reading.group_by("source").agg(since=reading["first"].min())
    outward = pairs.filter(pairs.from_own & ~pairs.to_own)
    hosts = outward.group_by("target").agg(hosts=outward.source.nunique())
    much = outward.filter((outward.said >= settings.left_bytes) & (outward.said > outward.heard * 3))
    sent = much.inner_join(readers, "source").inner_join(hosts, "target")
    sent = sent.filter((sent["last"] >= sent.since) & (sent.hosts < settings.common_hosts))
    reading = reading.semi_join(sent, "source")
    return reading.select(*PAIR, leaves=ibis.literal(False)).union(sent.select(*PAIR, leaves=ibis.literal(True)))


def asset_connections(
    chosen: ibis.Table, network: ibis.Table, _own: Sequence[str], _settings: AssetSettings
) -> ibis.Table:
    """The connections of such pairs, with ``at`` (microseconds) and ``day``."""
    rows = of_pairs(network, chosen)
    at = microseconds(rows.time)
    return rows.mutate(service=service_of(rows.port, rows.protocol), at=at, day=at // DAY)


def left_after_reading(table: ibis.Table, settings: AssetSettings) -> ibis.Table:
    """The connections that sent, and those that read before, with ``asset, read_day, peer, peer_service``."""
    reads, sent = table.filter(~table.leaves), table.filter(table.leaves)
    days = reads.group_by(["source", "day", "target"]).agg(began=reads["at"].min(), read=reads.heard.sum())
    days = days.filter(days.read >= settings.read_bytes)
    days = days.select("source", "began", "read", read_day=days.day, asset=days.target)
    after = sent.inner_join(days, "source")
    after = after.mutate(peer=after.target, peer_service=after.service)
    scope = ["source", "asset", "read_day", "peer", "peer_service"]
    soon = (after["at"] >= after.began) & (after.day <= after.read_day + 1)
    before = after.filter(after.day < after.read_day).group_by([*scope, "day"]).agg(said=ibis._.said.sum())
    most = before.group_by(scope).agg(most_before=before.said.max())
    after = after.filter(soon)
    left = after.group_by(scope).agg(left=after.said.sum(), read=after.read.max())
    left = left.left_join(most, scope).drop([f"{name}_right" for name in scope])
    left = left.mutate(most_before=left.most_before.fill_null(0))
    enough = (left.left >= settings.left_bytes) & (left.left * settings.share >= left.read)
    told = left.filter(enough & (left.left >= left.most_before * settings.times)).select(*scope, "most_before")
    place = [*scope, "most_before", "leaves", "evidence", "record", "time", "said", "heard"]
    sending = after.inner_join(told, scope).select(*place)
    reading = reads.mutate(asset=reads.target, read_day=reads.day).inner_join(told, ["source", "asset", "read_day"])
    return sending.union(reading.select(*place))


def sent_after_reading(table: ibis.Table, _settings: AssetSettings) -> Statements:
    """One statement per host, asset, day of reading and peer.

    Returns:
        statements of :data:`RULES`; counts: ``connections, bytes_read, bytes_out, most_of_a_day_before, asset``.
    """
    rule = "sent_after_asset_read"
    table = table.mutate(
        rule=ibis.literal(rule),
        key=key(rule, table.source, table.asset, table.read_day, table.peer, table.peer_service),
    )

    def summarise(rows: ibis.Table) -> ibis.Table:
        grouped = rows.group_by(["key", "rule", "source", "asset", "peer", "peer_service"]).agg(
            time=rows.time.min(),
            time_end=rows.time.max(),
            connections=rows.count(),
            read=ibis.ifelse(rows.leaves, 0, rows.heard).sum(),
            left=ibis.ifelse(rows.leaves, rows.said, 0).sum(),
            most=rows.most_before.max(),
        )
        grouped = grouped.mutate(target=grouped.peer, service=grouped.peer_service)
        return grouped.select(
            **of_a_pair(grouped),
            confidence=ibis.ifelse(grouped.most == 0, "medium", "low"),
            connections=grouped.connections,
            bytes_read=grouped.read,
            bytes_out=grouped.left,
            most_of_a_day_before=grouped.most,
            asset=grouped.asset,
        )

    return Statements(table, summarise)
