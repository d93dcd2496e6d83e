"""Who did it, to what, how, and whether it worked, as far as one record says.

For each native table the columns that say so and a function of their values (None where absent).
Where a record holds no address, the account that acted is the source, then the host itself.
``succeeded`` is said only where the record states that what it reports took place (a logon, an
accepted call, a change that was made); that a process ran or a page was served is ``unknown``.
"""

from __future__ import annotations

from casemate.detect.sigma.endpoints.cloud import CLOUDTRAIL, KUBERNETES_AUDIT, S3_ACCESS
from casemate.detect.sigma.endpoints.linux import JOURNALD, LINUX_AUDIT, SYSLOG
from casemate.detect.sigma.endpoints.network import ANY_ZEEK, SURICATA, WEB_ACCESS, WEB_ERROR, ZEEK
from casemate.detect.sigma.endpoints.parts import Endpoints, EndpointTable
from casemate.detect.sigma.endpoints.windows import LINUX_SYSMON, WINDOWS

__all__ = ["TABLES", "EndpointTable", "Endpoints", "endpoints_of"]

TABLES: dict[str, EndpointTable] = {
    "windows_event": WINDOWS,
    "linux_sysmon": LINUX_SYSMON,
    "linux_audit": LINUX_AUDIT,
    "syslog": SYSLOG,
    "journald": JOURNALD,
    "web_access": WEB_ACCESS,
    "web_error": WEB_ERROR,
    "suricata_event": SURICATA,
    "cloudtrail": CLOUDTRAIL,
    "s3_access": S3_ACCESS,
    "kubernetes_audit": KUBERNETES_AUDIT,
    **ZEEK,
}
UNKNOWN = EndpointTable((), lambda: Endpoints(None, None, "unknown", "unknown"))


def endpoints_of(table: str) -> EndpointTable:
    """How the endpoints of a finding on records of `table` are found."""
    return TABLES.get(table) or (ANY_ZEEK if table.startswith("zeek_") else UNKNOWN)
