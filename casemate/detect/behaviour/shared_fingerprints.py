"""Outside sources that use the same rare client and do the same things, from TLS, SSH and HTTP.

What a client says of itself without meaning to, or says wrongly, ties sources together: the order of what it offers in
TLS (JA4, or JA3 where no JA4 stands; Althouse, "JA4+ Network Fingerprinting", FoxIO 2023), the name and the offers of
an SSH client (Ghiette, Griffioen, Doerr, "Fingerprinting Tooling used for SSH Compromisation Attempts", RAID 2019,
tell herds of guessers apart by just these), a user agent.  A tool is not an actor: what a public tool, a library or a
browser says is shared by everybody who uses it.  So all of these must hold:

* **rare**: at most 5 % of the outside sources in this case that say anything of that kind say this, and no own host
  does.  Of fewer than 60 such sources nothing is known to be rare: then it is a quarter, and ``cold_start`` says so;
* **no clients**: at least four in five of those who say it mostly fail (SSH: never got in, and failed, only looked, or
  tried ten times; HTTP: more errors than answers; TLS: most of their connections came to nothing).  A fleet of
  devices, colleagues with the same program, or the customers behind one address (which is one source) are answered;
* **the same targets**: each asked for a service, or for two paths that were not there, that at least three of them
  asked for.  Paths that every browser and every crawler asks for do not count;
* **apart**: they are of at least three networks (/24, of IPv6 /64): neighbours need no fingerprint to be put together.

User agents of browsers and of crawlers that say who they are are never looked at: they are shared by design.  Names of
public tools and libraries stand in ``tool``, and what is told of them is of low confidence.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from collections.abc import Sequence
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from casemate.detect.behaviour.coordination import MANY
from casemate.detect.behaviour.logons import LogonSettings, logons
from casemate.detect.behaviour.networks import within
from casemate.detect.behaviour.pairs import service_of
from casemate.detect.behaviour.rules import BehaviourRule, Statements, key
from casemate.detect.behaviour.slow_scans import network_of


@dataclass(frozen=True)
class FingerprintSettings:
    """Thresholds."""

    sources: int = 3
    networks: int = 3
    one_in: int = 20
    """Rare is what one in so many sources says ..."""
    population: int = 60
    """... where at least so many say something; below that it is one in `one_in_few`."""
    one_in_few: int = 4
    tries: int = 10
    """Tries on SSH of unknown result, of a source that never got in, which count as failing."""
    paths: int = 2
    """Missing paths that a source must share with others; one that is gone is asked for by all who knew it."""
    named: int = 10
    """Sources that a finding names."""


RULES: tuple[BehaviourRule, ...] = (
    BehaviourRule(
        "shared_fingerprint",
        "Outside sources share a rare client fingerprint and their targets",
        "low",
        "network",
        ("T1595",),
        ("reconnaissance",),
        "sources in different networks, most of which only fail here, say the same of their client, which hardly "
        "anybody else in this case does, and act on the same targets: one hand, one rented service, or a tool that "
        "few use; a tool that is shared does not make an actor",
    ),
)

KNOWN_TOOLS = (
    r"(?i)(zgrab|masscan|nmap|nuclei|sqlmap|nikto|gobuster|ffuf|dirbuster|wfuzz|hydra|medusa|ncrack|metasploit|acunetix"
    r"|nessus|openvas|zmap|libssh|paramiko|ssh-2[.]0-go|openssh|putty|dropbear|jsch|asyncssh|ssh2js|phpseclib|mglndd"
    r"|python|go-http|okhttp|axios|java|curl|wget|httpx|aiohttp|requests|libwww|perl|ruby|php|node|undici|fasthttp"
    r"|httpclient|postman|powershell|winhttp)"
)
"""Public tools, libraries and programs that anybody may use, by what they say of themselves."""
_BROWSERS = (
    r"(?i)^mozilla/[0-9.]+ ?[(].*(applewebkit|gecko/|firefox/|msie |trident/|chrome/|safari/|edg[ea]?/|opr/|presto)"
    r"|^opera/"
)
_SAY_WHO_THEY_ARE = r"(?i)([+]?https?://|@[a-z0-9-]+[.][a-z]|bot\b|crawl|spider|slurp|feed|rss|monitor)"
_ASKED_BY_ALL = (
    r"^$|^/$|^/(favicon[.]ico|robots[.]txt|sitemap[^/]*[.]xml|apple-touch-icon[^/]*|browserconfig[.]xml|ads[.]txt|"
    r"humans[.]txt|manifest[.]json|index[.](html?|php))$|^/[.]well-known/"
)

_SAID = ("kind", "fingerprint", "source", "own", "target", "thing", "evidence", "record", "time")


def ssh_clients(
    ssh: ibis.Table, authentication: ibis.Table, network: ibis.Table, own: Sequence[str], settings: FingerprintSettings
) -> ibis.Table:
    """Records of ``ssh_activity`` of sources that share a rare client; of those who failed on SSH."""
    client = ibis.ifelse(ssh.unmapped_client.startswith("SSH-"), ssh.unmapped_client, ibis.null("string"))
    rows = _said(
        ssh, own, kind=ibis.literal("SSH client"), fingerprint=ibis.coalesce(client, ssh.client_hassh_fingerprint)
    )
    tried = logons(authentication, network, own, LogonSettings())
    tried = tried.filter((tried.source_kind == "address") & ~tried.inside)
    judged = tried.group_by("source").agg(
        good=tried.result.isin(["success", "likely_success"]).cast("int64").sum(),
        bad=tried.result.isin(["failure", "visit"]).cast("int64").sum(),
        tries=tried.tries.sum(),
    )
    failing = judged.filter((judged.good == 0) & ((judged.bad > 0) | (judged.tries >= settings.tries)))
    return _shared(rows, failing.select("source"), settings, 1)


def tls_clients(tls: ibis.Table, pairs: ibis.Table, own: Sequence[str], settings: FingerprintSettings) -> ibis.Table:
    """Records of ``tls_activity`` of sources that share a rare client; of those whose connections mostly fail."""
    ja4 = tls.ja4_fingerprint_list.re_extract(r"JA4=([^,]+)", 1)
    known = ibis.ifelse(ja4.fill_null("") != "", ja4, ibis.null("string"))
    rows = _said(
        tls,
        own,
        kind=ibis.ifelse(known.notnull(), "JA4", "JA3"),
        fingerprint=ibis.coalesce(known, tls.tls_ja3_hash),
    )
    inward = pairs.filter(~pairs.from_own & pairs.to_own)
    judged = inward.group_by("source").agg(bad=inward.failed.sum(), n=inward.n.sum())
    return _shared(rows, judged.filter(judged.bad * 2 > judged.n).select("source"), settings, 1)


def user_agents(http: ibis.Table, own: Sequence[str], settings: FingerprintSettings) -> ibis.Table:
    """Requests of ``http_activity`` that failed, of sources that share a rare user agent and mostly fail."""
    agent = http.http_request_user_agent.fill_null("")
    code = http.http_response_code
    said = http.filter((agent != "") & code.notnull()).mutate(lost=code >= 400)
    path = said.http_request_url_path.fill_null("")
    rows = _said(
        said,
        own,
        kind=ibis.literal("user agent"),
        fingerprint=said.http_request_user_agent,
        place=path,
        counts=said.lost & ~path.re_search(_ASKED_BY_ALL),
    )
    outside = said.filter(~within(said.src_endpoint_ip, own)).mutate(source=ibis._.src_endpoint_ip)
    judged = outside.group_by("source").agg(bad=outside.lost.cast("int64").sum(), n=outside.count())
    named = rows.fingerprint.re_search(_BROWSERS) | rows.fingerprint.re_search(_SAY_WHO_THEY_ARE)
    rows = rows.mutate(counts=rows.counts & ~named)
    return _shared(rows, judged.filter(judged.bad * 2 > judged.n).select("source"), settings, settings.paths)


def _said(table: ibis.Table, own: Sequence[str], **columns: ir.Value) -> ibis.Table:
    """Who said what to whom; ``counts``: whether it is one of the acts that sources are put together by."""
    place = columns.pop("place", None)
    host = [table[name] for name in ("http_request_url_hostname", "device_hostname") if name in table.columns]
    target = ibis.coalesce(table.dst_endpoint_ip, *host).fill_null("")
    port = table.dst_endpoint_port.fill_null(-1)
    counts = columns.pop("counts", ibis.literal(True))
    inward = table.dst_endpoint_ip.isnull() | within(table.dst_endpoint_ip, own)
    rows = table.select(
        "evidence",
        "record",
        "time",
        source=table.src_endpoint_ip,
        own=within(table.src_endpoint_ip, own),
        target=target,
        thing=target + " " + (service_of(port, ibis.literal("tcp")) if place is None else place),
        counts=counts & inward,
        inward=inward,
        **columns,
    )
    return rows.filter(rows.source.notnull() & rows.time.notnull() & rows.fingerprint.notnull())


def _shared(rows: ibis.Table, failing: ibis.Table, settings: FingerprintSettings, things: int) -> ibis.Table:
    """The rows of sources that share a rare fingerprint and enough targets, with what makes it rare."""
    who = ["kind", "fingerprint"]
    failing = failing.select(failing.source, fails=ibis.literal(1, "int64"))
    users = rows.filter(rows.own | rows.inward).select(*who, "source", "own").distinct().left_join(failing, "source")
    outside = users.filter(~users.own)
    population = outside.group_by("kind").agg(population=outside.source.nunique())
    used = users.group_by(who).agg(
        used_by=(~users.own).cast("int64").sum(),
        failing=ibis.ifelse(users.own, 0, users.fails.fill_null(0)).sum(),
        own_hosts=users.own.cast("int64").sum(),
    )
    used = used.inner_join(population, "kind")
    enough = used.population >= settings.population
    rare = ibis.ifelse(
        enough, used.used_by * settings.one_in <= used.population, used.used_by * settings.one_in_few <= used.population
    )
    used = used.mutate(cold_start=(~enough).cast("int64"))
    used = used.filter(
        rare & (used.own_hosts == 0) & (used.failing >= settings.sources) & (used.failing * 5 >= used.used_by * 4)
    )
    acts = rows.filter(rows.counts & ~rows.own).semi_join(failing, "source")
    acts = acts.inner_join(used.drop("own_hosts"), who)
    done = acts.select(*who, "thing", "source").distinct()
    common = done.group_by([*who, "thing"]).agg(by=done.source.nunique())
    common = common.filter(common.by >= settings.sources)
    sharing = done.inner_join(common.drop("by"), [*who, "thing"]).group_by([*who, "source"]).agg(things=ibis._.count())
    sharing = sharing.filter(sharing.things >= things)
    sharing = sharing.mutate(network=network_of(sharing.source))
    apart = sharing.group_by(who).agg(sources=sharing.source.nunique(), networks=sharing.network.nunique())
    apart = apart.filter((apart.sources >= settings.sources) & (apart.networks >= settings.networks))
    sharing = sharing.semi_join(apart, who).select(*who, "source", "network")
    acts = acts.semi_join(common, [*who, "thing"]).inner_join(sharing, [*who, "source"])
    return acts.select(*_SAID, "network", "population", "used_by", "failing", "cold_start")


def shared_fingerprints(table: ibis.Table, settings: FingerprintSettings) -> Statements:
    """One statement per fingerprint.

    Returns:
        statements of :data:`RULES`; counts: ``records, sources, networks, targets, kind, fingerprint, addresses`` (the
        first of the sources), and why it is rare: ``used_by`` of ``population`` outside sources, ``failing`` of those
        who use it, ``cold_start``; ``tool``: where it is that of a public one.
    """
    table = table.mutate(key=key("shared_fingerprint", table.kind, table.fingerprint.hexdigest("sha256")))

    def summarise(rows: ibis.Table) -> ibis.Table:
        named = rows.select("key", "source").distinct()
        named = named.mutate(place=ibis.row_number().over(ibis.window(group_by="key", order_by=named.source)))
        named = named.filter(named.place < settings.named)
        named = named.group_by("key").agg(addresses=named.source.collect().sort().join(", "))
        grouped = rows.group_by("key").agg(
            time=rows.time.min(),
            time_end=rows.time.max(),
            records=rows.count(),
            sources=rows.source.nunique(),
            networks=rows.network.nunique(),
            targets=rows.thing.nunique(),
            kind=rows.kind.min(),
            fingerprint=rows.fingerprint.min().substr(0, 200),
            used_by=rows.used_by.max(),
            population=rows.population.max(),
            failing=rows.failing.max(),
            cold_start=rows.cold_start.max(),
        )
        grouped = grouped.inner_join(named, "key")
        tool = grouped.fingerprint.re_extract(KNOWN_TOOLS, 1).lower()
        public = grouped.kind.isin(["SSH client", "user agent"]) & (tool != "")
        return grouped.select(
            "key",
            "time",
            "time_end",
            rule=ibis.literal("shared_fingerprint"),
            source_kind=ibis.literal("unknown"),
            source_value=ibis.literal(MANY),
            target_kind=ibis.literal("own_network"),
            target_value=ibis.literal("own network"),
            target_service=ibis.null("string"),
            outcome=ibis.literal("unknown"),
            confidence=ibis.ifelse(public | (grouped.cold_start == 1), "low", "medium"),
            **{name: grouped[name] for name in _COUNTS},
            tool=ibis.ifelse(public, tool, ibis.null("string")),
        )

    return Statements(table, summarise)


_COUNTS = ("records", "sources", "networks", "targets", "kind", "fingerprint", "addresses", "used_by", "population",
           "failing", "cold_start")  # fmt: skip
