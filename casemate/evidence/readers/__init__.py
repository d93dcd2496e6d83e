"""Every reader there is: the list is the registry.

The most confident reader takes the evidence; among equals the first in this list.
"""

from __future__ import annotations

from casemate.evidence.readers.auditd import AUDITD_READER
from casemate.evidence.readers.base import ReaderSpec
from casemate.evidence.readers.cloudtrail import CLOUDTRAIL_DOCUMENTS, CLOUDTRAIL_LINES
from casemate.evidence.readers.evtx import EVTX_READER
from casemate.evidence.readers.flows.nfdump_text import NFDUMP_CSV, NFDUMP_JSON, NFDUMP_JSON_LINES
from casemate.evidence.readers.flows.readers import NETFLOW_READER, NFDUMP_READER
from casemate.evidence.readers.journald import JOURNALD_DOCUMENTS, JOURNALD_LINES
from casemate.evidence.readers.json import JSON_DOCUMENTS, JSON_LINES
from casemate.evidence.readers.kubernetes_audit import KUBERNETES_DOCUMENTS, KUBERNETES_LINES
from casemate.evidence.readers.pcap import PCAP_READER, PCAPNG_READER
from casemate.evidence.readers.s3_access import S3_ACCESS_READER
from casemate.evidence.readers.suricata import SURICATA
from casemate.evidence.readers.syslog import SYSLOG_READER
from casemate.evidence.readers.sysmon_linux import SYSMON_LINUX_READER
from casemate.evidence.readers.text import LINES_READER
from casemate.evidence.readers.web_access import WEB_ACCESS_TEXT
from casemate.evidence.readers.web_access_json import WEB_ACCESS_JSON
from casemate.evidence.readers.web_error import WEB_ERROR_TEXT
from casemate.evidence.readers.windows_json import WINDOWS_JSON, WINDOWS_JSON_DOCUMENTS
from casemate.evidence.readers.zeek import ZEEK_TSV
from casemate.evidence.readers.zeek_json import ZEEK_JSON

READERS: tuple[ReaderSpec, ...] = (
    EVTX_READER,
    PCAP_READER,
    PCAPNG_READER,
    NFDUMP_READER,
    NETFLOW_READER,
    WINDOWS_JSON,
    WINDOWS_JSON_DOCUMENTS,
    ZEEK_TSV,
    ZEEK_JSON,
    CLOUDTRAIL_LINES,
    CLOUDTRAIL_DOCUMENTS,
    KUBERNETES_LINES,
    KUBERNETES_DOCUMENTS,
    JOURNALD_LINES,
    JOURNALD_DOCUMENTS,
    S3_ACCESS_READER,
    AUDITD_READER,
    SYSLOG_READER,
    SYSMON_LINUX_READER,
    SURICATA,
    NFDUMP_CSV,
    NFDUMP_JSON_LINES,
    NFDUMP_JSON,
    JSON_LINES,
    JSON_DOCUMENTS,
    WEB_ACCESS_TEXT,
    WEB_ERROR_TEXT,
    WEB_ACCESS_JSON,
    LINES_READER,  # the fallback for unknown text, always last
)
