"""What is attached to mail is looked at, however it is packed; what is only shown is not."""

from __future__ import annotations

import base64
from email.message import EmailMessage

import pytest
from artifact_samples import BAD, GOOD, codes, verdict, zipped

HEAD = b"From: a@example.org\r\nTo: b@example.org\r\nSubject: weights\r\nMIME-Version: 1.0\r\n"


def message(data: bytes, name: str | None, **more: str) -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "a@example.org", "b@example.org", "weights"
    made.set_content(more.get("text", "see attached\n"))
    made.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
    return made


def forwarded(inner: EmailMessage) -> bytes:
    outer = EmailMessage()
    outer["From"], outer["To"], outer["Subject"] = "c@example.org", "d@example.org", "Fwd: weights"
    outer.set_content("as below\n")
    outer.add_attachment(inner)
    return outer.as_bytes()


@pytest.mark.parametrize(
    "data",
    [
        message(BAD, "model.pkl").as_bytes(),
        message(BAD, None).as_bytes(),
        message(BAD, "Gewichte für alle.pkl").as_bytes(),
        message(zipped(("in/model.pkl", BAD)), "models.zip").as_bytes(),
        forwarded(message(BAD, "model.pkl")),
        b"From a@example.org Mon May  4 10:00:00 2026\n" + message(BAD, "model.pkl").as_bytes(),
        HEAD + b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(BAD),
    ],
    ids=["attached", "unnamed", "encoded name", "archive", "forwarded", "mbox", "the whole body"],
)  # fmt: skip
def test_a_bad_attachment_makes_the_message_malicious(data: bytes) -> None:
    found = verdict(data, "message.eml")
    assert found.verdict == "malicious"
    assert "pickle.calls" in codes(found)


@pytest.mark.parametrize(
    "data",
    [
        message(GOOD, "model.pkl").as_bytes(),
        message(b"a,b\n1,2\n", "table.csv", text="exec(base64.b64decode(x))\n<script>alert(1)</script>\n").as_bytes(),
        HEAD + b"Content-Type: text/html charset=x\r\n\r\n<script>show()</script>\r\n",
    ],
)
def test_messages_with_nothing_bad_are_safe(data: bytes) -> None:
    found = verdict(data, "message.eml")
    assert (found.format, found.verdict) == ("mail", "safe"), found.reasons


def test_what_cannot_be_decoded_is_not_safe() -> None:
    data = (
        HEAD + b"Content-Type: application/x; name=a.bin\r\nContent-Transfer-Encoding: base64\r\n\r\ngAJ9!!!q=x==\r\n"
    )
    assert verdict(data, "message.eml").verdict != "safe"


def test_messages_inside_messages_come_to_an_end() -> None:
    inner = b"text\r\n"
    for number in range(400):
        inner = HEAD + b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (number, number) + inner
    assert verdict(inner, "message.eml").verdict in ("safe", "unscannable")


def test_a_log_of_fields_is_no_mail() -> None:
    assert verdict(b"Date: 2026-05-04\nlevel: info\nSubject: x\n", "a.log").format == "text"
