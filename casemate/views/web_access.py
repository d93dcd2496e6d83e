"""Web access logs as OCSF HTTP activity.

A 401 or a redirect after a login form says nothing certain about a logon: web logins are decided by
an analytic, not here.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false
# (what an Ibis column can do depends on its table, which is known at run time only)
import ibis

from casemate.schema.ocsf import HTTP_ACTIVITY
from casemate.views.base import View, conform, integer, known
from casemate.views.text_columns import address, http_activity_name, http_status


def requests(t: ibis.Table) -> ibis.Table:
    """``web_access``; the client is an address, or a name where the server looked it up."""
    client = known(t.client_ip)
    is_address = client.re_search(r"^[0-9]{1,3}(\.[0-9]{1,3}){3}") | client.contains(":")
    code = integer(t.status)
    columns = {
        "evidence": t.evidence,
        "record": t.record,
        "time": t.time,
        "activity_name": http_activity_name(known(t.method)),
        "status": http_status(code),
        "metadata_product_name": ibis.literal("web_server"),
        "metadata_log_name": ibis.literal("access"),
        "device_hostname": ibis.null("string"),
        "src_endpoint_ip": ibis.ifelse(is_address, address(t.client_ip), ibis.null("string")),
        "src_endpoint_hostname": ibis.ifelse(is_address, ibis.null("string"), client),
        "dst_endpoint_hostname": known(t.host),
        "dst_endpoint_port": integer(t.server_port),
        "http_request_http_method": known(t.method),
        "http_request_url_hostname": known(t.host),
        "http_request_url_path": known(t.path),
        "http_request_url_text": ibis.coalesce(known(t.target), known(t.request)),
        "http_request_user_agent": known(t.user_agent),
        "http_request_referrer": known(t.referer),
        "http_response_code": code,
        "traffic_bytes_in": integer(t["bytes"]),
        "actor_user_name": known(t.user),
    }
    return conform(t.select(**columns), HTTP_ACTIVITY)


VIEWS: tuple[View, ...] = (View("web_access", HTTP_ACTIVITY, requests),)
