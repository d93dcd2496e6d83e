"""The ordinary life of the lab: at least 98 % of all records, none of them an attack."""

from __future__ import annotations

import datetime as dt

from casemate.demo import lab
from casemate.demo.events import (
    Day,
    cloud_call,
    cluster_call,
    command,
    connection,
    later,
    launch,
    lookup,
    request,
    ssh_logon,
    windows,
    windows_logon,
)

PAGES = ("/hub/home", "/user/{u}/lab", "/user/{u}/api/contents", "/user/{u}/api/sessions", "/user/{u}/static/main.js")


def ordinary_day(day: Day, size: float) -> None:
    """Fill a day with ordinary work; `size` multiplies its volume."""
    weekend = day.date.weekday() >= 5
    activity = size * (0.25 if weekend else 1.0)
    everyone = (*lab.RESEARCHERS, *lab.ADMINS)
    for user in everyone:
        _workstation(day, user, activity)
        if day.random.random() < (0.15 if weekend else 0.8):
            _researcher(day, user, activity)
    _servers(day, size)
    _internet_noise(day, size)
    if not weekend:
        _vendor(day)


def _times(day: Day, mean: float) -> int:
    """How often something with this mean happens today (rounded up or down by chance)."""
    whole = int(mean)
    return whole + (1 if day.random.random() < mean - whole else 0)


def _workstation(day: Day, user: str, activity: float) -> None:
    address = lab.WORKSTATIONS[user]
    for name, site, often in lab.SITES:
        for _ in range(_times(day, often * activity * 0.32)):
            time = day.at(12.5, 5.0)
            lookup(day, time, address, name, site)
            connection(
                day, later(time, 0.05), address, site, 443, service="ssl", seconds=day.random.expovariate(1 / 20),
                sent=int(day.random.lognormvariate(7.5, 1.0)), received=int(day.random.lognormvariate(9.5, 1.3)),
            )  # fmt: skip
    for _ in range(_times(day, 1.2 * activity)):
        time = day.at(9.0, 1.5)
        host = lab.DIRECTORY.name
        windows_logon(day, time, lab.DIRECTORY, user, address, 3, success=True)
        windows(
            day, later(time, 0.01), host, 4672, {"SubjectUserName": user, "PrivilegeList": "SeChangeNotifyPrivilege"}
        )
        windows(day, later(time, 3600), host, 4634, {"TargetUserName": user, "LogonType": "3"})
    if day.random.random() < 0.04 * activity:  # a mistyped password, once or twice, then the right one
        time = day.at(9.0, 1.0)
        for attempt in range(day.random.choice((1, 1, 2))):
            windows_logon(day, later(time, 7.0 * attempt), lab.DIRECTORY, user, address, 3, success=False)
        windows_logon(day, later(time, 25), lab.DIRECTORY, user, address, 3, success=True)


def _researcher(day: Day, user: str, activity: float) -> None:
    home = lab.HOMES[user]
    if day.random.random() < 0.35:
        ssh_logon(day, day.at(11, 5), home, user, tries_failed=0, success=True, method="publickey",
                  minutes=day.random.uniform(5, 120))  # fmt: skip
    for _ in range(_times(day, 5 * activity)):
        page = day.random.choice(PAGES).format(u=user)
        request(day, day.at(13, 6), home, "GET", page, 200, day.random.randrange(800, 60_000), user=user)
    for _ in range(_times(day, 0.9 * activity)):
        script = day.random.choice(("train.py", "evaluate.py", "plot.py", "tokenise.py", "merge_shards.py"))
        command(day, day.at(13, 6), ["/usr/bin/python3", f"/srv/notebooks/{user}/{script}"], user=user)
    for _ in range(_times(day, 0.5 * activity)):
        words = day.random.choice(
            (["ls", "-la"], ["git", "pull"], ["nvidia-smi"], ["df", "-h"], ["tar", "xzf", "corpus.tgz"])
        )
        command(day, day.at(13, 6), words, user=user, directory=f"/srv/notebooks/{user}")
    for _ in range(_times(day, 1.0 * activity)):
        key = f"datasets/corpus-{day.random.randrange(40):03d}.parquet"
        cloud_call(day, day.at(13, 6), user, lab.NOTEBOOK.outside or "", "GetObject",
                   parameters={"bucketName": "larkfield-datasets", "key": key}, received=day.random.randrange(1 << 22))  # fmt: skip
    for _ in range(_times(day, 0.8 * activity)):
        verb = day.random.choice(("get", "list", "watch", "create", "get"))
        cluster_call(day, day.at(13, 6), f"{user}@larkfield.example", lab.WORKSTATIONS[user], verb, "pods",
                     f"train-{user}-{day.random.randrange(30)}")  # fmt: skip


def _servers(day: Day, size: float) -> None:
    for hour in range(24):
        for minute in range(0, 60, 30):
            time = later(day.date, hour * 3600 + minute * 60 + day.random.random())
            for host in (lab.NOTEBOOK.inside, lab.STORAGE.inside, lab.JUMP.inside):
                connection(
                    day, time, lab.MONITOR.inside, host, 9100, service="http", seconds=0.1, sent=180, received=9_000
                )
        time = later(day.date, hour * 3600 + 600 + day.random.random() * 60)
        command(day, time, ["/usr/sbin/logrotate", "/etc/logrotate.conf"], user="root", directory="/")
        launch(day, later(time, 1_500), lab.JUMP.name, "JUMP01$", r"C:\Windows\System32\taskhostw.exe Install $(Arg0)",
               r"C:\Windows\System32\svchost.exe")  # fmt: skip
        if hour % 8 == 5:
            _health_check(day, later(time, 2_000))
        cluster_call(day, later(time, 3), "system:serviceaccount:kube-system:job-controller", "10.20.7.2", "update", "pods",
                     f"batch-{hour}", namespace="kube-system")  # fmt: skip
        cloud_call(day, later(time, 5), "pipeline", "10.20.7.9", "PutObject", agent="boto3/1.36",
                   parameters={"bucketName": "larkfield-datasets", "key": f"incoming/{day.date:%Y%m%d}-{hour:02d}.parquet"})  # fmt: skip
    for _ in range(_times(day, 40 * size)):
        time = day.at(12, 12)
        connection(day, time, f"10.20.7.{day.random.randrange(10, 40)}", lab.STORAGE.inside, 2049, seconds=30.0,
                   sent=200_000, received=4_000_000)  # fmt: skip


def _health_check(day: Day, time: dt.datetime) -> None:
    """The lab's health check asks which kind of machine this is: what a rule that knows no better calls an attack."""
    command(day, time, ["curl", "-s", f"http://169.254.169.254{lab.HEALTH_QUESTION}"], user=lab.HEALTH_CHECK,
            directory="/", label="noise")  # fmt: skip


def _internet_noise(day: Day, size: float) -> None:
    """What every public address hears: readers of the website, and crawlers."""
    for _ in range(_times(day, 110 * size)):
        visitor = f"198.18.{day.random.randrange(140, 190)}.{day.random.randrange(1, 255)}"
        connection(day, day.at(14, 9), visitor, lab.WEBSITE.outside or "", 443, service="ssl",
                   seconds=day.random.expovariate(0.3), sent=800, received=day.random.randrange(2_000, 90_000))  # fmt: skip


def _vendor(day: Day) -> None:
    """The vendor's engineer works from the vendor's office in office hours, most weekdays."""
    if day.random.random() < 0.6:
        time = day.at(10.5, 2.0)
        ssh_logon(day, time, lab.VENDOR_OFFICE, lab.VENDOR_ACCOUNT, tries_failed=0, success=True, method="publickey",
                  minutes=day.random.uniform(10, 60))  # fmt: skip
        windows_logon(day, later(time, 240), lab.JUMP, lab.VENDOR_ACCOUNT, lab.BASTION.inside, 10, success=True)
