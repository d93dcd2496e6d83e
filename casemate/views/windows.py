"""Windows events -> OCSF; each event class in a file of its own, all of one native table, ``windows_event``."""

from __future__ import annotations

from casemate.views import windows_file, windows_logon, windows_network, windows_process
from casemate.views.base import View

VIEWS: tuple[View, ...] = (
    *windows_logon.VIEWS,
    *windows_process.VIEWS,
    *windows_network.VIEWS,
    *windows_file.VIEWS,
)
