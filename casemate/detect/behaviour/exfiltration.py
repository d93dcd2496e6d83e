"""Data that leaves: more than ever before, a little every day, or to services that keep anybody's files.

Method: volume per source and peer is held against the pair's own history, day by day (Liu et al., "SIDD: A Framework
for Detecting Sensitive Data Exfiltration by an Insider Attack", HICSS 2009, use per-host baselines the same way): a
nightly backup is its own history and says nothing.

* **unusual upload**: a day on which a source sent a peer many times what it sent on any day before.  Where the source
  was seen for less than `history_days` there is no history: the same is told, low, and ``cold_start`` says so.
* **slow leak**: a peer that began after the source was known, got something on many days, stayed below the daily
  limit, and answered little.
* **upload to a storage or paste service**, known by name.

Left out: peers that many own hosts speak to, unless they are such a service.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
import re
from collections.abc import Sequence
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from casemate.detect.behaviour.pairs import PAIR, microseconds, of_a_pair, of_pairs, service_of
from casemate.detect.behaviour.peers import names
from casemate.detect.behaviour.rules import BehaviourRule, Statements, key, over

DAY = 86_400_000_000


@dataclass(frozen=True)
class ExfiltrationSettings:
    """Thresholds."""

    looked_at_bytes: int = 1_000_000
    """Pairs that sent less in all are not looked at."""
    day_bytes: int = 100_000_000
    times: int = 5
    """How many times the most of any day before."""
    history_days: int = 3
    leak_days: int = 5
    leak_bytes: int = 20_000_000
    common_hosts: int = 3


def _rule(name: str, title: str, severity: str, techniques: tuple[str, ...], means: str) -> BehaviourRule:
    return BehaviourRule(name, title, severity, "network", techniques, ("exfiltration",), means)


RULES: tuple[BehaviourRule, ...] = (
    _rule(
        "upload_unusual",
        "Own host sent a rare outside peer far more than on any day before",
        "medium",
        ("T1041", "T1048"),
        "on this day an own host sent a peer outside many times what it sent it on any earlier day",
    ),
    _rule(
        "upload_large",
        "Own host sent a rare outside peer much, without history to hold it against",
        "low",
        ("T1041", "T1048"),
        "an own host sent a peer outside much in a day; the logs do not reach back far enough to say whether it "
        "always does, as a backup would",
    ),
    _rule(
        "slow_leak",
        "Own host sends a new outside peer a little every day",
        "medium",
        ("T1030", "T1048"),
        "an own host began to send data to a new peer outside on many days, never much at once, and got little back",
    ),
    _rule(
        "upload_to_storage",
        "Own host uploads to a storage or paste service",
        "low",
        ("T1567.002", "T1567.003"),
        "an own host sent data to a service that keeps anybody's files or text, and got less back",
    ),
)

STORAGE: tuple[str, ...] = (
    *("mega.nz", "mega.co.nz", "mega.io", "dropbox.com", "dropboxapi.com", "box.com", "mediafire.com", "pcloud.com"),
    *("wetransfer.com", "transfer.sh", "file.io", "gofile.io", "sendspace.com", "ufile.io", "1fichier.com", "temp.sh"),
    *("anonfiles.com", "bashupload.com", "catbox.moe", "0x0.st", "oshi.at", "filebin.net", "swisstransfer.com"),
    *("pastebin.com", "paste.ee", "hastebin.com", "ghostbin.co", "dpaste.com", "dpaste.org", "termbin.com"),
    *("pastebin.pl", "rentry.co", "privatebin.net", "justpaste.it", "ix.io", "sprunge.us", "telegra.ph"),
    *("controlc.com",),
    *("drive.google.com", "docs.google.com", "onedrive.live.com", "1drv.ms", "storage.googleapis.com"),
    *("blob.core.windows.net", "s3.amazonaws.com", "backblazeb2.com", "wasabisys.com", "r2.dev"),
    *("digitaloceanspaces.com", "api.telegram.org", "discordapp.com", "cdn.discordapp.com", "webhook.site"),
    *("requestbin.net", "ngrok.io", "ngrok.app"),
)  # fmt: skip
"""Services that take files or text from anybody, by registrable or host name."""
_STORAGE = rf"(?:^|\.)(?:{'|'.join(re.escape(name) for name in STORAGE)})\z"


def leaving_pairs(pairs: ibis.Table, dns: ibis.Table, http: ibis.Table, settings: ExfiltrationSettings) -> ibis.Table:
    """Outward pairs that sent enough for a rule to speak of them.

    Adds ``hosts``, ``source_first`` and ``pair_first`` (microseconds), ``name``, ``storage`` (whether its name is that
    of such a service) and ``well_known`` (1 where all its names are).  What :func:`suspicious_days` asks of days is
    asked here of pairs, none of whose days sent more.
    """
    seen = pairs.group_by("source").agg(source_first=microseconds(pairs.first).min())
    outward = pairs.filter(pairs.from_own & ~pairs.to_own)
    hosts = outward.group_by("target").agg(hosts=outward.source.nunique())
    kept = outward.filter(outward.said >= settings.looked_at_bytes).inner_join(hosts, "target")
    kept = kept.left_join(names(dns, http), "target").drop("target_right")
    kept = kept.mutate(storage=kept.name.re_search(_STORAGE).fill_null(False), well_known=kept.known.fill_null(0))
    rare = kept.hosts < settings.common_hosts
    leaks = (kept.said >= settings.leak_bytes) & (kept.said > kept.heard * 3)
    kept = kept.filter(kept.storage | (rare & ((kept.said >= settings.day_bytes) | leaks)))
    kept = kept.inner_join(seen, "source")
    facts = ("hosts", "source_first", "name", "storage", "well_known")
    return kept.select(*PAIR, *facts, pair_first=microseconds(kept.first))


def sent_enough(pairs: ibis.Table, settings: ExfiltrationSettings) -> ir.BooleanValue:
    """Whether a pair goes outward and sent enough to be looked at."""
    return pairs.from_own & ~pairs.to_own & (pairs.said >= settings.looked_at_bytes)


def leaving(kept: ibis.Table, network: ibis.Table, _own: Sequence[str], _settings: ExfiltrationSettings) -> ibis.Table:
    """The connections of such pairs, with ``service`` and ``day``."""
    rows = of_pairs(network, kept)
    return rows.mutate(service=service_of(rows.port, rows.protocol), day=microseconds(rows.time) // DAY)


def suspicious_days(table: ibis.Table, settings: ExfiltrationSettings) -> ibis.Table:
    """The connections of days and pairs that a rule speaks of, with ``rule`` and ``episode``."""
    pair = ["source", "target", "service"]
    facts = [*pair, "day", "hosts", "source_first", "pair_first", "storage", "well_known"]
    days = table.group_by(facts).agg(day_said=table.said.sum(), day_heard=table.heard.sum())
    before = ibis.window(group_by=pair, order_by=[days.day], preceding=(None, 1))
    days = days.mutate(most_before=days.day_said.max().over(before).fill_null(0))
    days = days.mutate(
        days=days.day.count().over(over(pair)),
        pair_said=days.day_said.sum().over(over(pair)),
        pair_heard=days.day_heard.sum().over(over(pair)),
        day_most=days.day_said.max().over(over(pair)),
    )
    history = days.day - days.source_first // DAY
    known = history >= settings.history_days
    rare = days.hosts < settings.common_hosts
    much = (days.day_said >= settings.day_bytes) & (days.day_said > days.day_heard * 3)
    jump = much & (days.day_said >= days.most_before * settings.times)
    began_later = days.pair_first // DAY - days.source_first // DAY >= settings.history_days
    leak = (
        began_later
        & (days.days >= settings.leak_days)
        & (days.pair_said >= settings.leak_bytes)
        & (days.pair_said > days.pair_heard * 3)
        & (days.day_most < settings.day_bytes)
        & (days.well_known == 0)
    )
    stored = days.storage & (days.day_said > days.day_heard) & (days.day_said >= settings.looked_at_bytes)
    rule = ibis.cases(
        (rare & jump & known & (days.well_known == 0), "upload_unusual"),
        (rare & leak, "slow_leak"),
        (stored, "upload_to_storage"),
        (rare & jump, "upload_large"),
        else_=ibis.null("string"),
    )
    days = days.mutate(rule=rule, cold_start=(~known).cast("int64"))
    told = days.filter(days.rule.notnull())
    told = told.mutate(episode=ibis.ifelse(told.rule == "slow_leak", ibis.literal(0, type="int64"), told.day))
    told = told.select(*pair, "day", "rule", "episode", "most_before", "cold_start")
    return table.inner_join(told, [*pair, "day"])


def exfiltration(table: ibis.Table, _settings: ExfiltrationSettings) -> Statements:
    """One statement per pair and day, a slow leak one per pair.

    Returns:
        statements of :data:`RULES`; counts: ``connections, bytes_out, bytes_in, most_of_a_day_before, days,
        own_hosts, name, cold_start``.
    """
    table = table.mutate(key=key(table.rule, table.source, table.target, table.service, table.episode))

    def summarise(rows: ibis.Table) -> ibis.Table:
        grouped = rows.group_by(["key", "rule", "source", "target", "service"]).agg(
            time=rows.time.min(),
            time_end=rows.time.max(),
            connections=rows.count(),
            said=rows.said.sum(),
            heard=rows.heard.sum(),
            most=rows.most_before.max(),
            days=rows.day.nunique(),
            hosts=rows.hosts.max(),
            name=rows.name.min(),
            cold=rows.cold_start.max(),
        )
        return grouped.select(
            **of_a_pair(grouped),
            confidence=ibis.ifelse((grouped.rule == "upload_unusual") & (grouped.most > 0), "medium", "low"),
            connections=grouped.connections,
            bytes_out=grouped.said,
            bytes_in=grouped.heard,
            most_of_a_day_before=grouped.most,
            days=grouped.days,
            own_hosts=grouped.hosts,
            name=grouped.name,
            cold_start=grouped.cold,
        )

    return Statements(table, summarise)
