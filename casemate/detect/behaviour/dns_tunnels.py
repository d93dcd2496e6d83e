"""Data in names, and failing names made by a machine, from ``dns_activity``.

* **tunnel**: one source asks for many different names below one registrable name, most of which carry long labels
  that look encoded.  Measures after Born and Gustafson, "Detecting DNS Tunnels Using Character Frequency Analysis"
  (2010), and Paxson et al., "Practical Comprehensive Bounds on Surreptitious Communication over DNS" (USENIX Security
  2013): how much the names of one zone carry, not how odd one name looks.  Entropy of characters is stood for by the
  share of names with a long label of letters and digits mixed, which both engines compute alike.
* **failing names**: one source asks for names below many different registrable names that do not exist, as a domain
  generation algorithm does (Antonakakis et al., "From Throw-Away Traffic to Bots", USENIX Security 2012).

Left out: reverse lookups, names of the local link, block lists (names that begin with a reversed address), names of
makers of everyday software, and zones that many sources ask for.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from collections.abc import Sequence
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from casemate.detect.behaviour.peers import well_known, zone_of
from casemate.detect.behaviour.rules import BehaviourRule, Statements, bursts, key


@dataclass(frozen=True)
class TunnelSettings:
    """Thresholds."""

    names: int = 30
    """Different names below one zone."""
    letters: int = 18
    """Average letters of a name in front of its zone."""
    letters_with_data: int = 8
    """The same where most questions are of types whose answers carry free data."""
    common_sources: int = 10
    failing_zones: int = 20
    """Registrable names that do not exist, in one burst."""
    burst_gap_seconds: int = 3600


RULES: tuple[BehaviourRule, ...] = (
    BehaviourRule(
        "dns_tunnel",
        "Data carried in names of one zone",
        "medium",
        "network",
        ("T1048.003", "T1071.004", "T1572"),
        ("command-and-control", "exfiltration"),
        "one source asked for many different names below one zone whose labels look encoded: data leaves in names",
    ),
    BehaviourRule(
        "failing_names",
        "Names below many zones that do not exist",
        "medium",
        "network",
        ("T1568.002",),
        ("command-and-control",),
        "one source asked for names below many registrable names that do not exist, as malware does that looks for "
        "its controller; mail servers that check senders do this too",
    ),
)

DATA_TYPES = ("TXT", "NULL", "CNAME", "MX", "PRIVATE", "SRV", "KEY", "SVCB", "TYPE65399", "*")
"""Types whose answers can carry what their author likes; iodine, dnscat2 and others use them."""
_LEFT_OUT = r"(?:\.arpa|\.local|\.localdomain|\.lan|\.home|\.internal|\.corp)\z"
_BLOCK_LIST = r"^[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[a-z]"


def questions(dns: ibis.Table, _own: Sequence[str], _settings: TunnelSettings) -> ibis.Table:
    """Questions with a registrable name: ``source, name, zone, front`` (what stands before the zone), ``encoded``,
    ``data_type``, ``missing``, ``answered`` (letters of the answer) and their place."""
    table = dns.filter(asked_by_known(dns))
    asked = table.query_hostname.lower().re_replace(r"\.\z", "")
    table = table.mutate(asked=asked, zone=zone_of(asked))
    table = table.filter(
        (table.zone != "") & ~table.asked.re_search(_LEFT_OUT) & ~table.asked.re_search(_BLOCK_LIST)
        & ~well_known(table.asked)
    )  # fmt: skip
    front = table.asked.substr(0, ibis.greatest(table.asked.length() - table.zone.length() - 1, 0))
    table = table.mutate(front=front)
    encoded = table.front.re_search(r"[a-z0-9_=+/-]{15,}") & table.front.re_search(r"[0-9][^0-9]+[0-9]|[0-9]{2}")
    letters_only = table.front.re_search(r"[a-z]{24,}")
    return table.select(
        "evidence",
        "record",
        "time",
        "zone",
        "front",
        source=table.src_endpoint_ip,
        name=table.asked,
        encoded=(encoded | letters_only).cast("int64"),
        labels=table.front.length() - table.front.replace(".", "").length() + 1,
        data_type=table.query_type.upper().isin(DATA_TYPES).fill_null(False).cast("int64"),
        missing=(table.rcode.upper() == "NXDOMAIN").fill_null(False).cast("int64"),
        answered=table.answers.length().fill_null(0),
    )


def asked_by_known(dns: ibis.Table) -> ir.BooleanValue:
    """Whether a question has a time, a source, and a name that can have a zone."""
    return dns.time.notnull() & dns.src_endpoint_ip.notnull() & dns.query_hostname.contains(".")


def suspicious_questions(table: ibis.Table, settings: TunnelSettings) -> ibis.Table:
    """The questions of tunnels, and of failing names, with ``rule``."""
    in_front = table.filter(table.front != "")
    by_name = in_front.group_by(["source", "zone", "name"]).agg(
        asked=in_front.count(),
        letters=in_front.front.length().max(),
        encoded=in_front.encoded.max(),
        data=in_front.data_type.max(),
    )
    by_zone = by_name.group_by(["source", "zone"]).agg(
        names=by_name.count(), asked=by_name.asked.sum(), letters=by_name.letters.sum(), coded=by_name.encoded.sum(),
        data=by_name.data.sum(),
    )  # fmt: skip
    common = table.group_by("zone").agg(sources=table.source.nunique())
    by_zone = by_zone.filter(by_zone.names >= settings.names).inner_join(common, "zone")
    enough = (by_zone.letters >= by_zone.names * settings.letters) & (by_zone.coded * 2 >= by_zone.names)
    carrying = (by_zone.letters >= by_zone.names * settings.letters_with_data) & (by_zone.data * 2 >= by_zone.names)
    fresh = by_zone.asked <= by_zone.names * 4  # a name that carries data is asked once, and again when lost
    tunnels = by_zone.filter((enough | carrying) & fresh & (by_zone.sources < settings.common_sources))
    tunnels = in_front.semi_join(tunnels, ["source", "zone"])
    tunnels = tunnels.mutate(rule=ibis.literal("dns_tunnel"), episode=ibis.literal(0, type="int64"))
    ever = table.group_by("zone").agg(missing=table.missing.min()).filter(ibis._.missing == 1)
    lost = table.filter(table.missing == 1).semi_join(ever, "zone")
    busy = lost.group_by("source").agg(zones=lost.zone.nunique())
    lost = lost.semi_join(busy.filter(busy.zones >= settings.failing_zones), "source")
    lost = bursts(lost, ["source"], settings.burst_gap_seconds, "episode")
    dense = lost.group_by(["source", "episode"]).agg(zones=lost.zone.nunique())
    lost = lost.semi_join(dense.filter(dense.zones >= settings.failing_zones), ["source", "episode"])
    lost = lost.mutate(rule=ibis.literal("failing_names"), zone=ibis.literal("many zones"), whole=lost.zone)
    columns = [name for name in tunnels.columns if name not in ("rule", "episode")]
    tunnels = tunnels.mutate(whole=tunnels.zone)
    return tunnels.select(*columns, "whole", "rule", "episode").union(lost.select(*columns, "whole", "rule", "episode"))


def dns_tunnels(table: ibis.Table, _settings: TunnelSettings) -> Statements:
    """One statement per source and zone, or burst of failing names.

    Returns:
        statements of :data:`RULES`; counts: ``questions, names, zones, letters`` (in front of the zones, of all
        different questions), ``encoded, labels_most, data_types`` (questions), ``missing, answer_letters``.
    """
    table = table.mutate(key=key(table.rule, table.source, table.zone, table.episode))

    def summarise(rows: ibis.Table) -> ibis.Table:
        grouped = rows.group_by(["key", "rule", "source", "zone"]).agg(
            time=rows.time.min(),
            time_end=rows.time.max(),
            questions=rows.count(),
            names=rows.name.nunique(),
            zones=rows.whole.nunique(),
            letters=rows.front.length().sum(),
            encoded=rows.encoded.sum(),
            labels=rows.labels.max(),
            data_types=rows.data_type.sum(),
            missing=rows.missing.sum(),
            answered=rows.answered.sum(),
        )
        tunnel = grouped.rule == "dns_tunnel"
        return grouped.select(
            key=grouped.key,
            rule=grouped.rule,
            time=grouped.time,
            time_end=grouped.time_end,
            source_kind=ibis.literal("address"),
            source_value=grouped.source,
            target_kind=ibis.ifelse(tunnel, "host", "unknown"),
            target_value=grouped.zone,
            target_service=ibis.literal("dns"),
            outcome=ibis.ifelse(grouped.missing == grouped.questions, "failed", "unknown"),
            confidence=ibis.cases(
                (tunnel & (grouped.names >= 100) & (grouped.missing * 2 < grouped.questions), "high"), else_="medium"
            ),
            questions=grouped.questions,
            names=grouped.names,
            zones=grouped.zones,
            letters=grouped.letters,
            encoded=grouped.encoded,
            labels_most=grouped.labels,
            data_types=grouped.data_types,
            missing=grouped.missing,
            answer_letters=grouped.answered,
        )

    return Statements(table, summarise)
