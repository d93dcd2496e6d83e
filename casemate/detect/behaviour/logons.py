"""One shape for everything that looks like trying to log on, whatever log tells of it.

Columns: ``evidence, record, time, source_kind, source, inside, target_kind, target, service, user,
result, asked, tries, explicit``.  ``result`` is

* ``failure``, ``success``: the log says so;
* ``likely_success``: an SSH session whose log does not say, but which lasted longer than sshd keeps an
  unauthenticated connection (``LoginGraceTime``, 120 s by default, sshd_config(5)) and carried more
  than key exchange and the six tries of ``MaxAuthTries`` take;
* ``likely_success`` too: an answer of a login page that differs from what it mostly gave the same source;
* ``visit``: the client only read the server's greeting and tried nothing;
* ``undecided``: the log does not say.  Zeek guesses ``auth_success`` from packet sizes and leaves
  it unset where it cannot (https://docs.zeek.org/en/master/logs/ssh.html).  A Kerberos ticket granted without
  pre-authentication shows no password either (Microsoft's documentation of event 4768).

``asked`` is false where the answer came before any password was looked at: Kerberos that knows no such user.

``explicit`` is true of the use of other credentials than the own (Windows 4648, by a person): it is written where
the credentials are used, before anyone knows how it ends.

``tries`` is the number of tries inside one record: one reused connection can carry many.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from collections.abc import Sequence
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from casemate.detect.behaviour.networks import within

LOGIN_PORTS: dict[int, str] = {
    21: "ftp",
    22: "ssh",
    23: "telnet",
    1433: "mssql",
    3306: "mysql",
    3389: "rdp",
    5432: "postgresql",
    5900: "vnc",
    5985: "winrm",
    5986: "winrm over tls",
}
"""Services on which an unasked conversation from outside is an attempt to log on, or leads to one."""

LOGIN_PATH = (
    r"(?i)(/wp-login[.]php|/xmlrpc[.]php|/login|/log-in|/signin|/sign-in|/logon|/auth|/session|/token|/hub/login)"
)

LOCAL_ADDRESSES: tuple[str, ...] = ("127.0.0.1", "::1", "0.0.0.0", "::")  # noqa: S104 - compared, not bound


@dataclass(frozen=True)
class LogonSettings:
    """When a session of undecided result is taken for a login; reasons at the top of this file."""

    session_milliseconds: int = 130_000
    session_bytes: int = 6_000
    banner_bytes: int = 255
    """Longest identification line of an SSH client (RFC 4253 section 4.2); who says no more tries no password."""


def logons(authentication: ibis.Table, network: ibis.Table, own: Sequence[str], settings: LogonSettings) -> ibis.Table:
    """Rows from ``authentication``, with SSH sessions judged by their connection in ``network_activity``."""
    # The end of a session (Windows 4634, 4647, 4779) is no logon, though it succeeded.
    authentication = authentication.filter((authentication.activity_name != "Logoff").fill_null(True))
    sizes = network.filter(network.connection_info_uid.notnull() & (network.connection_info_protocol_name == "tcp"))
    sizes = sizes.group_by("connection_info_uid").agg(
        milliseconds=sizes.duration.max(), heard=sizes.traffic_bytes_in.max(), said=sizes.traffic_bytes_out.max()
    )
    table = authentication.left_join(sizes, "connection_info_uid")
    long = (table.milliseconds >= settings.session_milliseconds) & (table.heard >= settings.session_bytes)
    unsaid = table.status.fill_null("Unknown") == "Unknown"
    banner = unsaid & (table.service_name == "ssh") & (table.said <= settings.banner_bytes)
    unshown = (table.status_detail == "no pre-authentication").fill_null(False)
    result = ibis.cases(
        (unshown, "undecided"),
        ((table.status == "Failure").fill_null(False), "failure"),
        ((table.status == "Success").fill_null(False), "success"),
        ((unsaid & (table.service_name == "ssh") & long).fill_null(False), "likely_success"),
        (banner.fill_null(False), "visit"),
        else_="undecided",
    )
    remote = table.src_endpoint_ip.notnull() & ~table.src_endpoint_ip.isin(LOCAL_ADDRESSES).fill_null(False)
    host = ibis.coalesce(table.src_endpoint_hostname, table.device_hostname)
    # Without the domain: a failed logon often names none, or the wrong one, for the same account.
    user = table.user_name.lower()
    return table.select(
        evidence=table.evidence,
        record=table.record,
        time=table.time,
        source_kind=ibis.cases((remote, "address"), (host.notnull(), "host"), else_="unknown"),
        source=ibis.ifelse(remote, table.src_endpoint_ip, host).fill_null(""),
        inside=ibis.ifelse(remote, within(table.src_endpoint_ip, own), ~_foreign(table)),
        target_kind=_target_kind(table),
        target=ibis.coalesce(
            table.dst_endpoint_ip, table.dst_endpoint_hostname, table.device_hostname, table.service_name
        ).fill_null(""),
        service=_service(table),
        user=ibis.ifelse(user == "", ibis.null("string"), user),
        result=result,
        asked=~((table.service_name == "kerberos") & (table.status_detail == "no such user")).fill_null(False),
        tries=ibis.greatest(table.unmapped_attempts.fill_null(1), ibis.literal(1, type="int64")),
        explicit=(table.status_detail == "explicit credentials").fill_null(False),
    )


def _foreign(table: ibis.Table) -> ir.BooleanValue:
    """Whether a source is known by a full host name only, as sshd looks up, of no local or own domain.

    Windows writes the name the client gave itself, which says nothing about where it is.
    """
    name = table.src_endpoint_hostname.lower()
    domain = table.device_hostname.lower().re_extract(r"^[^.]+([.].+)$", 1)
    own_domain = (domain != "") & name.endswith(domain)
    looked_up = ~table.metadata_product_name.isin(["windows", "sysmon"]).fill_null(False)
    full = name.re_search(r"[.][a-z-]{2,}$") & ~name.re_search(r"[.](local|localdomain|lan|internal|home|corp)$")
    return looked_up & full.fill_null(False) & ~own_domain.fill_null(False)


def _target_kind(table: ibis.Table) -> ir.StringValue:
    named = table.dst_endpoint_hostname.notnull() | table.device_hostname.notnull()
    return ibis.cases((table.dst_endpoint_ip.notnull(), "address"), (named, "host"), else_="service")


def _service(table: ibis.Table) -> ir.StringValue:
    """``22/tcp`` where the port is known, so that it is the scope a scan of it has; else the name."""
    port = table.dst_endpoint_port
    return ibis.ifelse(
        table.dst_endpoint_ip.notnull() & port.notnull() & (port > 0),
        port.cast("string") + "/tcp",
        table.service_name.fill_null("logon"),
    )


def login_pairs(pairs: ibis.Table) -> ibis.Table:
    """Those of :func:`casemate.detect.behaviour.pairs.pairs` that :func:`login_connections` may speak of."""
    service = pairs.port.isin(list(LOGIN_PORTS)) & (pairs.protocol.lower() == "tcp")
    return pairs.filter(~pairs.from_own & pairs.to_own & service & (pairs.heard > 0) & (pairs.said > 0))


def login_connections(
    _pairs: ibis.Table,
    network: ibis.Table,
    authentication: ibis.Table,
    own: Sequence[str],
    _settings: LogonSettings | None = None,
) -> ibis.Table:
    """Conversations of outside addresses with login services that no login log tells of: ``undecided``.

    Args:
        _pairs: from :func:`login_pairs`; where it has no rows, there is nothing to look for.
        network, authentication: ``network_activity``, ``authentication``.
        own: the own networks.
    """
    known = authentication.filter(authentication.connection_info_uid.notnull())
    known = known.select(connection_info_uid=known.connection_info_uid).distinct()
    table = network.filter(
        network.dst_endpoint_port.isin(list(LOGIN_PORTS)).fill_null(False)
        & (network.connection_info_protocol_name.lower() == "tcp").fill_null(False)
        & (network.traffic_bytes_in > 0).fill_null(False)
        & (network.traffic_bytes_out > 0).fill_null(False)
        & ~network.unmapped_conn_state.isin(["OTH", "SHR", "RSTRH", "REJ", "S0", "SH", "RSTOS0"]).fill_null(False)
        & within(network.dst_endpoint_ip, own)
        & ~within(network.src_endpoint_ip, own)
    )
    table = table.anti_join(known, "connection_info_uid")
    return table.select(
        evidence=table.evidence,
        record=table.record,
        time=table.time,
        source_kind=ibis.literal("address"),
        source=table.src_endpoint_ip,
        inside=ibis.literal(False),
        target_kind=ibis.literal("address"),
        target=table.dst_endpoint_ip,
        service=table.dst_endpoint_port.cast("string") + "/tcp",
        user=ibis.null("string"),
        result=ibis.literal("undecided"),
        asked=ibis.literal(True),
        tries=ibis.literal(1, type="int64"),
        explicit=ibis.literal(False),
    )


def web_logons(http: ibis.Table, own: Sequence[str], _settings: LogonSettings | None = None) -> ibis.Table:
    """Requests that carry credentials: with a user name, or sent to a login page.

    401 is a failure (RFC 9110 section 15.5.2), and 403 to a login page; an answer below 400 to a
    request with a user name is a success.  A login page that answers 200 or 302 does not say, unless it mostly
    answered the same source otherwise: by refusing (401, 403), or by showing the form again (200) where it now
    sends the browser on (302, 303); then it is a likely success.
    """
    path = http.http_request_url_path.fill_null("")
    posted = (http.http_request_http_method.upper() == "POST").fill_null(False) & path.re_search(LOGIN_PATH)
    user = ibis.ifelse(http.actor_user_name == "", ibis.null("string"), http.actor_user_name)
    code = http.http_response_code
    table = http.mutate(posted=posted, user=user, path=path)
    table = table.filter((table.posted | table.user.notnull()) & code.notnull() & table.src_endpoint_ip.notnull())
    posted, user, code = table.posted, table.user, table.http_response_code
    page = ibis.window(
        group_by=["src_endpoint_ip", "dst_endpoint_ip", "http_request_url_hostname", "device_hostname", "path"]
    )
    went_on = code.isin([302, 303])
    refusals = (posted & code.isin([401, 403])).cast("int64").sum().over(page)
    accepted = posted & code.isin([200, 201, 204, 302, 303])
    redisplays = (posted & (code == 200)).cast("int64").sum().over(page)
    mostly_refused = refusals > accepted.cast("int64").sum().over(page)
    mostly_redisplayed = redisplays > (posted & went_on).cast("int64").sum().over(page)
    result = ibis.cases(
        ((code == 401).fill_null(False), "failure"),
        ((posted & (code == 403)).fill_null(False), "failure"),
        ((user.notnull() & (code < 400)).fill_null(False), "success"),
        (accepted & mostly_refused, "likely_success"),
        (posted & went_on & mostly_redisplayed, "likely_success"),
        (posted, "undecided"),
        else_="",
    )
    port = table.dst_endpoint_port
    table = table.mutate(result=result)
    table = table.filter(table.result != "")
    return table.select(
        evidence=table.evidence,
        record=table.record,
        time=table.time,
        source_kind=ibis.literal("address"),
        source=table.src_endpoint_ip,
        inside=within(table.src_endpoint_ip, own),
        target_kind=ibis.cases(
            (table.dst_endpoint_ip.notnull(), "address"),
            (table.http_request_url_hostname.notnull() | table.device_hostname.notnull(), "host"),
            else_="service",
        ),
        target=ibis.coalesce(
            table.dst_endpoint_ip, table.http_request_url_hostname, table.device_hostname, ibis.literal("web")
        ),
        service=ibis.ifelse(
            table.dst_endpoint_ip.notnull() & port.notnull(), port.cast("string") + "/tcp", ibis.literal("web")
        ),
        user=table.actor_user_name.lower(),
        result=table.result,
        asked=ibis.literal(True),
        tries=ibis.literal(1, type="int64"),
        explicit=ibis.literal(False),
    )
