"""``casemate demo``: a self-made incident, investigated and held against its truth."""

from __future__ import annotations

import datetime as dt
import shlex
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from casemate.case import CUSTODY
from casemate.cli.investigate import investigate_case, make_engine, open_or_create, print_problems
from casemate.cli.options import EngineOption, JsonOption, RulesOption
from casemate.cli.output import console, visible, write_json
from casemate.cli.progress import stages
from casemate.demo.generate import SETTINGS, generate
from casemate.demo.score import Noise, Score, StepScore, score
from casemate.engine.duckdb import DuckDBEngine
from casemate.errors import BadInput
from casemate.explore.coverage import case_coverage
from casemate.explore.findings import attributed
from casemate.explore.overview import case_summary, coverage_document
from casemate.explore.summary import summary as as_contract
from casemate.explore.tables import stored_tables
from casemate.explore.terminal import render
from casemate.intel.store import own_rules

EXAMPLES = "Example: casemate demo --folder /tmp/larkfield --seed 7 --size 3"
VERDICT_STYLE = {"found": "green", "missed": "red", "not yet covered": "yellow"}


def demo(
    folder: Annotated[
        Path | None, typer.Option("--folder", help="New folder for evidence, truth and case.", metavar="DIR")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Another seed is another incident.")] = 1,
    size: Annotated[float, typer.Option("--size", help="Ordinary activity, 1 to 100 times.", min=0.1, max=100)] = 1.0,
    rules: RulesOption = None,
    engine: EngineOption = "duckdb",
    workers: Annotated[int, typer.Option("--workers", help="Processes that read evidence.", min=1)] = 1,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a self-made incident (an invented lab, 120 days), investigate it, score it against its truth."""
    place = folder or Path(tempfile.mkdtemp(prefix="casemate-demo-"))
    case_folder = place / "case"
    if (case_folder / CUSTODY).exists() or (place / "evidence").exists():
        raise BadInput("there is a demo already", where=str(place), hint="give a new folder")
    with stages(quiet=quiet) as tell:
        made = generate(
            place, seed=seed, size=size, progress=lambda done, days: tell("writing the incident", done, days)
        )
    with open_or_create(case_folder, None, SETTINGS) as case:
        worker = make_engine(engine, workers)
        try:
            report = investigate_case(
                case,
                [str(made.evidence)],
                worker,
                rules=rules or [own_rules()],
                workers=workers,
                origins=[made.origins],
                quiet=quiet,
            )
        finally:
            worker.close()
        given = case_summary(case, shown=str(case_folder))
        reader = DuckDBEngine()
        reader.use(stored_tables(case))
        contract = as_contract(given)
        seen = coverage_document(case, case_coverage(case, now=dt.datetime.now(dt.UTC)))
        result = score(made.truth, attributed(reader), seen)
    if as_json:
        write_json({"folder": str(place), "records": made.records, "score": result.as_json(), "summary": contract})
        return
    out = console()
    typer.echo(render(given, colour=out.is_terminal))
    print_problems(report)
    _print_score(result, str(case_folder))
    out.print(f"\nevidence, truth.json and the case lie in {visible(place)}", soft_wrap=True)


def _print_score(result: Score, case: str) -> None:
    out = console()
    out.print("\n[bold]Held against the truth of the demo[/]")
    for step in result.steps:
        style = VERDICT_STYLE[step.verdict]
        out.print(
            f"  [{style}]{step.verdict:<15}[/] {visible(step.title)} ({step.found}/{step.records} records)",
            soft_wrap=True,
        )
    for hole in result.holes:
        style, words = ("green", "found") if hole.found else ("red", "missed")
        said = f" ({hole.said})" if hole.said else ""
        out.print(f"  [{style}]{words:<15}[/] {visible(hole.title)}{visible(said)}", soft_wrap=True)
    accused = [decoy for decoy in result.decoys if decoy.found]
    out.print(f"  called wrongly: {len(accused)} of {len(result.decoys)} benign twins{_named(accused)}", soft_wrap=True)
    ordinary = sum(result.ordinary.values())
    out.print(f"  called wrongly: {ordinary:,} of {result.benign_records:,} other benign records", soft_wrap=True)
    if result.clocks_accused:
        out.print(f"  called wrongly: the clocks of {visible('; '.join(result.clocks_accused))}", soft_wrap=True)
    if result.noise is not None and result.noise.found:
        _print_noise(result.noise, case)


def _print_noise(noise: Noise, case: str) -> None:
    """What a rule calls an attack that is none, and how to have it quiet."""
    out = console()
    out.print(f"  [yellow]{'noisy':<15}[/] {visible(noise.title)}: {noise.found:,} findings", soft_wrap=True)
    words = ["--rule", noise.by[0], "--where", noise.where, "--reason", noise.reason]
    for verb, more in (("test", words[:4]), ("add", [*words, "--until", "never"])):
        given = shlex.join(["casemate", "tune", verb, "--case", case, *more])
        out.print(f"    {visible(given)}", soft_wrap=True, highlight=False)


def _named(steps: list[StepScore]) -> str:
    return "".join(f"\n    {visible(step.title)}: {visible(', '.join(step.by))}" for step in steps)
