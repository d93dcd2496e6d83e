"""The part of ``casemate intel`` that is about origin data."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import typer

from casemate.cli.output import console, visible, write_table
from casemate.errors import BadInput, CasemateError
from casemate.intel.origins_store import DATED_BY
from casemate.intel.origins_update import ORIGINS, OriginOutcome, check_day, origin_status, update_origins
from casemate.intel.store import DATASETS
from casemate.intel.update import Outcome
from casemate.intel.update import update as install_update

SKIPPED_SHOWN = 5


def named_origins(names: Sequence[str]) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    """The datasets, and the sources of origin data, among the names given; None is none of that sort.

    Raises:
        BadInput: a name that is neither.
    """
    if not names:
        return (), ()
    datasets = tuple(name for name in names if name in DATASETS)
    sources = tuple(name for name in names if name == ORIGINS or name.startswith(f"{ORIGINS}/"))
    for name in names:
        if name not in (*datasets, *sources):
            known = ", ".join((*DATASETS, ORIGINS))
            raise BadInput(f"unknown dataset '{name}'", hint=f"known: {known}")
    chosen = () if ORIGINS in sources else tuple(name.removeprefix(f"{ORIGINS}/") for name in sources)
    return datasets or None, chosen if sources else None


def update_both(
    datasets: tuple[str, ...] | None,
    origins: tuple[str, ...] | None,
    source: str | None,
    dated: str | None,
    *,
    now: dt.datetime,
) -> tuple[list[Outcome], list[OriginOutcome]]:
    """Install datasets and origin data from the publishers, or from one place that may hold either or both.

    Raises:
        CasemateError: nothing could be installed from that place.
    """
    check_day(dated)
    if source is None or datasets is None or origins is None or "://" in source:
        from_mirror = source is not None and "://" in source and not (datasets or origins)
        done = install_update(datasets, source=source, now=now) if datasets is not None else []
        if origins is None or (from_mirror and datasets is not None):
            return done, []
        return done, update_origins(origins, source=source, now=now, dated=dated)
    done, failure = [], None
    try:
        done = install_update(datasets, source=source, now=now)
    except CasemateError as error:
        failure = error
    if done and Path(source).is_file() and all(one.error is None for one in done):
        return done, []
    try:
        found = update_origins(origins, source=source, now=now, dated=dated)
    except CasemateError:
        if not done and failure is not None:
            raise failure from None
        return done, []
    # a file or folder of origin data is no damaged rule set
    return [one for one in done if one.error is None], found


def origin_json(outcome: OriginOutcome) -> dict[str, object]:
    """One source as ``intel update --json`` tells it."""
    found = outcome.installed
    return {
        "name": f"{ORIGINS}/{outcome.source}",
        "new": outcome.new,
        "version": found.version if found else None,
        "sha256": found.sha256 if found else None,
        "counts": dict(found.counts) if found else None,
        "error": str(outcome.error) if outcome.error else None,
        "dated": found.dated if found else None,
        "dated_by": found.dated_by if found else None,
        "skipped": list(outcome.skipped),
    }


def print_origin(outcome: OriginOutcome) -> None:
    """One source as ``intel update`` tells it."""
    found = outcome.installed
    if found is None:
        console(stderr=True).print(f"[red]{ORIGINS}/{outcome.source}[/]: {visible(outcome.error)}", soft_wrap=True)
        return
    word = "installed" if outcome.new else "already installed"
    rejected = f", {found.counts['rejected']:,} lines not read" if found.counts.get("rejected") else ""
    console().print(
        f"[green]{ORIGINS}/{outcome.source}[/]: {word}, version {visible(found.version)} "
        f"({found.counts.get('blocks', 0):,} blocks{rejected}; dated {found.dated}: {DATED_BY[found.dated_by]})",
        soft_wrap=True,
    )
    for one in outcome.skipped[:SKIPPED_SHOWN]:
        console(stderr=True).print(f"not taken {visible(one)}", soft_wrap=True)
    if len(outcome.skipped) > SKIPPED_SHOWN:
        console(stderr=True).print(f"and {len(outcome.skipped) - SKIPPED_SHOWN} more not taken")


def origin_status_json() -> list[dict[str, object]]:
    """Installed origin data, one object per source with all its versions."""
    rows = origin_status(now=dt.datetime.now(dt.UTC))
    return [
        {
            "source": name,
            "title": row.versions[-1].title,
            "kind": row.versions[-1].kind,
            "age_days": row.age_days,
            "stale": row.stale,
            "versions": [
                {
                    "version": one.version,
                    "dated": one.dated,
                    "dated_by": one.dated_by,
                    "came_from": one.came_from,
                    "fetched_at": one.fetched_at,
                    "sha256": one.sha256,
                    "counts": dict(one.counts),
                }
                for one in row.versions
            ],
        }
        for name, row in rows.items()
    ]


def print_origin_status() -> None:
    """Installed origin data for people."""
    rows = origin_status(now=dt.datetime.now(dt.UTC))
    if not rows:
        typer.echo("origins: none installed (casemate intel update origins)")
        return
    typer.echo("origin data, every version kept:")
    write_table(
        ("source", "versions", "dated", "age", "blocks", "state", "what"),
        [
            (
                name,
                len(row.versions),
                " to ".join(dict.fromkeys((row.versions[0].dated, row.versions[-1].dated))),
                f"{row.age_days} d",
                row.versions[-1].counts.get("blocks"),
                "stale" if row.stale else "ok",
                row.versions[-1].title,
            )
            for name, row in rows.items()
        ],
    )
