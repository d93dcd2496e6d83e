"""Networks and the web: Zeek, Suricata, web servers."""

from __future__ import annotations

from casemate.detect.sigma.endpoints.parts import (
    Endpoints,
    EndpointTable,
    Text,
    address,
    first,
    host,
    http_outcome,
    known,
    service_of,
    to,
)

_PAIR = ("id.orig_h", "id.resp_h", "id.resp_p")
UNANSWERED = frozenset({"S0", "REJ", "RSTOS0", "RSTRH", "SH", "SHR"})
"""Zeek's states of a connection that was never established (base/protocols/conn/main.zeek)."""


def _connection(orig: Text, resp: Text, port: Text, service: Text, state: Text) -> Endpoints:
    outcome = "failed" if state in UNANSWERED else "unknown"
    return Endpoints(address(orig), to(address(resp), known(service) or service_of(port)), "network", outcome)


def _zeek(orig: Text, resp: Text, port: Text) -> Endpoints:
    return Endpoints(address(orig), to(address(resp), service_of(port)), "network", "unknown")


def _zeek_notice(orig: Text, resp: Text, port: Text, source: Text, target: Text, about: Text) -> Endpoints:
    end = first(address(resp), address(target))
    return Endpoints(first(address(orig), address(source)), to(end, service_of(port or about)), "network", "unknown")


def _zeek_http(orig: Text, resp: Text, status: Text) -> Endpoints:
    return Endpoints(address(orig), to(address(resp), "http"), "web", http_outcome(status))


def _login(service: str, *columns: str) -> EndpointTable:
    """A log of logons; `columns` say in one of their values whether each was accepted."""

    def find(orig: Text, resp: Text, *said: Text) -> Endpoints:
        answer = next((value.lower() for value in said if value is not None), None)
        outcome = LOGIN_ANSWERS.get(answer, "unknown") if answer is not None else "unknown"
        return Endpoints(address(orig), to(address(resp), service), "credential", outcome)

    return EndpointTable(("id.orig_h", "id.resp_h", *columns), find)


LOGIN_ANSWERS = {"t": "succeeded", "true": "succeeded", "f": "failed", "false": "failed", "failed": "failed"}
LOGIN_ANSWERS |= {"success": "succeeded"}
"""Zeek's truth values, as text and JSON, and the words of ``radius``; anything else is not known."""

ZEEK: dict[str, EndpointTable] = {
    "zeek_conn": EndpointTable((*_PAIR, "service", "conn_state"), _connection),
    "zeek_http": EndpointTable((*_PAIR[:2], "status_code"), _zeek_http),
    "zeek_notice": EndpointTable((*_PAIR, "src", "dst", "p"), _zeek_notice),
    "zeek_ssh": _login("ssh", "auth_success"),
    "zeek_kerberos": _login("kerberos", "success"),
    "zeek_ntlm": _login("ntlm", "success"),
    "zeek_rfb": _login("vnc", "auth"),
    "zeek_radius": _login("radius", "result"),
}
ANY_ZEEK = EndpointTable(_PAIR, _zeek)

DROPPED = frozenset({"blocked", "drop", "dropped", "reject"})


def _suricata(
    kind: Text, src: Text, dest: Text, port: Text, protocol: Text, action: Text, verdict: Text,
    attacker: Text, victim: Text, status: Text,
) -> Endpoints:  # fmt: skip
    # a rule with the keyword "target" says which side attacks, whichever way the packet went
    source, target = first(address(attacker), address(src)), first(address(victim), address(dest))
    turned = target is not None and target == address(src) and target != address(dest)
    service = known(protocol) if known(protocol) not in (None, "failed") else None if turned else service_of(port)
    web = kind == "http" or protocol in ("http", "http2")
    outcome = http_outcome(status) if web else "unknown"
    if kind == "drop" or action in DROPPED or verdict in DROPPED:
        outcome = "blocked"
    return Endpoints(source, to(target, service), "web" if web else "network", outcome)


SURICATA = EndpointTable(
    (
        *("event_type", "src_ip", "dest_ip", "dest_port", "app_proto", "alert.action", "verdict.action"),
        *("alert.source.ip", "alert.target.ip", "http.status"),
    ),
    _suricata,
)


def _web_access(client: Text, name: Text, status: Text) -> Endpoints:
    return Endpoints(address(client), _web_server(name), "web", http_outcome(status))


def _web_error(client: Text, name: Text, message: Text) -> Endpoints:
    outcome = "blocked" if "denied" in (message or "") else "unknown"
    return Endpoints(address(client), _web_server(name), "web", outcome)


def _web_server(name: Text) -> tuple[str, str, Text]:
    return host(name, "http") or ("service", "web server", "http")


WEB_ACCESS = EndpointTable(("client_ip", "host", "status"), _web_access)
WEB_ERROR = EndpointTable(("client_ip", "host", "message"), _web_error)
