"""Web servers and proxies, DNS, firewalls: web logs, Zeek, Suricata."""

from __future__ import annotations

from casemate.detect.sigma.logsources.source import EventSource, LogSource, derived, fields_of, having

WEB_ACCESS = fields_of(
    {
        "c-uri": "target",
        "cs-uri": "target",
        "cs-uri-query": "target",
        "c-uri-query": "query",
        "cs-uri-stem": "path",
        "c-uri-stem": "path",
        "c-uri-extension": derived("path_extension"),
        "cs-method": "method",
        "sc-status": "status",
        "cs-user-agent": "user_agent",
        "c-useragent": "user_agent",
        "cs-referer": "referer",
        "cs-referrer": "referer",
        "cs-username": "user",
        "cs-host": "host",
        "cs-version": "protocol",
        "c-ip": "client_ip",
        "src_ip": "client_ip",
        "s-port": "server_port",
        "sc-bytes": "bytes",
    }
)
"""Web server rules write the whole request target into ``cs-uri-query``, path included."""
WEB_PROXY = {**WEB_ACCESS, **fields_of({"c-uri": derived("target_url"), "cs-uri": derived("target_url")})}
SURICATA_HTTP = fields_of(
    {
        "c-uri": "http.url",
        "cs-uri": "http.url",
        "cs-uri-query": "http.url",
        "c-uri-query": derived("suricata_query"),
        "cs-uri-stem": derived("suricata_path"),
        "c-uri-stem": derived("suricata_path"),
        "c-uri-extension": derived("suricata_extension"),
        "cs-method": "http.http_method",
        "sc-status": "http.status",
        "cs-user-agent": "http.http_user_agent",
        "c-useragent": "http.http_user_agent",
        "cs-referer": "http.http_refer",
        "cs-referrer": "http.http_refer",
        "cs-host": "http.hostname",
        "cs-cookie": "http.cookie",
        "c-ip": "src_ip",
        "dst_ip": "dest_ip",
        "dst_port": "dest_port",
    }
)
SURICATA_DNS = fields_of(
    {
        "query": "dns.rrname",
        "QueryName": "dns.rrname",
        "record_type": "dns.rrtype",
        "answer": "dns.rdata",
        "dst_ip": "dest_ip",
        "dst_port": "dest_port",
    }
)
ZEEK_HTTP = fields_of(
    {
        "c-uri": derived("zeek_url"),
        "cs-uri": derived("zeek_url"),
        "cs-uri-query": "uri",
        "c-uri-query": derived("uri_query"),
        "cs-uri-stem": derived("uri_path"),
        "c-uri-stem": derived("uri_path"),
        "c-uri-extension": derived("uri_extension"),
        "cs-method": "method",
        "sc-status": "status_code",
        "cs-user-agent": "user_agent",
        "c-useragent": "user_agent",
        "cs-referer": "referrer",
        "cs-referrer": "referrer",
        "cs-username": "username",
        "cs-host": "host",
        "cs-bytes": "request_body_len",
        "sc-bytes": "response_body_len",
        "c-ip": "id.orig_h",
        "src_ip": "id.orig_h",
        "dst_ip": "id.resp_h",
        "dst_port": "id.resp_p",
        "cs-mime-type": "orig_mime_types",
        "sc-mime-type": "resp_mime_types",
    }
)
ZEEK_HTTP_RULES = {**ZEEK_HTTP, **fields_of({"c-uri": "uri", "cs-uri": "uri"})}
ZEEK_DNS = fields_of(
    {
        "record_type": "qtype_name",
        "answer": "answers",
        "dns-query": "query",
        "QueryName": "query",
        "src_ip": "id.orig_h",
        "dst_ip": "id.resp_h",
        "dst_port": "id.resp_p",
    }
)
ZEEK_CONN = fields_of(
    {
        "src_ip": "id.orig_h",
        "src_port": "id.orig_p",
        "dst_ip": "id.resp_h",
        "dst_port": "id.resp_p",
        "protocol": "proto",
    }
)

ZEEK_FIELDS: dict[str, dict[str, str]] = {"http": ZEEK_HTTP_RULES, "dns": ZEEK_DNS, "conn": ZEEK_CONN}

APACHE_LIKE = ("httpd", "apache", "apache2", "nginx")

NETWORK: dict[LogSource, tuple[EventSource, ...]] = {
    (None, "webserver", None): (
        EventSource("web server log", "web_access", fields=WEB_ACCESS),
        EventSource("Zeek http", "zeek_http", fields=ZEEK_HTTP),
        EventSource("Suricata http", "suricata_event", (having("event_type", "http"),), fields=SURICATA_HTTP),
    ),
    (None, "proxy", None): (
        EventSource("web server log", "web_access", fields=WEB_PROXY),
        EventSource("Zeek http", "zeek_http", fields=ZEEK_HTTP),
        EventSource("Suricata http", "suricata_event", (having("event_type", "http"),), fields=SURICATA_HTTP),
    ),
    **{
        (product, category, service): (
            EventSource("web server log", "web_access", fields=WEB_ACCESS),
            EventSource("web server error log", "web_error"),
            EventSource("syslog of the web server", "syslog", (having("program", *APACHE_LIKE),)),
        )
        for product, category, service in (
            (None, None, "apache"),
            ("apache", None, None),
            (None, None, "nginx"),
            ("nginx", None, None),
        )
    },
    (None, "dns", None): (
        EventSource("Zeek dns", "zeek_dns", fields=ZEEK_DNS),
        EventSource("Suricata dns", "suricata_event", (having("event_type", "dns"),), fields=SURICATA_DNS),
    ),
    (None, "firewall", None): (
        EventSource(
            "Zeek conn",
            "zeek_conn",
            fields=ZEEK_CONN,
            recorded=frozenset(ZEEK_CONN),
            strict=True,
        ),
    ),
    ("suricata", None, None): (EventSource("Suricata EVE", "suricata_event"),),
}
