"""Benign twins of the attack's steps: each looks like one and is none."""

from __future__ import annotations

import base64
import json

from casemate.demo import lab
from casemate.demo.attack import Step
from casemate.demo.events import (
    Day,
    cloud_call,
    cluster_call,
    command,
    connection,
    later,
    launch,
    request,
    ssh_logon,
    windows,
    windows_logon,
)

DECOYS: tuple[Step, ...] = (
    Step("decoy-scanner", "the lab's own vulnerability scanner sweeps inside every week", "T1046", "scans"),
    Step("decoy-mistype", "an administrator mistypes a password three times, then gets in", "T1110", "guessing"),
    Step("decoy-expired", "a researcher's login page refuses an old password a few times", "T1110", "guessing"),
    Step("decoy-terminal", "a researcher opens a terminal in the notebook server and downloads data", "T1190", "rules"),
    Step("decoy-encoded", "a researcher hands a job its settings in base64", "T1027.010", "rules"),
    Step("decoy-keys", "an administrator rotates cloud keys and lists buckets", "T1552.001", "rules"),
    Step("decoy-late", "the vendor works late from the vendor's own office", "T1199", "identity behaviour"),
    Step("decoy-abroad", "a researcher works from abroad for two weeks", "T1078", "identity behaviour"),
    Step(
        "decoy-archive",
        "the directory's full security log is archived, an administrator runs a script",
        "T1070.001",
        "rules",
    ),
    Step("decoy-admin", "an administrator enters the storage host and a pod for maintenance", "T1021.004", "rules"),
    Step("decoy-release", "the release job reads a checkpoint out of the core bucket", "T1560.001", "rules"),
    Step(
        "decoy-backup", "the nightly backup moves terabytes to the backup provider", "T1048", "exfiltration analytics"
    ),
)

GAP = ("decoy-maintenance", "the notebook host is down for announced maintenance, three hours", 40.25, 40.375)


def decoy_day(day: Day, number: int) -> None:
    """Add the benign twins of day `number` (0-based)."""
    if day.date.weekday() == 5:
        _scanner(day)
    if number % 9 == 4:
        admin = day.random.choice(lab.ADMINS)
        ssh_logon(day, day.at(8.5, 1.0), lab.HOMES[admin], admin, tries_failed=3, success=True, label="decoy-mistype")
    if number % 11 == 6:
        _expired(day)
    if number % 13 == 5:
        _terminal(day)
    if number % 12 == 7:
        _encoded(day)
    if number % 28 == 3:
        _archive(day)
    if number % 30 == 12:
        _keys(day)
    if number in (33, 75):
        ssh_logon(day, day.at(20.8, 0.4), lab.VENDOR_OFFICE, lab.VENDOR_ACCOUNT, tries_failed=0, success=True,
                  method="publickey", minutes=50, label="decoy-late")  # fmt: skip
        windows_logon(day, day.at(21.0, 0.1), lab.JUMP, lab.VENDOR_ACCOUNT, lab.BASTION.inside, 10, success=True,
                      label="decoy-late")  # fmt: skip
    if 50 <= number < 64:
        user, address = lab.RESEARCHER_ABROAD
        ssh_logon(day, day.at(4.0, 3.0), address, user, tries_failed=day.random.choice((0, 0, 0, 1)), success=True,
                  minutes=60, label="decoy-abroad")  # fmt: skip
    if number % 14 == 9:
        _admin(day)
    if number % 28 == 20:
        _release(day)
    _backup(day)


def _scanner(day: Day) -> None:
    moment = day.at(23.0, 0.2)
    for host in range(20, 60):
        for port in (22, 80, 443, 3389, 8888):
            state = day.random.choice(("S0", "REJ", "REJ", "SF"))
            connection(day, moment, lab.SCANNER.inside, f"10.20.2.{host}", port, state=state, label="decoy-scanner")
            moment = later(moment, 0.3)


def _expired(day: Day) -> None:
    user = day.random.choice(lab.RESEARCHERS)
    moment = day.at(9.0, 1.0)
    for _ in range(4):
        request(day, moment, lab.HOMES[user], "POST", "/hub/login?next=%2Fhub%2F", 403, 2_310, label="decoy-expired")
        moment = later(moment, day.random.uniform(6, 30))
    request(day, moment, lab.HOMES[user], "POST", "/hub/login?next=%2Fhub%2F", 302, 0, user=user, label="decoy-expired")


def _terminal(day: Day) -> None:
    user = day.random.choice(lab.RESEARCHERS)
    moment = day.at(14.0, 3.0)
    request(
        day, moment, lab.HOMES[user], "POST", f"/user/{user}/api/terminals", 200, 300, user=user, label="decoy-terminal"
    )
    request(day, later(moment, 2), lab.HOMES[user], "GET", f"/user/{user}/terminals/websocket/1", 101, 0, user=user,
            label="decoy-terminal")  # fmt: skip
    for words in (
        ["curl", "-LO", "https://mirror.packages.example/data/corpus-012.tgz"],
        ["pip", "install", "--user", "einops"],
        ["chmod", "+x", "run.sh"],
    ):
        command(day, later(moment, 30), words, user=user, directory=f"/srv/notebooks/{user}", label="decoy-terminal")
        moment = later(moment, 60)


def _encoded(day: Day) -> None:
    user = day.random.choice(lab.RESEARCHERS)
    moment = day.at(13.0, 3.0)
    settings = {
        "learning_rate": day.random.choice((1e-4, 3e-4)),
        "steps": 180_000,
        "notes": "run me | again",
        "user": user,
    }
    text = base64.b64encode(json.dumps(settings).encode()).decode()
    place = f"/srv/notebooks/{user}"
    command(day, moment, ["python3", f"{place}/submit.py", "--settings", text], user=user, directory=place,
            label="decoy-encoded")  # fmt: skip
    command(day, later(moment, 40), ["/bin/sh", "-c", f"echo {text} | base64 -d > {place}/job.json"], user=user,
            directory=place, label="decoy-encoded")  # fmt: skip


def _archive(day: Day) -> None:
    moment = day.at(12.0, 3.0)
    windows(day, moment, lab.DIRECTORY.name, 1105,
            {"Channel": "Security", "BackupPath": rf"C:\Logs\Archive-Security-{day.date:%Y-%m-%d}.evtx"},
            of_log="AutoBackup", label="decoy-archive")  # fmt: skip
    launch(day, later(moment, 90), lab.JUMP.name, lab.ADMINS[0],
           r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe -NoProfile -File C:\ops\inventory.ps1",
           r"C:\Windows\explorer.exe", label="decoy-archive")  # fmt: skip


def _keys(day: Day) -> None:
    moment = day.at(10.0, 1.0)
    admin = lab.ADMINS[0]
    address = lab.WORKSTATIONS[admin]
    cloud_call(day, moment, admin, address, "GetCallerIdentity", service="sts", label="decoy-keys")
    cloud_call(day, later(moment, 20), admin, address, "ListBuckets", label="decoy-keys")
    command(day, later(moment, 60), ["cat", "/etc/hosts"], user=admin, directory="/root", label="decoy-keys")


def _admin(day: Day) -> None:
    moment = day.at(10.0, 2.0)
    admin = day.random.choice(lab.ADMINS)
    connection(day, moment, lab.BASTION.inside, lab.STORAGE.inside, 22, service="ssh", seconds=900, sent=40_000,
               received=200_000, label="decoy-admin")  # fmt: skip
    cluster_call(day, later(moment, 60), f"{admin}@larkfield.example", lab.WORKSTATIONS[admin], "get", "pods",
                 "train-ivo-7", subresource="log", label="decoy-admin")  # fmt: skip


def _release(day: Day) -> None:
    moment = day.at(13.0, 1.0)
    for shard in range(24):
        key = f"larkfield-8/release/shard-{shard:05d}.safetensors"
        cloud_call(day, later(moment, 30 * shard), "release-job", "10.20.7.9", "GetObject", agent="boto3/1.36",
                   parameters={"bucketName": lab.CORE_BUCKET, "key": key}, received=4_800_000_000, label="decoy-release")  # fmt: skip


def _backup(day: Day) -> None:
    moment = day.at(22.5, 0.2)
    if day.date.weekday() == 6:
        command(day, moment, ["tar", "cf", "/backup/models.tar", "/srv/models"], user="root", directory="/",
                label="decoy-backup")  # fmt: skip
    for part in range(4):
        connection(day, later(moment, 1_200 * part), lab.BACKUP.inside, lab.BACKUP_PROVIDER, 443, service="ssl",
                   seconds=1_150, sent=day.random.randrange(40, 90) * 10**9, received=90_000_000, label="decoy-backup")  # fmt: skip
