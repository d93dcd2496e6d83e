"""Shell commands, judged: what everybody types, what nobody honest does, and the rest."""

from __future__ import annotations

import re
from typing import Literal

from casemate.decode import decode, may_hold
from casemate.decode.forms import UNIX_COMMAND
from casemate.limits import Limits

WINDOW = 4096
MOST_OF_LINE = 1 << 18
"""Characters of one line that are judged."""
Judgement = Literal["ordinary", "scripted", "unknown", "odd", "bad"]
LIMITS = Limits(decode_input_characters=1 << 18, decode_output_bytes=1 << 20, decode_texts=16, decode_depth=4)

_SHELLS = (
    r"(?:/(?:usr/)?bin/)?(?:env\s+)?(?:ba|da|z|k|c|fi)?sh\d?|(?:/usr/bin/)?(?:env\s+)?python[\d.]*|perl|ruby|node|php"
)
_FETCH = r"\b(?:curl|wget|fetch|aria2c|lwp-request)\b"
_INSTALLERS_WORDS = (
    "sh.rustup.rs static.rust-lang.org get.docker.com download.docker.com deb.nodesource.com rpm.nodesource.com "
    "install.python-poetry.org astral.sh bootstrap.pypa.io get.helm.sh bun.sh deno.land get.pnpm.io get.sdkman.io "
    "packages.microsoft.com packages.cloud.google.com dl.google.com nvidia.github.io "
    "developer.download.nvidia.com ollama.com ollama.ai pyenv.run apt.llvm.org sdk.cloud.google.com "
    "repo.anaconda.com micro.mamba.pm packagecloud.io get.k3s.io cli.github.com deb.debian.org archive.ubuntu.com "
    "dot.net dotnet.microsoft.com raw.githubusercontent.com/nvm-sh raw.githubusercontent.com/Homebrew "
    "raw.githubusercontent.com/helm raw.githubusercontent.com/ohmyzsh raw.githubusercontent.com/pyenv aka.ms "
    "awscli.amazonaws.com packages.confluent.io s3.amazonaws.com/aws-cli dist.nuget.org apt.postgresql.org "
    "www.postgresql.org apt.kitware.com ftp.debian.org"
)
INSTALLERS = tuple(_INSTALLERS_WORDS.split())
"""Whose installers are piped into a shell by their own instructions."""

SCRATCH = "a program in a folder for scratch is run"
BAD: tuple[tuple[str, str], ...] = (
    (r"/dev/(?:tcp|udp)/", "a connection through /dev/tcp"),
    (r"\b(?:nc|ncat|netcat|busybox\s+nc)\b[^|;&\n]*\s-\w*[ec]\b", "netcat that hands out a shell"),
    (r"\bmkfifo\b[^\n]*\b(?:nc|ncat|telnet|openssl)\b", "a shell over a named pipe"),
    (r"\bsocat\b[^\n]*\bexec:", "a shell over socat"),
    (rf"\bbase(?:64|32)\s+(?:-d|-D|--decode)[^|\n]*\|\s*(?:sudo\s+)?(?:{_SHELLS})\b", "decoded text piped into a shell"),  # noqa: E501
    (rf"\b(?:xxd\s+-r|openssl\s+(?:enc|base64)[^|\n]*-d|rev|tr\s+[^|\n]{{1,60}}|gunzip|zcat|base64\s+-di)[^|\n]*\|"
     rf"\s*(?:sudo\s+)?(?:{_SHELLS})\b(?!\s+[\w./-]+\.\w)", "decoded text piped into a shell"),
    (r"\beval\s+[\"'(`$]*\$?\(?\s*(?:curl|wget|echo\s+\S+\s*\|\s*base64|base64)", "what is fetched or decoded is run"),
    (rf"(?:{_SHELLS})\s+(?:-c\s+)?[\"']?(?:<\(|\$\(|`)\s*(?:curl|wget|base64|echo\s+\S+\s*\|\s*base64)",
     "what is fetched or decoded is run"),
    (r"\bpython[\d.]*\s+-\w*c\b[^\n]*(?:socket|pty\.spawn|urlopen|b64decode|exec\(|requests\.)",
     "a program on the command line that connects or decodes"),
    (r"\bperl\s+-\w*e\b[^\n]*(?:socket|exec|system)", "a program on the command line that connects or runs commands"),
    (r"\bruby\s+-\w*e\b[^\n]*(?:socket|exec|system)", "a program on the command line that connects or runs commands"),
    (r"\bphp\s+-r\b[^\n]*(?:fsockopen|exec|system)", "a program on the command line that connects or runs commands"),
    (r"\bpowershell(?:\.exe)?\b[^\n]*(?:\s-e(?:nc\w*|c)?\s|downloadstring|invoke-expression|\biex\b|webclient|"
     r"-w(?:indowstyle)?\s+hidden)", "PowerShell that is encoded, hidden or runs what it fetches"),
    (r"\b(?:certutil\b[^\n]*-urlcache|bitsadmin\b[^\n]*/transfer|mshta\s|regsvr32\b[^\n]*(?:/i:|scrobj)|rundll32\s)",
     "a Windows program used to fetch and run"),
    (
        r"(?:\b(?:curl|wget|nc|base64)\b|/dev/tcp|/tmp/|\bpython[\d.]*\s+-c)[^\n]*>>?\s*"
        r"(?:~|\$HOME|/root|/home/[\w-]+)/\.(?:bashrc|bash_profile|profile|zshrc|zprofile|config/autostart)",
        "a start-up file of the shell is changed",
    ),
    (r"authorized_keys", "keys that may log in are changed"),
    (r"(?:\bcrontab\b\s+(?:-(?!l)|[^-\s])|\|\s*crontab\b|>>?\s*/etc/cron|/var/spool/cron)", "a scheduled job is planted"),  # noqa: E501
    (r">>?\s*/etc/(?:passwd|shadow|sudoers|ld\.so\.preload|rc\.local)", "a file that governs the system is changed"),
    (r"/etc/shadow\b", "password hashes are read"),
    (r"(?:\bcat|\bcp|\btar|\bzip|\bcurl|\bscp|@|<)\s*[^\n|;]{0,80}(?:\.ssh/id_\w+|\.aws/credentials|\.kube/config|"
     r"\.docker/config\.json|\.netrc|\.git-credentials|\.huggingface/token|\.cache/huggingface/token|\.config/gcloud|"
     r"login\.keychain|\.gnupg|\.bash_history|wallet\.dat)", "credentials are read"),
    (r"\b(?:env|printenv|set|cat\s+/etc/passwd|cat\s+/proc/self/environ|whoami|id|hostname)\b[^\n;&]*\|[^\n;]*"
     r"\b(?:curl|wget|nc|ncat|telnet)\b", "what is known of the machine is sent away"),
    (r"\b(?:curl|wget)\b[^\n]*(?:-d|--data\S*|--post-data|-F|-T|--upload-file|--post-file)[= ]?\s*[\"']?"
     r"(?:@?\$\(|@?`|@?/etc/|@~|[^\s\"']*\$\((?:env|cat|whoami|id|hostname|printenv|base64))",
     "what is known of the machine is sent away"),
    (r"\b(?:curl|wget|nslookup|dig|ping)\b[^\n]*(?:\$\((?:env|cat|whoami|id|hostname|printenv|base64)|"
     r"`(?:env|cat|whoami|id|hostname|printenv))", "what is known of the machine is sent away"),
    (r"\bhttps?://169\.254\.169\.254|metadata\.google\.internal", "the credentials of the cloud machine are asked for"),
    (r"\brm\s+(?:-\w+\s+)*-\w*[rf]\w*\s+(?:-\w+\s+|--no-preserve-root\s+)*(?:/|/\*|~|~/\*?|\$HOME/?|/home|/etc|/usr)"
     r"(?:\s|$|[;&\"'])", "the files of the machine are deleted"),
    (r":\(\)\s*\{\s*:\|:&\s*\};:", "a fork bomb"),
    (r"\bdd\b[^\n]*\bof=/dev/(?:sd|nvme|hd|vd)", "a disk is overwritten"),
    (r"\b(?:xmrig|minerd|stratum\+tcp|coinhive|cpuminer)\b", "a coin miner"),
    (r"\bLD_PRELOAD=/(?:tmp|dev/shm|var/tmp)", "a library is put before all others"),
    (r"\b(?:chmod\s+(?:\+x|[0-7]*7[0-7]*)|bash|sh|source|\.)\s+(?:-\w+\s+)*(?:/tmp|/dev/shm|/var/tmp)/"
     r"(?!miniconda|Miniconda|anaconda|install|setup|requirements|build)[^\n]*", SCRATCH),
    (rf"{_FETCH}[^\n]*(?:;|&&)\s*(?:sudo\s+)?chmod\s+(?:\+x|7\d\d|a\+x)\s+\S+[^\n]*(?:;|&&)\s*(?:sudo\s+)?(?:nohup\s+)?"
     r"\.?/(?:tmp|dev/shm|var/tmp|\.)\S*", "what is fetched is run"),
    (r"\bhistory\s+-c\b|\bunset\s+HISTFILE\b|HISTFILE=/dev/null", "traces are removed"),
    (r"\b(?:curl|wget)\b[^\n]*\.onion\b", "a hidden service is asked"),
)  # fmt: skip
ODD: tuple[tuple[str, str], ...] = (
    (
        r"\bpython[\d.]*\s+-\w*c\b[^\n]*(?:os\.(?:system|popen)|subprocess|__import__|\beval\()",
        "a program on the command line that runs commands",
    ),
    (r"(?:^|[\s/])(?:ba|z|da)?sh\s+-i\b", "an interactive shell"),
    (rf"\|\s*(?:sudo\s+)?(?:{_SHELLS})(?:\s+-\w*)?\s*(?:$|[;&|\n])", "text is piped into an interpreter"),
    (r"(?:^|[;&|]\s*|\(\s*)(?:whoami|id|hostname|ifconfig|ip\s+a(?:ddr)?|netstat|last|w)\s*(?:$|[;&|>])",
     "the machine is looked over"),
    (r"\bcat\s+/etc/(?:passwd|hosts|hostname)\b|/proc/self/environ", "the machine is looked over"),
    (r"(?:^|[;&|]\s*)(?:touch|echo|printf)\b[^\n|;&]*\s>{0,2}\s*/(?:tmp|dev/shm|var/tmp)/", "a mark is left in a folder for scratch"),  # noqa: E501
    (
        r"\bnohup\s+(?!(?:python[\d.]*\s+(?:-u\s+)?[\w./-]+\.py|jupyter|tensorboard|streamlit|mlflow|ollama|vllm|torchrun|accelerate)\b)"
        r"[^\n]*&\s*(?:disown)?\s*$|\bsetsid\b",
        "something is left running in the background",
    ),
    (r"--(?:extra-)?index-url[= ]+[\"']?http://(?!localhost|127\.|pypi|mirrors)", "packages come over an open connection"),  # noqa: E501
    (r"--trusted-host\b", "the packages' server need not prove who it is"),
    (r"\bpip[\d.]*\s+install\b[^\n]*\bhttp://", "a package comes over an open connection"),
    (r"\bbase64\s+(?:-d|-D|--decode)\b", "text is decoded"),
    (r"\bcrontab\b", "scheduled jobs are looked at"),
)  # fmt: skip
_BAD = tuple((re.compile(pattern, re.IGNORECASE | re.MULTILINE), why) for pattern, why in BAD)
_ODD = tuple((re.compile(pattern, re.IGNORECASE | re.MULTILINE), why) for pattern, why in ODD)
_PIPED = re.compile(
    rf"{_FETCH}(?P<what>[^\n]*?)\|\s*(?:sudo\s+(?:-\S+\s+)*)?(?:tee\s+\S+\s*\|\s*)?(?:{_SHELLS})(?![\w.-])",
    re.IGNORECASE,
)
_THEN_RUN = re.compile(
    rf"{_FETCH}[^\n;&]*\s(?:-o|-O|--output|>)\s*(?P<name>[\w./$~{{}}-]+)(?P<rest>[^\n]*)", re.IGNORECASE
)
_ADDRESS = re.compile(r"https?://[^\s\"'|;)>]+", re.IGNORECASE)
_CODE_HOSTS = re.compile(r"https://(?:raw\.githubusercontent\.com|github\.com|gitlab\.com|gist\.github)", re.IGNORECASE)
_BARE = re.compile(r"^\s*https?://(?:\d{1,3}(?:\.\d{1,3}){3}|\[|localhost)", re.IGNORECASE)

_ASKS = re.compile(
    r"(?:/bin/)?cat (?:/proc/(?:cpuinfo|meminfo|version|driver/\S+)|/sys/[\w./*:-]+|/etc/(?:os|lsb|debian)[-_]\w+)"
    r"|powershell(?:\.exe)?(?: -NoProfile)? -Command ['\"]?\(?['\"]?Get-(?:CimInstance|WmiObject)['\"]?[\w\s'\".()-]*"
)
"""What modules ask about processors, memory and the system."""
_ORDINARY_WORDS = (
    "git pip pip3 pipx uv conda mamba micromamba poetry apt apt-get apk yum dnf brew ls ll cd pwd mkdir rmdir "
    "nvidia-smi nvcc gcc g++ cc c++ clang cmake make ninja uname which where cat echo printf wget curl unzip zip "
    "tar gzip gunzip head tail wc du df free lscpu lsb_release jupyter huggingface-cli hf kaggle gdown accelerate "
    "torchrun deepspeed streamlit tensorboard npm npx yarn pnpm node cp mv rm sed awk grep egrep find sort uniq "
    "cut tr export set source true false test [ date time sleep ln chmod chown useradd groupadd adduser addgroup "
    "python python3 pytest ruff black mypy pre-commit aria2c rsync aws gsutil gcloud az docker ffmpeg convert "
    "tree less more file md5sum sha256sum nproc update-alternatives ldconfig locale-gen localedef dpkg gpg apt- "
    "key add-apt-repository rustc cargo go java javac mvn gradle pkg-config llvm-config pandoc dot top ps kill "
    "nano vim if then else fi for do done while exit bash sh sudo env touch install strip patch ./configure tee "
    "xargs rustup corepack bundle gem command hash type wandb dvc mlflow ollama vllm lm_eval pdflatex latex "
    "xelatex sphinx-build"
)
ORDINARY = frozenset(_ORDINARY_WORDS.split())
_AT_IMPORT_WORDS = (
    "git hg svn nvcc gcc g++ cc c++ clang clang++ cl cmake make ninja nvidia-smi uname which where ldconfig lscpu "
    "sysctl pkg-config llvm-config pandoc dpkg rustc cargo xcrun sw_vers lsb_release rocm-smi rocminfo hipcc swig "
    "wmic lsof rpm java mpicc ffmpeg ffprobe dot latex tput stty system_profiler python-config pg_config mysql_config "
    "xml2-config gfortran npm yarn protoc"
)
AT_IMPORT = frozenset(_AT_IMPORT_WORDS.split())
_SCRIPTED_WORDS = (
    "pip pip3 python python3 tensorboard rm mkdir cp mv ls cd streamlit uvicorn gunicorn accelerate torchrun apt-get "
    "apt conda unzip tar export set jupyter deepspeed sleep clear make"
)
SCRIPTED = frozenset(_SCRIPTED_WORDS.split())
"""What training scripts and demonstrations start by themselves."""
_START = re.compile(r"(?:^|[;&|\n]|\$\(|`)\s*(?:(?:sudo|env|time|exec|nohup)\s+)*(?:\w+=\S*\s+)*([\w./+\[-]+)")


def judge_command(text: str, *, at_import: bool = False) -> tuple[Judgement, str]:
    """What a command is worth, and why.

    Args:
        text: one command or a script.
        at_import: judged as what a module runs by itself, where only questions about compilers and versions are
            ordinary.
    """
    best = _judged(text, at_import)
    if best[0] != "bad" and len(text) < LIMITS.decode_input_characters and may_hold(UNIX_COMMAND, text):
        for variant in decode(text, UNIX_COMMAND, LIMITS).variants:
            judgement, why = _judged(variant.text, at_import)
            if judgement == "bad":
                return "bad", f"{why}, hidden by {', '.join(variant.steps)}"
    return best


def _judged(text: str, at_import: bool) -> tuple[Judgement, str]:
    text = re.sub(r"[ \t]+", " ", re.sub(r"\\\r?\n", " ", text))
    if any(len(line) > WINDOW for line in text.split("\n")):
        return _long(text, at_import)
    piped = _piped(text)
    if piped is not None and piped[0] == "bad":
        return piped
    for pattern, why in _BAD:
        if pattern.search(text) and not (why == SCRATCH and _all_known(text)):
            return "bad", why
    if piped is not None:
        return piped
    text = _PIPED.sub(lambda match: " " if _all_known(match["what"]) else match.group(), text)
    for pattern, why in _ODD:
        if pattern.search(text):
            return "odd", why
    if _ASKS.fullmatch(text.strip()):
        return "ordinary", "a question about the machine"
    words = [word.rsplit("/", 1)[-1] for word in _START.findall(text)]
    known = AT_IMPORT if at_import else ORDINARY
    strange = next((word for word in words if word.lower().removesuffix(".exe") not in known), None)
    if strange is None and words:
        return "ordinary", "an ordinary command"
    if at_import and strange is not None and all(word in SCRIPTED or word in known for word in words):
        return "scripted", f"the command {strange}"
    return "unknown", f"the command {strange}" if strange else "a command"


def _long(text: str, at_import: bool) -> tuple[Judgement, str]:
    """Lines too long for patterns that look back and forth: judged in windows, and never ordinary."""
    for line in text.split("\n"):
        for begin in range(0, max(1, min(len(line), MOST_OF_LINE)), WINDOW // 2):
            found = _judged(line[begin : begin + WINDOW], at_import)
            if found[0] == "bad":
                return found
    return "odd", f"a command of more than {WINDOW} characters"


def _piped(text: str) -> tuple[Judgement, str] | None:
    for match in _PIPED.finditer(text):
        addresses = _ADDRESS.findall(match["what"])
        if addresses and all(_known_installer(address) for address in addresses):
            continue
        if addresses and all(_CODE_HOSTS.match(address) for address in addresses):
            return "odd", "a script of a code host is piped into an interpreter"
        return (
            "bad",
            f"what is fetched is piped into an interpreter ({', '.join(addresses)[:120] or 'unknown address'})",
        )
    for match in _THEN_RUN.finditer(text):
        name = re.escape(match["name"])
        if re.search(rf"(?:[;&]\s*(?:sudo\s+)?(?:{_SHELLS})\s+(?:-\w+\s+)*{name}|[;&]\s*(?:nohup\s+|sudo\s+)?{name}\b)",
                     match["rest"]):  # fmt: skip
            addresses = _ADDRESS.findall(match.group())
            if addresses and all(_known_installer(a) or _CODE_HOSTS.match(a) for a in addresses):
                continue
            if addresses and all(a.startswith("https://") and not _BARE.match(a) for a in addresses):
                return "odd", "a program is fetched and run"
            return "bad", "a program is fetched over an open connection and run"
    return None


def _all_known(text: str) -> bool:
    addresses = _ADDRESS.findall(text)
    return bool(addresses) and all(_known_installer(address) for address in addresses)


def _known_installer(address: str) -> bool:
    bare = address.split("://", 1)[-1].lower()
    return address.lower().startswith("https://") and any(
        bare.startswith((host.lower() + "/", host.lower() + "?")) or bare == host.lower() for host in INSTALLERS
    )
