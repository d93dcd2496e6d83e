"""The invented lab of the demo: who works there, which machines it has, whom it talks to.

Inside addresses are RFC 1918.  Outside addresses are documentation ranges (RFC 5737, RFC 3849) and
198.18.0.0/15 (RFC 2544), which the demo's own origin file registers to invented providers.  No
organisation named here exists.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

LAB = "Larkfield Institute"
DAYS = 120
START = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)  # a Monday

OWN_INSIDE = "10.20.0.0/16"
OWN_OUTSIDE = "192.0.2.0/24"
CORE_BUCKET = "larkfield-checkpoints"


@dataclass(frozen=True)
class Machine:
    """A machine of the lab."""

    name: str
    inside: str
    outside: str | None = None


BASTION = Machine("bastion01", "10.20.0.5", "192.0.2.10")
NOTEBOOK = Machine("notebook01", "10.20.4.20", "192.0.2.20")
WEBSITE = Machine("www01", "10.20.0.8", "192.0.2.30")
STORAGE = Machine("store01", "10.20.6.11")
RESOLVER = Machine("ns01", "10.20.0.53")
DIRECTORY = Machine("dc01", "10.20.0.12")
JUMP = Machine("jump01", "10.20.3.15")
SCANNER = Machine("vulnscan01", "10.20.9.9")
MONITOR = Machine("monitor01", "10.20.9.20")
BACKUP = Machine("backup01", "10.20.9.30")

# Clocks: the jump host's was set by hand, once, and wrongly; the bastion's drifts as clocks do.
WRONG_CLOCK, WRONG_BY = JUMP, dt.timedelta(minutes=41)
DRIFTING_CLOCK, DRIFT = BASTION, dt.timedelta(seconds=7)

RESEARCHERS: tuple[str, ...] = (
    "amara", "bao", "celeste", "dmitar", "elif", "farouk", "greta", "hana", "ivo", "jonas",
    "keiko", "lucia", "mads", "noor", "oskar", "priya", "quentin", "rosa", "sami", "tova",
)  # fmt: skip
ADMINS: tuple[str, ...] = ("ada.ops", "ben.ops", "cleo.ops")
VENDOR_ACCOUNT = "halden-support"
HEALTH_CHECK, HEALTH_QUESTION = "healthd", "/latest/meta-data/instance-type"

HOMES: dict[str, str] = {user: f"203.0.113.{40 + index}" for index, user in enumerate((*RESEARCHERS, *ADMINS))}
WORKSTATIONS: dict[str, str] = {user: f"10.20.2.{20 + index}" for index, user in enumerate((*RESEARCHERS, *ADMINS))}

VENDOR_OFFICE = "198.51.100.200"
RESEARCHER_ABROAD = ("priya", "198.18.130.77")
BACKUP_PROVIDER = "198.18.200.10"

# whom workstations talk to on an ordinary day: name, address, how often
SITES: tuple[tuple[str, str, int], ...] = (
    ("mirror.packages.example", "198.18.10.10", 6),
    ("papers.example", "198.18.10.20", 14),
    ("chat.example", "198.18.10.30", 18),
    ("code.example", "198.18.10.40", 20),
    ("mail.example", "198.18.10.50", 12),
    ("cdn.example", "198.18.11.10", 16),
    ("cloud-storage.example", "198.18.12.10", 8),
    ("telemetry.example", "198.18.12.40", 6),
)

# The attacker's infrastructure.
SLOW_SCANNERS: tuple[str, ...] = ("198.51.100.17", "198.51.100.61", "198.51.100.149")
GUESSERS: tuple[str, ...] = ("198.18.44.8", "198.18.44.19", "198.18.45.77", "198.18.90.3")
EXPLOITER = "198.18.61.9"
VENDOR_INTRUDER = "198.18.91.23"
DROP_SERVER = "198.18.77.5"

# origin data the demo brings along: block, registered country, holder, category (all invented)
ORIGINS: tuple[tuple[str, str, str, str], ...] = (
    ("198.18.0.0/17", "ZZ", "Nimbus Example Cloud", "cloud"),
    ("198.18.40.0/21", "ZY", "Example Hosting Cooperative", "hosting"),
    ("198.18.90.0/23", "ZX", "Veil Example VPN", "vpn"),
    ("198.18.128.0/17", "ZW", "Example Access Networks", "access network"),
    ("198.51.100.0/25", "ZY", "Example Hosting Cooperative", "hosting"),
    ("198.51.100.128/25", "ZV", "Halden Example Services", "access network"),
    ("203.0.113.0/24", "ZV", "Example Access Networks", "access network"),
    ("192.0.2.0/24", "ZV", "Larkfield Institute", "own"),
)
