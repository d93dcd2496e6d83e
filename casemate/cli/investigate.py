"""``casemate investigate``: the main job."""

from __future__ import annotations

import dataclasses
import datetime as dt
import getpass
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from casemate.case import CUSTODY, Case
from casemate.cli.options import (
    CaseOption,
    EngineOption,
    JsonOption,
    OwnOption,
    PlaceholderOption,
    PlaceholdersOption,
    RulesOption,
    YaraOption,
)
from casemate.cli.output import console, visible, write_json, write_table
from casemate.cli.progress import counting, stages
from casemate.cli.start import seldom_collected
from casemate.detect.content.yara_rules import library
from casemate.detect.sigma.placeholders import given_placeholders
from casemate.detect.sigma.profiles import DEFAULT, check_profile
from casemate.engine.duckdb import DuckDBEngine
from casemate.engine.protocol import Engine
from casemate.errors import BadInput
from casemate.evidence.ingest import Progress
from casemate.evidence.intake import check_named
from casemate.evidence.verify import verify as verify_case
from casemate.explore.findings import FindingFilter, chosen
from casemate.explore.overview import case_summary
from casemate.explore.runs import last_run
from casemate.explore.summary import summary as as_contract
from casemate.explore.tables import stored_tables
from casemate.explore.terminal import render
from casemate.intel.store import Pin, current, home, installed_rules, own_rules, pins, resolve
from casemate.investigate.rerun import placeholders_of_run, profile_of_run
from casemate.investigate.rule_times import RuleTimes, rule_times
from casemate.investigate.run import Options, RunReport
from casemate.investigate.run import investigate as run_investigation
from casemate.schema.findings import SEVERITIES
from casemate.settings import Settings, parse_settings

EXAMPLES = "Example: casemate investigate /evidence 'logs/*.evtx' triage.zip --case CASE --own 10.0.0.0/8"
ENGINES = ("duckdb", "spark")
PROBLEMS_SHOWN = 10
TIMES_SHOWN = 15


def investigate(
    evidence: Annotated[
        list[str],
        typer.Argument(help="Files, folders, archives or patterns.", metavar="EVIDENCE...", show_default=False),
    ],
    case: CaseOption,
    own: OwnOption = None,
    rules: RulesOption = None,
    profile: Annotated[
        str | None,
        typer.Option(
            "--profile",
            help="Which of the rules: core, extended, hunting or all; the case's own when none is given, at first all.",
            metavar="NAME",
        ),
    ] = None,
    yara: YaraOption = None,
    placeholder: PlaceholderOption = None,
    placeholders: PlaceholdersOption = None,
    repin: Annotated[
        bool, typer.Option("--repin", help="Use the rules installed now, not those the case is pinned to.")
    ] = False,
    by_reference: Annotated[
        bool, typer.Option("--by-reference", help="Leave evidence where it is instead of keeping a copy.")
    ] = False,
    engine: EngineOption = "duckdb",
    origins: Annotated[
        list[Path] | None,
        typer.Option(
            "--origins",
            help="Origin data for this case alone, beside what is installed: file, folder or archive; repeatable.",
            metavar="PATH",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", help="Processes that read evidence.", min=1)] = 1,
    profile_rules: Annotated[
        bool, typer.Option("--profile-rules", help="Say at the end which fields and rules matching spends its time on.")
    ] = False,
    fail_on: Annotated[
        str | None, typer.Option("--fail-on", help="Exit 1 if there is a finding of at least this severity.")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Verify custody at the end, and say the result.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Take in evidence, find what was attempted, and print a summary; run it again to go on or to add more.

    Makes the case if there is none. Evidence already in is skipped; a log that grew is continued.
    """
    if fail_on is not None and fail_on not in SEVERITIES:
        raise BadInput(f"no severity '{fail_on}'", where="--fail-on", hint="one of " + ", ".join(SEVERITIES))
    _check_asked(evidence, (*(rules or ()), *(origins or ()), *(yara or ())), engine)
    if yara:
        library()
    with open_or_create(case, own) as opened:
        worker = make_engine(engine, workers)
        try:
            report = investigate_case(
                opened,
                evidence,
                worker,
                rules=rules,
                profile=profile,
                placeholders=given_placeholders(opened.settings.placeholders, placeholders or (), placeholder or ()),
                repin=repin,
                workers=workers,
                in_place=by_reference,
                origins=origins or (),
                yara=yara,
                quiet=quiet,
            )
            times = _times(opened, worker) if profile_rules else None
        finally:
            worker.close()
        verified = verify_case(case).holds if verify else None
        given = case_summary(opened, shown=str(case), verified=verified, at_a_glance=not as_json)
        reached = fail_on is not None and _any_finding(opened, fail_on)
    if as_json:
        write_json(as_contract(given) | ({"rule_times": times.document()} if times is not None else {}))
    else:
        out = console()
        typer.echo(render(given, colour=out.is_terminal))
        print_problems(report)
        if times is not None:
            print_times(times)
    if reached or verified is False:
        raise typer.Exit(1)


def _check_asked(evidence: Iterable[str], rules: Iterable[Path], engine: str) -> None:
    """Raises BadInput before a case is made for what cannot be done."""
    check_named(evidence)
    for path in rules:
        if not path.exists():
            raise BadInput("no such file or folder", where=str(path))
    if engine not in ENGINES:
        raise BadInput(f"no engine '{engine}'", where="--engine", hint=" or ".join(ENGINES))


def open_or_create(path: Path, own: Iterable[str] | None, settings: Settings | None = None) -> Case:
    """The case at `path` open for writing; made first if there is none.

    Raises:
        BadInput: `own` names no networks, or other ones than the case has.
    """
    networks = tuple(own or ())
    if (path / CUSTODY).exists():
        case = Case.open(path, write=True)
        if networks and set(networks) != set(case.settings.own):
            case.close()
            raise BadInput(
                "the case has other own networks", where="--own", hint=f"change 'own' in {path / 'case.toml'}"
            )
        return case
    made = settings or Settings(name=path.absolute().name or "case")
    if networks:
        try:
            parse_settings({"own": list(networks)})  # says what is wrong with them
        except BadInput as wrong:
            raise BadInput(wrong.what.removeprefix("'own' "), where="--own", hint=wrong.hint) from None
        made = dataclasses.replace(made, own=networks)
    return Case.create(path, made)


def make_engine(name: str, workers: int) -> Engine:
    """The engine of that name.

    Raises:
        BadInput: there is none.
        MissingExtra: it is not installed.
    """
    if name == "duckdb":
        return DuckDBEngine(workers=workers)
    if name == "spark":
        from casemate.engine.spark import SparkEngine

        return SparkEngine()
    raise BadInput(f"no engine '{name}'", where="--engine", hint=" or ".join(ENGINES))


def investigate_case(
    case: Case,
    evidence: Iterable[str],
    engine: Engine,
    *,
    rules: Iterable[Path] | None = None,
    profile: str | None = None,
    placeholders: Mapping[str, tuple[str, ...]] | None = None,
    repin: bool = False,
    workers: int = 1,
    in_place: bool = False,
    origins: Iterable[Path] = (),
    yara: Iterable[Path] | None = None,
    quiet: bool = False,
) -> RunReport:
    """Run the investigation with progress on standard error."""
    paths, pinned = rules_for(case, rules, repin=repin)
    options = Options(
        rules=paths,
        pins=pinned,
        cache=home() / "compiled",
        workers=workers,
        in_place=in_place,
        placeholders=placeholders,
        home=home(),
        profile=profile_for(case, rules, profile),
        origins=tuple(origins),
        yara=content_rules_for(case, yara, repin=repin),
    )
    with seldom_collected(), counting("reading", quiet=quiet) as reading, stages(quiet=quiet) as tell:

        def read(progress: Progress) -> None:
            reading(progress.bytes_done, progress.bytes_total, progress.current)

        return run_investigation(
            case,
            list(evidence),
            options,
            engine,
            who=_who(),
            clock=lambda: dt.datetime.now(dt.UTC),
            reading=read,
            stages=tell,
        )


def rules_for(
    case: Case, rules: Iterable[Path] | None, *, repin: bool = False
) -> tuple[tuple[Path, ...], tuple[Pin, ...]]:
    """Which rules this run uses: those given, else those the case is pinned to, else the installed ones.

    Raises:
        CasemateError: a pinned version is not installed (any more).
    """
    if rules:
        return tuple(rules), ()
    kept = tuple(Pin(**pin) for pin in (last_run(case) or {}).get("pins", ()))
    sigma = [pin for pin in kept if pin.name == "sigma"]
    if repin or not kept:
        return installed_rules(), pins()
    return (own_rules(), *(resolve(pin).path for pin in sigma)), kept


def content_rules_for(case: Case, given: Iterable[Path] | None, *, repin: bool = False) -> tuple[Path, ...]:
    """Which YARA rules this run uses: those given, else those the case is pinned to, else the installed ones.

    Raises:
        CasemateError: a pinned version is not installed (any more).
    """
    if given:
        return tuple(given)
    kept = tuple(Pin(**pin) for pin in (last_run(case) or {}).get("pins", ()))
    if repin or not kept:
        installed = current("yara")
        return (installed.path,) if installed is not None else ()
    return tuple(resolve(pin).path for pin in kept if pin.name == "yara")


def profile_for(case: Case, rules: Iterable[Path] | None, profile: str | None) -> str:
    """Which profile this run uses: the one given; all of the rules given; else that of the case's last run.

    Raises:
        BadInput: there is no such profile.
    """
    if profile is not None:
        return check_profile(profile)
    return DEFAULT if rules else str((last_run(case) or {}).get("profile", DEFAULT))


def _times(case: Case, engine: Engine) -> RuleTimes:
    """Where matching spends its time, with the rules of the run that has just ended."""
    facts = last_run(case) or {}
    paths = tuple(Path(path) for path in facts.get("rules_from", ()))
    return rule_times(case, engine, paths, home() / "compiled", placeholders_of_run(facts), profile_of_run(facts))


def print_times(times: RuleTimes) -> None:
    """The costliest fields and rules."""
    told = times.document(TIMES_SHOWN)
    typer.echo(
        f"matching {told['seconds']:.2f} s: fields {told['fields_seconds']:.2f}, keywords "
        f"{told['keywords_seconds']:.2f}, rules {told['rules_seconds']:.2f}, rest {told['rest_seconds']:.2f}"
    )
    typer.echo(f"({told['statement']})")
    write_table(
        ("seconds", "table", "field", "values", "patterns", "rules"),
        [
            (f"{one['seconds']:.3f}", one["table"], one["field"], one["values"], one["patterns"], one["rules"])
            for one in told["fields"]
        ],
    )
    write_table(
        ("seconds", "rule", "title", "evaluated", "matches"),
        [
            (f"{one['seconds']:.3f}", one["rule_id"], one["title"], one["batches"], one["matches"])
            for one in told["rules"]
        ],
    )


def print_problems(report: RunReport) -> None:
    """What was not taken or not read to its end, on standard error."""
    err = console(stderr=True)
    for problem in report.intake.problems[:PROBLEMS_SHOWN]:
        err.print(f"[yellow]not read[/] {visible(problem.where)}: {visible(problem.what)}", soft_wrap=True)
    more = len(report.intake.problems) - PROBLEMS_SHOWN
    if more > 0:
        err.print(f"[yellow]and {more} more[/]; all of them: the last 'run' note of custody.jsonl")


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _any_finding(case: Case, severity: str) -> bool:
    engine = DuckDBEngine()
    engine.use(stored_tables(case))
    found = engine.collect(chosen(engine, FindingFilter(severity=severity)).limit(1).select("id"))
    return found.num_rows > 0
