"""The main job from end to end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from casemate import __version__
from casemate.case import CUSTODY, Case
from casemate.detect.sigma.placeholders import given_placeholders
from casemate.detect.sigma.profiles import DEFAULT
from casemate.detect.tuning.overlay import case_tunings, overlay, site_tunings
from casemate.detect.tuning.tunings import Tuning, as_plain
from casemate.engine.compaction import compact
from casemate.engine.memory import give_back_memory
from casemate.engine.protocol import Engine
from casemate.evidence.ingest import IngestReport, Progress, ingest
from casemate.explore.tables import NATIVE, stored_tables
from casemate.intel.store import Pin
from casemate.investigate.artifacts import scan_artifacts
from casemate.investigate.attempts import build_attempts
from casemate.investigate.behaviour import detect_behaviour
from casemate.investigate.contents import scan_contents
from casemate.investigate.origins import find_case_origins, keep_origin_files
from casemate.investigate.phases import Stages, digest
from casemate.investigate.rules import RulesRun, detect_by_rules
from casemate.investigate.signatures import detect_signatures
from casemate.investigate.tuning import TuningRun, tune_findings
from casemate.settings import Settings
from casemate.triage.annotations import rebuild as rebuild_annotations


@dataclass(frozen=True)
class Options:
    """How to investigate.

    Args:
        rules: folders, archives and files of Sigma rules; the installed rule sets when empty.
        pins: the installed versions these are, for the case to keep to; empty for rules given by path.
        cache: folder for compiled rules.
        workers: processes that read evidence.
        in_place: leave evidence where it is instead of keeping a copy.
        placeholders: values for the placeholders of Sigma rules; those of the case's settings when None.
        tunings: the tunings in force; when None those of the case and of `home` on the day of the run (UTC).
        home: Casemate's data folder, where tunings of the site are kept; None for none.
        profile: which of the rules, see :mod:`casemate.detect.sigma.profiles`.
        origins: origin data for this case alone; what is installed in `home` is asked as well.
        yara: folders, archives and files of YARA rules.
    """

    rules: tuple[Path, ...]
    cache: Path
    pins: tuple[Pin, ...] = ()
    workers: int = 1
    in_place: bool = False
    placeholders: Mapping[str, tuple[str, ...]] | None = None
    tunings: tuple[Tuning, ...] | None = None
    home: Path | None = None
    profile: str = DEFAULT
    origins: tuple[Path, ...] = ()
    yara: tuple[Path, ...] = ()


@dataclass(frozen=True)
class RunReport:
    """What one run did; `run` names its inputs (evidence, rules, settings), so equal runs have equal names."""

    run: str
    intake: IngestReport
    rules: RulesRun
    behaviour_findings: int
    own_networks: str
    attempts: int
    tuning: TuningRun
    compacted: tuple[str, ...] = field(default=())


def investigate(
    case: Case,
    evidence: Sequence[str | Path],
    options: Options,
    engine: Engine,
    *,
    who: str,
    clock: Callable[[], datetime],
    reading: Callable[[Progress], None] | None = None,
    stages: Stages | None = None,
) -> RunReport:
    """Take evidence into `case` and bring everything that follows from it up to date.

    Args:
        case: open for writing.
        evidence: files, folders and patterns; may be empty to only bring the case up to date.
        engine: runs kernels and analytics (and the readers, unless it works in this process).
        who: who hands the evidence over, for its registration.
        clock: the time (UTC) of registrations.
        reading: progress of the intake.
        stages: progress of what comes after.

    Raises:
        BadInput: a name stands for nothing, or a rule path is none.
        CannotFinish: disk full or the like; what was committed stays and the next run goes on.
    """
    tell = stages or (lambda _stage, _done, _total: None)
    intake = ingest(
        case.store,
        evidence,
        registered_by=who,
        clock=clock,
        limits=case.settings.limits,
        workers=options.workers,
        run=engine.run if engine.name == "spark" else None,
        in_place=options.in_place,
        progress=reading,
    )
    compacted = tuple(name for name in (*NATIVE, "evidence", "registrations", "rejects") if compact(case.store, name))
    give_back_memory()
    tell("rules", 0, 0)
    placeholders = options.placeholders
    if placeholders is None:
        placeholders = given_placeholders(case.settings.placeholders)
    tunings = in_force(case, options, clock())
    rules = detect_by_rules(case, engine, options.rules, options.cache, tell, placeholders, tunings, options.profile)
    tell("behaviour", 0, 1)
    behaviour = detect_behaviour(case, engine)
    tell("behaviour", 1, 1)
    detect_signatures(case, engine)
    contents = scan_contents(case, options.yara, tell)
    scan_artifacts(case, engine, options.workers, tell)
    tuned = tune_findings(case, engine, tunings, options.cache)
    tell("attempts", 0, 1)
    attempts = build_attempts(case, engine)
    tell("attempts", 1, 1)
    keep_origin_files(case, options.origins, clock())
    find_case_origins(case, engine, options.home, behaviour.inferred)
    rebuild_annotations(case)
    engine.use(stored_tables(case))
    run = run_id(case, rules.rule_set, placeholders, tunings, contents.rule_set)
    case.log(
        "note",
        {
            "about": "run",
            "run": run,
            "casemate": __version__,
            "rule_set": rules.rule_set,
            "rules_from": [str(path) for path in options.rules],
            "yara_from": [str(path) for path in options.yara],
            "yara_rule_set": contents.rule_set,
            "profile": options.profile,
            "pins": [asdict(pin) for pin in options.pins],
            "placeholders": {name: list(values) for name, values in sorted(placeholders.items())},
            "rules_ran": rules.ran,
            "rules_not_run": rules.not_run,
            "suppressed": rules.suppressed + tuned.suppressed,
            "tunings": [as_plain(one) for one in tunings],
            "tunings_without_effect": dict(tuned.refused),
            "own_networks": behaviour.own_networks,
            "own_inferred": list(behaviour.inferred),
            "problems": [f"{problem.where}: {problem.what}" for problem in intake.problems][:200],
        },
    )
    return RunReport(run, intake, rules, behaviour.findings, behaviour.own_networks, attempts, tuned, compacted)


def in_force(case: Case, options: Options, now: datetime) -> tuple[Tuning, ...]:
    """The tunings a run acts by: those it was given, else the case's and the site's that have not expired."""
    if options.tunings is not None:
        return options.tunings
    site = site_tunings(options.home) if options.home is not None else ()
    return overlay(case_tunings(case.path / CUSTODY), site, now.astimezone(UTC).date())


def run_id(
    case: Case,
    rule_set: str,
    placeholders: Mapping[str, tuple[str, ...]],
    tunings: Sequence[Tuning] = (),
    content_rules: str | None = None,
) -> str:
    """The name of a run: the same evidence, rules, placeholders, settings, tunings and version give the same name."""
    settings: Settings = case.settings
    tuned = [as_plain(one) for one in tunings]
    inputs = [__version__, rule_set, sorted(placeholders.items()), settings, *([tuned] if tuned else [])]
    inputs += [content_rules] if content_rules else []
    return digest([*inputs, *sorted(case.blobs)])[:16]
