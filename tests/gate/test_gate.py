"""The gate: each rule holds back what it should and nothing else; signatures are made and verified by the library."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from casemate.cli import main
from casemate.cli.schemas import published
from casemate.errors import BadInput
from casemate.gate import Request, decide, read_policy
from casemate.gate.audit import cost, read, write
from casemate.gate.edge import server

BAD = b"\x80\x02cos\nsystem\nX\x0b\x00\x00\x00echo canary\x85R."


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "x"}')
    header = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    return folder


@pytest.fixture
def key(tmp_path: Path) -> Path:
    made = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "signer.pem").write_bytes(
        made.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (tmp_path / "signer.pub").write_bytes(
        made.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return tmp_path / "signer.pem"


def command(*arguments: str) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert isinstance(stop.value.code, int)
    return stop.value.code


def policy(folder: Path, text: str = "") -> Path:
    path = folder / "gate.toml"
    path.write_text(text)
    return path


def refused(model: Path, text: str, **more: Any) -> tuple[str, ...]:
    return decide(Request(model, **more), read_policy(policy(model.parent, text))).refused_by


def test_a_safe_model_may_pass_and_every_rule_is_told(model: Path) -> None:
    decision = decide(Request(model), read_policy(policy(model.parent)))
    assert decision.allowed
    assert [result.rule for result in decision.rules] == [
        "destination", "content", "format", "verdict", "size", "signature", "provenance", "approvals",
    ]  # fmt: skip
    assert all(result.seconds >= 0 for result in decision.rules)


def test_a_malicious_file_is_held_back(model: Path) -> None:
    (model / "weights.pkl").write_bytes(BAD)
    assert refused(model, "") == ("verdict",)


def test_a_format_that_is_not_allowed_is_held_back(model: Path) -> None:
    (model / "weights.pkl").write_bytes(b"\x80\x02}.")
    assert refused(model, '[artifact]\nformats = ["safetensors", "json"]\n') == ("format",)
    assert refused(model, '[artifact]\nformats = ["safetensors", "json", "pickle"]\n') == ()


def test_what_is_too_large_is_held_back(model: Path) -> None:
    assert refused(model, "[artifact]\nmax_file_bytes = 10\n") == ("size",)
    assert refused(model, "[artifact]\nmax_total_bytes = 10\n") == ("size",)


def test_a_link_is_held_back(model: Path) -> None:
    (model / "link.txt").symlink_to("/etc/hostname")
    assert "content" in refused(model, "")


def test_destinations_override_and_others_are_refused(model: Path) -> None:
    text = '[destinations.cluster]\napprovals = 1\n[destinations.lab]\nformats = ["safetensors"]\n'
    assert refused(model, text) == ("destination",)
    assert refused(model, text, destination="elsewhere") == ("destination",)
    assert refused(model, text, destination="cluster") == ("approvals",)
    assert refused(model, text, destination="cluster", approved_by=("ana",)) == ()
    assert refused(model, text, destination="lab") == ("format",)


def test_one_person_counts_once_and_only_approvers_count(model: Path) -> None:
    text = '[approvals]\nrequired = 2\napprovers = ["ana", "ben"]\n'
    assert refused(model, text, approved_by=("ana", "ana", "eve")) == ("approvals",)
    assert refused(model, text, approved_by=("ana", "ben")) == ()


def test_an_approval_is_for_one_content(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = model.parent / "approvals.jsonl"
    assert command("gate", "approve", str(model), "--by", "ana", "--approvals", str(file), "--json") == 0
    jsonschema.validate(json.loads(capsys.readouterr().out), published("gate_approve"))
    text = "[approvals]\nrequired = 1\n"
    assert refused(model, text, approvals=file) == ()
    (model / "config.json").write_text('{"model_type": "y"}')
    assert refused(model, text, approvals=file) == ("approvals",)


def test_signed_by_the_key_of_the_policy(model: Path, key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("model_signing")
    text = '[signature]\nrequired = true\npublic_keys = ["signer.pub"]\n'
    assert refused(model, text) == ("signature",)
    assert command("gate", "sign", str(model), "--private-key", str(key), "--json") == 0
    jsonschema.validate(json.loads(capsys.readouterr().out), published("gate_sign"))
    assert refused(model, text) == ()
    assert command("gate", "verify", str(model), "--public-key", str(key.with_suffix(".pub")), "--json") == 0
    assert json.loads(capsys.readouterr().out)["verified"]
    (model / "config.json").write_text('{"model_type": "y"}')
    assert refused(model, text) == ("signature",)
    assert command("gate", "verify", str(model), "--public-key", str(key.with_suffix(".pub")), "--json") == 1
    told = json.loads(capsys.readouterr().out)
    jsonschema.validate(told, published("gate_verify"))
    assert "config.json" in told["why"]


def test_a_file_that_the_signature_leaves_out_is_held_back(model: Path, key: Path) -> None:
    library = pytest.importorskip("model_signing")
    hashing = library.hashing.Config().set_ignored_paths(paths=["model.sig", "config.json"], ignore_git_paths=True)
    signing = library.signing.Config().set_hashing_config(hashing).use_elliptic_key_signer(private_key=key)
    signing.sign(model, model / "model.sig")
    text = '[signature]\nrequired = true\npublic_keys = ["signer.pub"]\n'
    decision = decide(Request(model), read_policy(policy(model.parent, text)))
    assert decision.refused_by == ("signature",)


def test_another_key_does_not_verify(model: Path, key: Path, tmp_path: Path) -> None:
    pytest.importorskip("model_signing")
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    (tmp_path / "other.pub").write_bytes(
        other.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    assert command("gate", "sign", str(model / "config.json"), "--private-key", str(key)) == 0
    assert command("gate", "verify", str(model / "config.json"), "--public-key", str(tmp_path / "other.pub")) == 1
    assert command("gate", "verify", str(model / "config.json"), "--public-key", str(key.with_suffix(".pub"))) == 0


def test_signed_by_a_certificate(model: Path, key: Path, tmp_path: Path) -> None:
    pytest.importorskip("model_signing")
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    root_key = ec.generate_private_key(ec.SECP256R1())
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    root = certificate("root", root_key, root_key, "root", authority=True)
    leaf = certificate("signer", private, root_key, "root", authority=False)
    for name, made in (("root.pem", root), ("leaf.pem", leaf)):
        (tmp_path / name).write_bytes(made.public_bytes(serialization.Encoding.PEM))
    signing = [
        "--private-key",
        str(key),
        "--certificate",
        str(tmp_path / "leaf.pem"),
        "--chain",
        str(tmp_path / "root.pem"),
    ]
    assert command("gate", "sign", str(model), *signing) == 0
    assert command("gate", "verify", str(model), "--certificate", str(tmp_path / "root.pem")) == 0
    assert refused(model, '[signature]\nrequired = true\ncertificates = ["root.pem"]\n') == ()


def certificate(
    name: str, key: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey, issuer: str, *, authority: bool
) -> x509.Certificate:
    def called(word: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, word)])

    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(called(name))
        .issuer_name(called(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True, key_cert_sign=authority, crl_sign=authority, content_commitment=False,
                key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )  # fmt: skip
    if not authority:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
    return builder.sign(by, hashes.SHA256())


def statement(model: Path, builder: str = "https://ci.example/b") -> dict[str, Any]:
    subjects = [
        {"name": file.name, "digest": {"sha256": hashlib.sha256(file.read_bytes()).hexdigest()}}
        for file in sorted(model.iterdir())
    ]
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {"runDetails": {"builder": {"id": builder}}},
    }


def test_provenance_must_name_every_file_and_a_known_builder(model: Path) -> None:
    text = '[provenance]\nrequired = true\nbuilders = ["https://ci.example/b"]\n'
    assert refused(model, text) == ("provenance",)
    good, file = statement(model), model.parent / "p.json"
    file.write_text(json.dumps(good))
    assert refused(model, text, provenance=file) == ()
    file.write_text(json.dumps(statement(model, "https://elsewhere.example")))
    assert refused(model, text, provenance=file) == ("provenance",)
    file.write_text(json.dumps({**good, "subject": good["subject"][:1]}))
    assert refused(model, text, provenance=file) == ("provenance",)
    file.write_text("[]")
    assert refused(model, text, provenance=file) == ("provenance",)


def test_provenance_must_be_signed_where_the_policy_names_keys(model: Path, key: Path) -> None:
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    payload, kind = json.dumps(statement(model)).encode(), b"application/vnd.in-toto+json"
    message = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
    signature = base64.b64encode(private.sign(message, ec.ECDSA(hashes.SHA256()))).decode()
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": kind.decode(),
        "signatures": [{"sig": signature}],
    }
    text = '[provenance]\nrequired = true\npublic_keys = ["signer.pub"]\n'
    file = model.parent / "p.jsonl"
    file.write_text(json.dumps(envelope) + "\n")
    assert refused(model, text, provenance=file) == ()
    envelope["payload"] = base64.b64encode(payload + b" ").decode()
    file.write_text(json.dumps(envelope) + "\n")
    assert refused(model, text, provenance=file) == ("provenance",)
    file.write_text(json.dumps(statement(model)))
    assert refused(model, text, provenance=file) == ("provenance",)


def test_the_command_decides_writes_down_and_tells_others(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("cyclonedx")
    (model / "weights.pkl").write_bytes(
        BAD.replace(b"\x0b\x00\x00\x00echo canary", b"\x1b\x00\x00\x00curl --password=hunter2 a.b")
    )
    given = policy(model.parent)
    out = [model.parent / "out.sarif", model.parent / "bom.json"]
    arguments = ["--policy", str(given), "--sarif", str(out[0]), "--bom", str(out[1]), "--json"]
    assert command("gate", "check", str(model), *arguments) == 1
    told = json.loads(capsys.readouterr().out)
    jsonschema.validate(told, published("gate_check"))
    assert told["refused_by"] == ["verdict"]
    log = json.loads(out[0].read_text())
    assert log["version"] == "2.1.0"
    run = log["runs"][0]
    assert {result["ruleId"] for result in run["results"]} >= {"gate.verdict"}
    assert all(run["tool"]["driver"]["rules"][one["ruleIndex"]]["id"] == one["ruleId"] for one in run["results"])
    bill = json.loads(out[1].read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    kinds = {Path(part["name"]).name: part["type"] for part in bill["components"]}
    assert kinds == {
        "config.json": "file",
        "model.safetensors": "machine-learning-model",
        "weights.pkl": "machine-learning-model",
    }
    assert all(part["hashes"] for part in bill["components"])
    (model / "weights.pkl").unlink()
    assert command("gate", "check", str(model), "--policy", str(given)) == 0
    assert all("--password=[masked:password]" in path.read_text() for path in out)
    written = [json.dumps(told), *(path.read_text() for path in (*out, model.parent / "gate-audit.jsonl"))]
    assert not any("hunter2" in text for text in written)
    records, broken = read(model.parent / "gate-audit.jsonl")
    assert [record["allowed"] for record in records] == [False, True]
    assert not broken


def test_what_the_protocol_costs(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    audit = model.parent / "audit.jsonl"
    for text in ("", "[artifact]\nmax_total_bytes = 1\n", '[artifact]\nmax_total_bytes = 1\nformats = ["onnx"]\n'):
        write(audit, decide(Request(model), read_policy(policy(model.parent, text))).as_dict())
    told = cost(read(audit)[0])
    assert (told["decisions"], told["held_back"], told["share_held_back"]) == (3, 2, 0.6667)
    assert (told["rules"]["size"]["held_back"], told["rules"]["size"]["only"]) == (2, 1)
    assert told["seconds_per_artifact"]["median"] > 0
    assert command("gate", "cost", str(audit), "--json") == 0
    jsonschema.validate(json.loads(capsys.readouterr().out), published("gate_cost"))


def test_a_changed_or_missing_audit_line_shows(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    audit = model.parent / "audit.jsonl"
    for _ in range(3):
        write(audit, decide(Request(model), read_policy(policy(model.parent))).as_dict())
    lines = audit.read_bytes().splitlines(keepends=True)
    audit.write_bytes(lines[0] + lines[2])
    assert [broken.line for broken in read(audit)[1]] == [2]
    assert command("gate", "cost", str(audit)) == 1
    audit.write_bytes(lines[0].replace(b'"allowed": true', b'"allowed": false') + lines[1])
    assert [broken.line for broken in read(audit)[1]] == [2]
    capsys.readouterr()


@pytest.mark.parametrize(
    "text",
    [
        "x = ", "[unknown]\n",
        "[artifact]\nformat = []\n", '[artifact]\nverdicts = ["fine"]\n', "[approvals]\nrequired = -1\n",
        "[approvals]\nrequired = true\n", "[signature]\nrequired = true\n", "[artifact]\nformats = [1]\n",
    ],
)  # fmt: skip
def test_a_policy_with_a_mistake_is_refused(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BadInput):
        read_policy(policy(tmp_path, text))
    assert command("gate", "check", str(tmp_path), "--policy", str(policy(tmp_path, text))) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_nothing_passes_when_the_decision_cannot_be_written(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = policy(model.parent, '[audit]\nfile = "no/such/folder/audit.jsonl"\n')
    assert command("gate", "check", str(model), "--policy", str(given)) == 3
    assert "written down" in capsys.readouterr().err


def test_other_programs_ask_over_http(model: Path) -> None:
    rules = read_policy(policy(model.parent))
    token = "a" * 32
    listening = server(model.parent, token, 0, lambda request: decide(request, rules))
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{listening.server_address[1]}"

    def ask(body: bytes, given: str = token, **headers: str) -> tuple[int, dict[str, Any]]:
        request = urllib.request.Request(address + "/decide", body, {"Authorization": f"Bearer {given}", **headers})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    try:
        status, told = ask(b'{"path": "model"}')
        assert (status, told["allowed"]) == (200, True)
        jsonschema.validate(told, published("gate_check"))
        (model / "weights.pkl").write_bytes(BAD)
        status, told = ask(b'{"path": "model", "destination": null, "approved_by": ["ana"]}')
        assert (status, told["refused_by"], told["approved_by"]) == (403, ["verdict"], ["ana"])
        assert ask(b'{"path": "model"}', "b" * 32)[0] == 401
        assert ask(b'{"path": "model"}', Host="evil.example")[0] == 400
        for body in (b"", b"x", b"[]", b'{"path": "../"}', b'{"path": "/etc/passwd"}', b'{"path": "none"}',
                     b'{"path": "model", "x": 1}', b'{"path": "\\u0000"}'):  # fmt: skip
            assert ask(body)[0] == 400, body
        with urllib.request.urlopen(address + "/health", timeout=30) as answer:
            assert json.load(answer) == {"ok": True}
    finally:
        listening.shutdown()
        listening.server_close()


def test_the_gate_answers_on_this_machine_alone(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="this machine"):
        server(tmp_path, "a" * 32, 0, lambda request: decide(request, read_policy(tmp_path)), host="0.0.0.0")
    with pytest.raises(BadInput, match="token"):
        server(tmp_path, "short", 0, lambda request: decide(request, read_policy(tmp_path)))
