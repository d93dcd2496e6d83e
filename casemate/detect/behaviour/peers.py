"""What is known of a peer outside: the names it is asked for by, and how many own hosts speak to it.

Names come from answers of ``dns_activity`` and from the ``Host`` of ``http_activity``.  A name proves nothing: whoever
controls an address chooses it.  Well-known names therefore only lower what is said, and only where **every** name
seen for the address is well known.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
import re

import ibis
import ibis.expr.types as ir

SOFTWARE: tuple[str, ...] = (
    # operating systems and their updates, time, connectivity checks
    *("microsoft.com", "windowsupdate.com", "windows.com", "windows.net", "msftconnecttest.com", "msftncsi.com"),
    *("office.com", "office365.com", "office.net", "live.com", "msedge.net", "azure.com", "microsoftonline.com"),
    *("apple.com", "icloud.com", "mzstatic.com", "aaplimg.com", "ubuntu.com", "canonical.com", "snapcraft.io"),
    *("debian.org", "fedoraproject.org", "centos.org", "redhat.com", "archlinux.org", "alpinelinux.org", "suse.com"),
    *("opensuse.org", "rockylinux.org", "almalinux.org", "kernel.org", "ntp.org", "launchpad.net", "gnome.org"),
    # browsers, and what they ask on their own
    *("google.com", "googleapis.com", "gstatic.com", "gvt1.com", "gvt2.com", "googleusercontent.com", "mozilla.org"),
    *("mozilla.com", "mozilla.net", "firefox.com", "brave.com", "opera.com", "vivaldi.com"),
    # certificates
    *("digicert.com", "letsencrypt.org", "lencr.org", "sectigo.com", "globalsign.com", "entrust.net", "pki.goog"),
    # packages
    *("pypi.org", "pythonhosted.org", "npmjs.org", "npmjs.com", "rubygems.org", "crates.io", "golang.org"),
    *("anaconda.com", "anaconda.org", "maven.org", "docker.com", "docker.io", "gcr.io", "quay.io", "jetbrains.com"),
    # programs that sit on desks
    *("adobe.com", "adobe.io", "oracle.com", "java.com", "zoom.us", "slack.com", "slack-edge.com", "skype.com"),
    *("webex.com", "teamviewer.com", "spotify.com", "whatsapp.com", "whatsapp.net", "signal.org", "steampowered.com"),
    *("dropboxapi.com", "visualstudio.com", "sentry.io", "datadoghq.com", "newrelic.com", "nr-data.net"),
    # security products
    *("symantec.com", "mcafee.com", "trendmicro.com", "sophos.com", "kaspersky.com", "eset.com", "avast.com"),
    *("crowdstrike.com", "sentinelone.net", "clamav.net", "malwarebytes.com", "bitdefender.com", "f-secure.com"),
    # hardware
    *("nvidia.com", "intel.com", "dell.com", "lenovo.com", "hp.com", "logitech.com"),
)
"""Registrable names at which the makers of everyday software are asked for updates, time and settings.  Names that
serve anybody's content (``amazonaws.com``, ``cloudfront.net``, ``github.io``, ``dropbox.com``) are not among them."""

_HOSTED = (r"blob\.core\.windows\.net", r"azurewebsites\.(net|windows\.net)", r"cloudapp\.azure\.com",
           r"(docs|drive|script|sites|storage|groups)\.google(apis)?\.com", r"googleusercontent\.com",
           r"(table|queue|file|web)\.core\.windows\.net", r"trafficmanager\.net", r"hooks\.slack\.com")  # fmt: skip
"""Names below those of makers at which anybody can put content."""

_SECOND_LEVEL = r"(?:[^.]+\.)?(?:co|com|net|org|gov|edu|ac|or|ne|go)\.[a-z]{2}"


def well_known(name: ir.StringValue) -> ir.BooleanValue:
    """Whether a host name is one of :data:`SOFTWARE` or below it, and not a place for anybody's content."""
    ends = "|".join(re.escape(one) for one in SOFTWARE)
    low = name.lower().fill_null("")
    return low.re_search(rf"(?:^|\.)(?:{ends})\.?\z") & ~low.re_search(rf"(?:^|\.)(?:{'|'.join(_HOSTED)})\.?\z")


def zone_of(name: ir.StringValue) -> ir.StringValue:
    """The registrable part of a host name, roughly: the last two labels, three below ``co.uk`` and its like."""
    low = name.lower().re_replace(r"\.\z", "")
    return ibis.ifelse(
        low.re_search(rf"{_SECOND_LEVEL}\z"),
        low.re_extract(rf"({_SECOND_LEVEL})\z", 1),
        low.re_extract(r"([^.]+\.[^.]+)\z", 1),
    )


def names(dns: ibis.Table, http: ibis.Table) -> ibis.Table:
    """Names by address: ``target, name`` (the first by alphabet), ``names``, ``known`` (1 where all are well known),
    ``zone`` of that name.

    Of an answer the first four IPv4 addresses and the first IPv6 address are read.
    """
    asked = dns.filter(dns.query_hostname.notnull() & dns.answers.notnull())
    every = []
    for before in range(4):  # aliases come first in an answer, addresses follow each other
        pattern = '"[0-9.]+",[ ]*' * before + '"([0-9.]+)"'
        every.append(asked.select(target=asked.answers.re_extract(pattern, 1), name=asked.query_hostname.lower()))
    sixth = asked.answers.re_extract(r'"([0-9a-fA-F]*:[0-9a-fA-F:]*)"', 1).lower()
    every.append(asked.select(target=sixth, name=asked.query_hostname.lower()))
    hosts = http.filter(http.dst_endpoint_ip.notnull() & http.http_request_url_hostname.notnull())
    every.append(hosts.select(target=hosts.dst_endpoint_ip, name=hosts.http_request_url_hostname.lower()))
    first, *others = every
    for other in others:
        first = first.union(other)
    found = first.filter((first.target != "") & first.name.re_search("[a-z]")).distinct()
    found = found.mutate(known=well_known(found.name).cast("int64"))
    grouped = found.group_by("target").agg(name=found.name.min(), names=found.count(), known=found.known.min())
    return grouped.mutate(zone=zone_of(grouped.name))


def askers(dns: ibis.Table, http: ibis.Table) -> ibis.Table:
    """How many addresses asked for a zone: ``zone, asked_by``."""
    asked = dns.filter(dns.query_hostname.notnull() & dns.src_endpoint_ip.notnull())
    browsed = http.filter(http.http_request_url_hostname.notnull() & http.src_endpoint_ip.notnull())
    every = asked.select(source=asked.src_endpoint_ip, name=asked.query_hostname.lower()).union(
        browsed.select(source=browsed.src_endpoint_ip, name=browsed.http_request_url_hostname.lower())
    )
    every = every.distinct().mutate(zone=zone_of(ibis._.name)).filter(ibis._.zone != "")
    return every.group_by("zone").agg(asked_by=every.source.nunique())
