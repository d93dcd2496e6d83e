"""``casemate gate``: may a model or data set enter or leave?"""

from __future__ import annotations

import datetime as dt
import json
import os
import secrets
from pathlib import Path
from typing import Annotated

import typer

from casemate.cli.options import JsonOption
from casemate.cli.output import console, visible, write_json
from casemate.engine.files import disk_errors, replace_file
from casemate.errors import BadInput
from casemate.gate import approvals, audit, signing
from casemate.gate.artifact import PROVENANCE_NAMES, SIGNATURE_NAMES, papers, read_artifact, read_small
from casemate.gate.bom import bom
from casemate.gate.decide import Decision, Request
from casemate.gate.decide import decide as run_decide
from casemate.gate.edge import server
from casemate.gate.policy import read_policy
from casemate.gate.sarif import sarif

TOKEN = "CASEMATE_GATE_TOKEN"  # noqa: S105  the name of the variable
app = typer.Typer(help="Decide by a policy whether a model or data set may enter or leave.", no_args_is_help=True)

PathArgument = Annotated[Path, typer.Argument(help="The artefact: a file, or a folder as a whole.", metavar="PATH")]
PolicyOption = Annotated[Path, typer.Option("--policy", help="The policy (TOML).", metavar="FILE", show_default=False)]
DestinationOption = Annotated[
    str | None, typer.Option("--destination", help="Where it shall go, as the policy names it.", metavar="NAME")
]
SignatureOption = Annotated[
    Path | None,
    typer.Option("--signature", help="The signature, unless it is model.sig inside or PATH.sig.", metavar="FILE"),
]
AuditOption = Annotated[
    Path | None, typer.Option("--audit", help="Write decisions here instead of where the policy says.", metavar="FILE")
]


@app.command("check", epilog="Example: casemate gate check model/ --policy gate.toml --destination cluster --sarif out")
def check(
    path: PathArgument,
    policy: PolicyOption,
    destination: DestinationOption = None,
    approved_by: Annotated[
        list[str] | None, typer.Option("--approved-by", help="Who agreed; repeatable.", metavar="NAME")
    ] = None,
    approvals_file: Annotated[
        Path | None, typer.Option("--approvals", help="Approvals written by gate approve.", metavar="FILE")
    ] = None,
    signature: SignatureOption = None,
    provenance: Annotated[
        Path | None,
        typer.Option("--provenance", help="The attestation, unless it lies in its usual place.", metavar="FILE"),
    ] = None,
    audit_file: AuditOption = None,
    sarif_file: Annotated[Path | None, typer.Option("--sarif", help="Also write SARIF 2.1.0.", metavar="FILE")] = None,
    bom_file: Annotated[
        Path | None, typer.Option("--bom", help="Also write a CycloneDX bill of materials.", metavar="FILE")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Decide, and write the decision down (exit 1 when it may not pass).

    Every rule of the policy is asked: destination, content, format, verdict of the scan, size, signature, provenance
    and approvals. Nothing of the artefact is loaded or run.
    """
    rules = read_policy(policy)
    request = Request(path, destination, tuple(approved_by or ()), approvals_file, signature, provenance)
    decision = run_decide(request, rules)
    audit.write(audit_file or rules.audit, decision.as_dict())
    for target, make in ((sarif_file, _sarif), (bom_file, bom)):
        if target is not None:
            with disk_errors(target):
                replace_file(target, make(decision).encode())
    if as_json:
        write_json(decision.as_dict())
    else:
        _print(decision)
    if not decision.allowed:
        raise typer.Exit(1)


def _sarif(decision: Decision) -> str:
    return json.dumps(sarif(decision), indent=2) + "\n"


def _print(decision: Decision) -> None:
    out = console()
    word = "[green]MAY PASS[/]" if decision.allowed else "[bold red]HELD BACK[/]"
    out.print(f"{word} {visible(decision.path)} [dim]({decision.bytes:,} bytes, sha256 {decision.digest[:16]})[/]")
    for result in decision.rules:
        mark = "[green]yes[/]" if result.passed else "[bold red]no [/]"
        out.print(f"  {mark} {result.rule}: {visible(result.text)} [dim]{result.seconds * 1000:,.0f} ms[/]")


@app.command("sign", epilog="Example: casemate gate sign model/ --private-key signer.pem")
def sign(
    path: PathArgument,
    private_key: Annotated[Path, typer.Option("--private-key", help="Elliptic key, PEM.", metavar="FILE")],
    signature: SignatureOption = None,
    certificate: Annotated[
        Path | None, typer.Option("--certificate", help="Certificate of the key, PEM.", metavar="FILE")
    ] = None,
    chain: Annotated[
        list[Path] | None,
        typer.Option("--chain", help="Certificates from it to the root; repeatable.", metavar="FILE"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Sign a model with OpenSSF model-signing (needs casemate[gate])."""
    target = signature or (path / SIGNATURE_NAMES[0] if path.is_dir() else path.with_name(path.name + ".sig"))
    if not path.exists():
        raise BadInput("no such file or folder", where=str(path))
    signing.sign(path, target, private_key=private_key, certificate=certificate, chain=chain or ())
    if as_json:
        write_json({"path": str(path), "signature": str(target), "bytes": target.stat().st_size})
    else:
        console().print(f"signed: {visible(target)}")


@app.command("verify", epilog="Example: casemate gate verify model/ --public-key signer.pub")
def verify(
    path: PathArgument,
    public_key: Annotated[
        list[Path] | None, typer.Option("--public-key", help="PEM; repeatable, any one suffices.", metavar="FILE")
    ] = None,
    certificate: Annotated[
        list[Path] | None, typer.Option("--certificate", help="Authority, PEM; repeatable.", metavar="FILE")
    ] = None,
    signature: SignatureOption = None,
    as_json: JsonOption = False,
) -> None:
    """Verify a model's signature, which must cover every file (exit 1 when it does not hold)."""
    if not public_key and not certificate:
        raise BadInput("name a --public-key or a --certificate")
    found = papers(path, signature, SIGNATURE_NAMES, (".sig", ".sigstore.json"))
    why: str | None = "there is no signature"
    artifact = read_artifact(path, (found,))
    if found is not None and found.is_file():
        names = [file.name for file in artifact.files]
        why = signing.verify(path, found, names, public_keys=public_key or (), certificates=certificate or ())
    if as_json:
        write_json({"path": str(path), "verified": why is None, "why": why, "files": len(artifact.files)})
    else:
        console().print("the signature holds" if why is None else f"[bold red]not verified[/]: {visible(why)}")
    if why is not None:
        raise typer.Exit(1)


@app.command("approve", epilog="Example: casemate gate approve model/ --by ana --approvals approvals.jsonl")
def approve(
    path: PathArgument,
    by: Annotated[str, typer.Option("--by", help="Who agrees.", metavar="NAME")],
    approvals_file: Annotated[Path, typer.Option("--approvals", help="The file to add to.", metavar="FILE")],
    destination: DestinationOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write down that somebody agrees to this content, for one destination or for any."""
    without = (
        papers(path, None, SIGNATURE_NAMES, (".sig", ".sigstore.json")),
        papers(path, None, PROVENANCE_NAMES, (".intoto.jsonl", ".provenance.json")),
    )
    digest = read_artifact(path, without).digest
    time = dt.datetime.now(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    with disk_errors(approvals_file), approvals_file.open("ab") as stream:
        stream.write(approvals.line(digest, by, time, destination))
        stream.flush()
        os.fsync(stream.fileno())
    if as_json:
        write_json({"artifact": digest, "by": by, "time": time, "destination": destination})
    else:
        console().print(f"{visible(by)} agrees to {visible(path)} [dim]({digest[:16]})[/]")


@app.command("cost", epilog="Example: casemate gate cost gate-audit.jsonl")
def cost(
    audit_files: Annotated[list[Path], typer.Argument(help="Audit records.", metavar="FILE...")],
    as_json: JsonOption = False,
) -> None:
    """Tell what the protocol costs: time per artefact, share held back, by rule (exit 1 when a record was changed)."""
    records, broken = [], []
    for file in audit_files:
        found, odd = audit.read(file)
        records += found
        broken += [{"file": str(file), "line": one.line, "what": one.what} for one in odd]
    told = {**audit.cost(records), "broken": broken}
    if as_json:
        write_json(told)
    else:
        _print_cost(told)
    if broken:
        raise typer.Exit(1)


def _print_cost(told: dict) -> None:
    out = console()
    each = told["seconds_per_artifact"]
    if not told["decisions"]:
        out.print("no decisions")
    else:
        out.print(
            f"{told['decisions']:,} decisions, {told['held_back']:,} held back ({told['share_held_back']:.1%}); "
            f"seconds added per artefact: median {each['median']:.3f}, 95 % below {each['p95']:.3f}"
        )
    for rule, entry in told["rules"].items():
        out.print(
            f"  {rule}: {entry['seconds_per_artifact'] * 1000:,.1f} ms each, held back {entry['held_back']:,} "
            f"({entry['share_held_back']:.1%}), alone {entry['only']:,}"
        )
    for one in told["broken"]:
        out.print(f"[bold red]changed[/]: {visible(one['file'])} line {one['line']}: {one['what']}")


@app.command("serve", epilog="Example: casemate gate serve models/ --policy gate.toml --port 8321")
def serve(
    root: Annotated[Path, typer.Argument(help="Callers may ask about files below this folder.", metavar="FOLDER")],
    policy: PolicyOption,
    port: Annotated[int, typer.Option("--port", help="0: any free one.", min=0, max=65535)] = 8321,
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", help=f"What callers must show; else {TOKEN}, else a new one.", metavar="FILE"),
    ] = None,
    audit_file: AuditOption = None,
) -> None:
    """Answer other programs over HTTP, on this machine alone: POST /decide with a bearer token."""
    rules = read_policy(policy)
    token = os.environ.get(TOKEN, "")
    if token_file is not None:
        token = read_small(token_file, 4096).decode("utf-8", "replace").strip()
    out = console(stderr=True)
    made = not token
    token = token or secrets.token_urlsafe(32)

    def answer(request: Request) -> Decision:
        decision = run_decide(request, rules)
        audit.write(audit_file or rules.audit, decision.as_dict())
        return decision

    listening = server(root, token, port, answer)
    out.print(f"answering on http://127.0.0.1:{listening.server_address[1]}/decide; end with Ctrl-C")
    if made:
        out.print(f"token: {token}")
    try:
        listening.serve_forever()
    finally:
        listening.server_close()
