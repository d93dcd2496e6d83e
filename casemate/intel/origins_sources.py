"""Publishers of origin data: what each says, where it publishes, by which names its files are known.

The one table of their addresses.  Where a publisher has no fixed address (Microsoft changes it every
week) the address is that of a public copy, and the title says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

KINDS: Mapping[str, str] = {
    # what a source is -> how far its word goes; the order is that of precedence for registrations
    "stated": "a table that somebody wrote: registered country, holder, category",
    "registry": "delegation file of a regional Internet registry",
    "countries": "blocks per registered country, made from the delegation files",
    "database": "an MMDB file: registered country, location, AS, kind of service, as far as its layout says",
    "provider": "ranges that a provider publishes as its own",
    "service": "addresses or AS numbers of VPN, proxy, Tor or hosting services, collected by a third party",
    "warning": "a MISP warning list: says that an indicator is common, registers nothing",
}


@dataclass(frozen=True)
class Publisher:
    """One publisher.

    Args:
        name: of the source in the store.
        title: as people know it.
        kind: one of :data:`KINDS`.
        urls: where it publishes; one version is all of them together.
        category: what a block in a plain list of it is.
        operator: whose ranges they are.
        files: beginnings of the names its files go by elsewhere, lower case, without family and suffix.
    """

    name: str
    title: str
    kind: str
    urls: tuple[str, ...] = ()
    category: str | None = None
    operator: str | None = None
    files: tuple[str, ...] = ()


def _registry(name: str, title: str, url: str) -> Publisher:
    return Publisher(f"rir-{name}", f"{title} delegation file", "registry", (url,), files=(f"delegated-{name}",))


def _cloud(name: str, operator: str, *urls: str, files: tuple[str, ...] = (), title: str | None = None) -> Publisher:
    shown = title or f"ranges published by {operator}"
    return Publisher(name, shown, "provider", urls, "cloud", operator, (name, *files))


RANGES_COPY = "https://raw.githubusercontent.com/lord-alfred/ipranges/main"
X4BNET = "https://raw.githubusercontent.com/X4BNet/lists_vpn/main"
MISP = "https://raw.githubusercontent.com/MISP/misp-warninglists/main/lists"

PUBLISHERS: tuple[Publisher, ...] = (
    _registry("afrinic", "AFRINIC", "https://ftp.afrinic.net/pub/stats/afrinic/delegated-afrinic-extended-latest"),
    _registry("apnic", "APNIC", "https://ftp.apnic.net/stats/apnic/delegated-apnic-extended-latest"),
    _registry("arin", "ARIN", "https://ftp.arin.net/pub/stats/arin/delegated-arin-extended-latest"),
    _registry("lacnic", "LACNIC", "https://ftp.lacnic.net/pub/stats/lacnic/delegated-lacnic-extended-latest"),
    _registry("ripencc", "RIPE NCC", "https://ftp.ripe.net/pub/stats/ripencc/delegated-ripencc-extended-latest"),
    _cloud("amazon", "Amazon", "https://ip-ranges.amazonaws.com/ip-ranges.json", files=("aws", "ip-ranges")),
    _cloud("google", "Google", "https://www.gstatic.com/ipranges/cloud.json", files=("gcp", "googlecloud")),
    _cloud(
        "microsoft",
        "Microsoft",
        f"{RANGES_COPY}/microsoft/ipv4.txt",
        f"{RANGES_COPY}/microsoft/ipv6.txt",
        files=("azure", "servicetags"),
        title="ranges published by Microsoft, copied by lord-alfred/ipranges",
    ),
    _cloud("oracle", "Oracle", "https://docs.oracle.com/en-us/iaas/tools/public_ip_ranges.json"),
    _cloud("digitalocean", "DigitalOcean", "https://digitalocean.com/geo/google.csv"),
    _cloud("linode", "Linode (Akamai)", "https://geoip.linode.com/", files=("akamai",)),
    _cloud("vultr", "Vultr", "https://geofeed.constant.com/?json"),
    _cloud("cloudflare", "Cloudflare", "https://www.cloudflare.com/ips-v4", "https://www.cloudflare.com/ips-v6"),
    _cloud("fastly", "Fastly", "https://api.fastly.com/public-ip-list"),
    _cloud("github", "GitHub", "https://api.github.com/meta"),
    _cloud("openai", "OpenAI", "https://openai.com/gptbot.json", "https://openai.com/chatgpt-user.json"),
    Publisher(
        "x4bnet-vpn",
        "X4BNet list of VPN ranges",
        "service",
        (f"{X4BNET}/output/vpn/ipv4.txt", f"{X4BNET}/output/vpn/ipv6.txt"),
        "vpn",
    ),
    Publisher(
        "x4bnet-datacenter",
        "X4BNet list of data-centre ranges",
        "service",
        (f"{X4BNET}/output/datacenter/ipv4.txt", f"{X4BNET}/output/datacenter/ipv6.txt"),
        "hosting",
    ),
    Publisher("tor", "Tor exit addresses", "service", ("https://check.torproject.org/torbulkexitlist",), "tor", "Tor"),
    *(
        Publisher(f"misp-{name}", f"MISP warning list {name}", "warning", (f"{MISP}/{name}/list.json",))
        for name in (
            "amazon-aws", "google-gcp", "microsoft-azure", "cloudflare", "public-dns-v4", "vpn-ipv4", "vpn-ipv6",
        )
    ),
)  # fmt: skip

WARNING_PROVIDERS: Mapping[str, str] = {
    # MISP warning lists that repeat what a provider publishes -> whose ranges they are
    "amazon-aws": "Amazon",
    "google-gcp": "Google",
    "microsoft-azure": "Microsoft",
    "cloudflare": "Cloudflare",
    "fastly": "Fastly",
    "openai-gptbot": "OpenAI",
}

CATEGORY_WORDS: tuple[tuple[str, str], ...] = (
    # a word in the path of a plain list -> what the list says its addresses are; the first that fits
    ("tor", "tor"),
    ("torbulkexitlist", "tor"),
    ("exit", "tor"),
    ("vpn", "vpn"),
    ("mullvadvpn", "vpn"),
    ("protonvpn", "vpn"),
    ("nordvpn", "vpn"),
    ("expressvpn", "vpn"),
    ("surfshark", "vpn"),
    ("proxy", "proxy"),
    ("proxies", "proxy"),
    ("socks", "proxy"),
    ("datacenter", "hosting"),
    ("datacentre", "hosting"),
    ("datacenters", "hosting"),
    ("hosting", "hosting"),
    ("access", "access network"),
    ("residential", "access network"),
    ("cloud", "cloud"),
)

OPERATORS: Mapping[str, str] = {
    # name of a list -> the service whose addresses it holds
    "mullvadvpn": "Mullvad VPN",
    "mullvad": "Mullvad VPN",
    "pia": "Private Internet Access",
    "protonvpn": "Proton VPN",
    "nordvpn": "NordVPN",
    "expressvpn": "ExpressVPN",
    "surfshark": "Surfshark",
}

WORDS_WITHOUT_MEANING = frozenset(
    {"ipv4", "ipv6", "ip", "ips", "v4", "v6", "aggregated", "merged", "output", "input", "list", "lists", "latest"}
    | {"origins", "origin", "intel", "data", "cloud", "txt", "netset", "ipset", "all", "addresses", "ranges"}
)
"""Words of a path that do not tell one source from another."""


def publisher(name: str) -> Publisher | None:
    """The publisher of that name."""
    return next((one for one in PUBLISHERS if one.name == name), None)


def provider_of_file(stem: str) -> Publisher | None:
    """The cloud provider whose file is named so."""
    word = stem.lower()
    for one in PUBLISHERS:
        if one.kind == "provider" and any(
            word == name or word.startswith((f"{name}-", f"{name}_")) for name in one.files
        ):
            return one
    return None
