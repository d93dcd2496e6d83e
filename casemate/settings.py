"""Settings of a case: what ``case.toml`` may say, read, checked and written.

Everything has a default; an unknown name is an error, because a misspelt setting that is silently
ignored changes what a case says.
"""

from __future__ import annotations

import ipaddress
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from casemate.engine.files import read_regular
from casemate.errors import BadInput
from casemate.limits import Limits

PRIVATE_NETWORKS = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
TLP = ("red", "amber+strict", "amber", "green", "clear")  # https://www.first.org/tlp/ version 2.0
ASSET_KINDS = ("host", "share", "bucket", "repository", "model", "dataset", "account", "service", "other")
FILE_BYTES = 4 * 1024 * 1024
PLACEHOLDER_VALUES = 10_000
"""Most values of one placeholder."""


@dataclass(frozen=True)
class Asset:
    """A core asset: its name, kind, and the texts by which records name it (hosts, paths, addresses)."""

    name: str
    kind: str = "other"
    match: tuple[str, ...] = ()


@dataclass(frozen=True)
class Vendor:
    """A vendor with access: its name and the accounts, domains or networks by which records name it."""

    name: str
    match: tuple[str, ...] = ()


@dataclass(frozen=True)
class Placeholder:
    """What stands for ``%name%`` in Sigma rules (modifier ``expand``): any of the values, wildcards allowed."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Settings:
    """Settings of one case.

    Args:
        name: what people call the case.
        tlp: default marking of what leaves the case (TLP 2.0).
        own: own address space, as CIDR networks.
        zone: time zone of times that carry none (IANA name).
        gap_minutes: longest pause inside one attempt.
        core: core assets.
        vendors: vendors with access.
        placeholders: values for the placeholders of Sigma rules, by name.
        timestamp_url: timestamp authority (RFC 3161) that ``custody seal`` asks; None asks none.
        limits: limits on hostile input.
    """

    name: str = "case"
    tlp: str = "amber"
    own: tuple[str, ...] = PRIVATE_NETWORKS
    zone: str = "UTC"
    gap_minutes: int = 30
    core: tuple[Asset, ...] = ()
    vendors: tuple[Vendor, ...] = ()
    placeholders: tuple[Placeholder, ...] = ()
    timestamp_url: str | None = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not self.name.strip() or len(self.name) > 200 or not self.name.isprintable():
            raise _bad("name", "must be one line of text")
        if self.tlp not in TLP:
            raise _bad("tlp", f"must be one of {', '.join(TLP)}")
        for network in self.own:
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise _bad("own", f"{error} (a network such as 10.0.0.0/8)") from None
        if not 1 <= self.gap_minutes <= 7 * 24 * 60:
            raise _bad("attempts.gap_minutes", "must be from 1 to 10080")
        try:
            ZoneInfo(self.zone) if self.zone != "UTC" else UTC.utcoffset(datetime.min)
        except (KeyError, ValueError, OSError):
            raise _bad("clock.zone", f"'{self.zone}' is not a time zone, for example Europe/Berlin") from None
        if self.timestamp_url is not None and not self.timestamp_url.startswith(("https://", "http://")):
            raise _bad("seal.timestamp_url", "must be an http or https URL")
        for asset in self.core:
            if asset.kind not in ASSET_KINDS:
                raise _bad("core", f"kind of '{asset.name}' must be one of {', '.join(ASSET_KINDS)}")


def _bad(name: str, what: str) -> BadInput:
    return BadInput(f"'{name}' {what}", where="case.toml")


def read_settings(path: Path) -> Settings:
    """Settings from ``case.toml``.

    Raises:
        BadInput: not TOML, an unknown name, or a value that cannot be.
        CaseDamaged: not a regular file.
    """
    try:
        text = read_regular(path, FILE_BYTES).decode("utf-8")
        values = tomllib.loads(text)
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", where=str(path)) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadInput(f"is not TOML: {error}", where=str(path)) from None
    return parse_settings(values)


def parse_settings(values: Mapping[str, Any]) -> Settings:
    """Settings from the values of ``case.toml``.  Raises BadInput."""
    _only(
        values, {"name", "tlp", "own", "clock", "attempts", "core", "assets", "vendors", "sigma", "seal", "limits"}, ""
    )
    tables = ("clock", "attempts", "sigma", "seal", "limits")
    clock, attempts, sigma, seal, limits = (_table(values, name) for name in tables)
    _only(clock, {"zone"}, "clock.")
    _only(attempts, {"gap_minutes"}, "attempts.")
    _only(sigma, {"placeholders"}, "sigma.")
    _only(seal, {"timestamp_url"}, "seal.")
    assets = _table(values, "assets")
    _only(assets, {"core"}, "assets.")
    default = Settings()
    gap = attempts.get("gap_minutes", default.gap_minutes)
    if type(gap) is not int:
        raise _bad("attempts.gap_minutes", "must be a whole number of minutes")
    return Settings(
        name=_text(values.get("name", default.name), "name"),
        tlp=_text(values.get("tlp", default.tlp), "tlp"),
        own=_texts(values.get("own", default.own), "own"),
        zone=_text(clock.get("zone", default.zone), "clock.zone"),
        gap_minutes=gap,
        core=(
            *(
                Asset(
                    _text(entry.get("name"), "core.name"),
                    _text(entry.get("kind", "other"), "core.kind"),
                    _texts(entry.get("match", ()), "core.match"),
                )
                for entry in _entries(values, "core", {"name", "kind", "match"})
            ),
            # the short form: names by which records name them
            *(Asset(name, match=(name,)) for name in _texts(assets.get("core", ()), "assets.core")),
        ),
        vendors=tuple(
            Vendor(_text(entry.get("name"), "vendors.name"), _texts(entry.get("match", ()), "vendors.match"))
            for entry in _entries(values, "vendors", {"name", "match"})
        ),
        placeholders=parse_placeholders(sigma.get("placeholders", {}), "case.toml"),
        timestamp_url=_text(seal["timestamp_url"], "seal.timestamp_url") if "timestamp_url" in seal else None,
        limits=Limits.from_settings(dict(limits)),
    )


def parse_placeholders(values: object, where: str) -> tuple[Placeholder, ...]:
    """Placeholders from a table of names and values (a text or number, or a list of them), sorted by name.

    Raises:
        BadInput: a name or value that cannot be.
    """
    if not isinstance(values, dict):
        raise BadInput("placeholders must be a table of names and values", where=where)
    found = []
    for name, given in values.items():
        if not isinstance(name, str) or not name or "%" in name or not name.isprintable():
            raise BadInput(f"'{name}' cannot be the name of a placeholder", where=where)
        entries = given if isinstance(given, list) else [given]
        if not entries or len(entries) > PLACEHOLDER_VALUES:
            raise BadInput(f"placeholder '{name}' must have from 1 to {PLACEHOLDER_VALUES} values", where=where)
        if not all(type(entry) in (str, int, float) for entry in entries):
            raise BadInput(f"placeholder '{name}' must be a text or number, or a list of them", where=where)
        found.append(Placeholder(name, tuple(dict.fromkeys(str(entry) for entry in entries))))
    return tuple(sorted(found, key=lambda placeholder: placeholder.name))


def _only(values: Mapping[str, Any], known: set[str], prefix: str) -> None:
    for name in values:
        if name not in known:
            raise BadInput(
                f"unknown setting '{prefix}{name}'", where="case.toml", hint=f"known are {', '.join(sorted(known))}"
            )


def _table(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = values.get(name, {})
    if not isinstance(value, dict):
        raise _bad(name, f"must be a table [{name}]")
    return value


def _entries(values: Mapping[str, Any], name: str, known: set[str]) -> list[Mapping[str, Any]]:
    entries = values.get(name, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise _bad(name, f"must be tables [[{name}]]")
    for entry in entries:
        _only(entry, known, f"{name}.")
    return entries


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise _bad(name, "must be text")
    return value


def _texts(value: Any, name: str) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) and item for item in value):
        raise _bad(name, "must be a list of texts")
    return tuple(value)


def format_settings(settings: Settings) -> str:
    """``case.toml`` with comments; :func:`parse_settings` of it gives the same settings."""
    lines = [
        "# Settings of this case.  Read at the start of each run; change them with any editor.",
        f"name = {_toml(settings.name)}",
        f"tlp = {_toml(settings.tlp)}  # default marking of what leaves the case: {', '.join(TLP)}",
        f"own = {_toml(list(settings.own))}  # own address space",
        "",
        "[clock]",
        f"zone = {_toml(settings.zone)}  # of times that carry no zone",
        "",
        "[attempts]",
        f"gap_minutes = {settings.gap_minutes}  # a longer pause begins a new attempt",
        "",
        "# [limits]  # on hostile input, for example:",
        "# line_bytes = 16777216",
    ]
    changed = [
        (item.name, getattr(settings.limits, item.name))
        for item in fields(Limits)
        if getattr(settings.limits, item.name) != item.default
    ]
    if changed:
        lines[-2:] = ["[limits]", *(f"{name} = {value}" for name, value in changed)]
    lines += [
        "",
        "# Core assets: what must not be reached.  One block for each; kind is one of",
        f"# {', '.join(ASSET_KINDS)}.",
        "# [[core]]",
        '# name = "checkpoints"',
        '# kind = "bucket"',
        '# match = ["s3://lab-checkpoints", "checkpoints.lab.internal"]',
        "# A finding that names one is raised by one step of severity. The short form, where names are enough:",
        "# [assets]",
        '# core = ["dc01.lab.internal", "10.0.0.5"]',
    ]
    for asset in settings.core:
        lines += ["[[core]]", f"name = {_toml(asset.name)}", f"kind = {_toml(asset.kind)}"]
        lines += [f"match = {_toml(list(asset.match))}"]
    lines += [
        "",
        "# Values for the placeholders of Sigma rules (modifier expand); wildcards and escapes as in a rule.",
        "# [sigma.placeholders]",
        '# administrators = ["adm-*", "svc-backup"]',
    ]
    if settings.placeholders:
        lines += ["[sigma.placeholders]"]
        lines += [f"{_toml(one.name)} = {_toml(list(one.values))}" for one in settings.placeholders]
    lines += [
        "",
        "# A timestamp authority (RFC 3161) that custody seal asks; it receives a hash and nothing else.",
        "# [seal]",
        '# timestamp_url = "https://timestamp.example/tsr"',
    ]
    if settings.timestamp_url is not None:
        lines += ["[seal]", f"timestamp_url = {_toml(settings.timestamp_url)}"]
    lines += ["", "# Vendors with access.", "# [[vendors]]", '# name = "Support Ltd"', '# match = ["vendor-support"]']
    for vendor in settings.vendors:
        lines += ["[[vendors]]", f"name = {_toml(vendor.name)}", f"match = {_toml(list(vendor.match))}"]
    return "\n".join(lines) + "\n"


def _toml(value: str | list[str]) -> str:
    """A basic string or an array of them; JSON's escapes are TOML's, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
