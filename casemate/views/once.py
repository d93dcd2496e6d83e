"""What two sources tell of the same traffic, counted once.

A case may hold a capture and the Zeek logs made from it, or the flow records of a router beside both.  All stay
records; but measures and analytics of traffic would count each connection twice, find a beacon with gaps of nothing,
and take a day that two sources saw for a day of twice the bytes.  So a row of a source that tells less is left out
where one that tells more has the same between the same ends at the same time (connections that overlap, give or take a
second; else within a second): flow records give way to captures and Zeek, captures to Zeek, which says how logons ended
and is what the lab's own baseline is made of.

What only one of them has stays: Zeek leaves out packets with bad checksums, a capture may begin later.  Sources whose
clocks differ by more than a second, or between which addresses are translated, are not recognised; they count twice.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from collections.abc import Collection, Mapping

import ibis

ZEEK = frozenset({"zeek_tsv", "zeek_json"})
CAPTURES = frozenset({"pcap", "pcapng"})
FLOWS = frozenset({"netflow", "nfdump", "nfdump-csv", "nfdump-json", "nfdump-ndjson"})
GIVES_WAY: tuple[tuple[frozenset[str], frozenset[str]], ...] = ((FLOWS, CAPTURES | ZEEK), (CAPTURES, ZEEK))
"""Formats of evidence, and those that tell more of the same traffic."""
MICROSECONDS_APART = 1_000_000
THE_SAME: Mapping[str, tuple[str, ...]] = {
    "network_activity": (
        *("src_endpoint_ip", "src_endpoint_port", "dst_endpoint_ip", "dst_endpoint_port"),
        "connection_info_protocol_name",
    ),
    "dns_activity": ("src_endpoint_ip", "dst_endpoint_ip", "query_hostname", "query_type"),
    "http_activity": (
        *("src_endpoint_ip", "dst_endpoint_ip", "dst_endpoint_port"),
        *("http_request_http_method", "http_request_url_path"),
    ),
    "tls_activity": ("src_endpoint_ip", "dst_endpoint_ip", "dst_endpoint_port"),
    "ssh_activity": ("src_endpoint_ip", "dst_endpoint_ip", "dst_endpoint_port"),
    "authentication": ("src_endpoint_ip", "dst_endpoint_ip", "dst_endpoint_port", "service_name"),
}
"""By event class, what two rows must have in common."""


def counted_once(
    ocsf: Mapping[str, ibis.Table], evidence: ibis.Table, formats: Collection[str]
) -> dict[str, ibis.Table]:
    """OCSF tables without what another source in the case tells more of.

    Args:
        ocsf: OCSF tables by name, with at least the columns of :data:`THE_SAME`.
        evidence: ``evidence, format`` of each piece.
        formats: the formats there are, so that nothing is asked for in vain.
    """
    tables = dict(ocsf)
    for less, more in GIVES_WAY:
        if not less.intersection(formats) or not more.intersection(formats):
            continue
        for name, columns in THE_SAME.items():
            if name in tables:
                tables[name] = _without(tables[name], _of(evidence, less), _of(evidence, more), columns)
    return tables


def _of(evidence: ibis.Table, formats: Collection[str]) -> ibis.Table:
    return evidence.filter(evidence.format.isin(sorted(formats))).select("evidence").distinct()


def _without(table: ibis.Table, less: ibis.Table, more: ibis.Table, columns: tuple[str, ...]) -> ibis.Table:
    timed = table.filter(table.time.notnull())
    # a port that there is none of (ICMP), or a name that was not sent, is the same on both sides
    same = {
        f"same_{name}": timed[name].cast("string").fill_null("") for name in columns if not name.endswith("endpoint_ip")
    }
    ends = {f"same_{name}": timed[name] for name in columns if name.endswith("endpoint_ip")}
    lasted = timed.duration.fill_null(0) * 1_000 if "duration" in timed.columns else ibis.literal(0, type="int64")
    shown = timed.select("evidence", "record", "time", lasted=lasted, **same, **ends)
    fuller = shown.semi_join(more, "evidence").drop("evidence", "record").rename(there="time", lasted_there="lasted")
    both = shown.semi_join(less, "evidence").inner_join(fuller, [*same, *ends])
    later = both.time.delta(both.there, unit="microsecond")
    at_once = (later <= both.lasted_there + MICROSECONDS_APART) & (-later <= both.lasted + MICROSECONDS_APART)
    told = both.filter(at_once).select("evidence", "record").distinct()
    return table.anti_join(told, ["evidence", "record"])
