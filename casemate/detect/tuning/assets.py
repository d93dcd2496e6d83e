"""Whether a finding names a core asset.

A core asset is named by its texts in ``case.toml``.  A finding names it if its source, target or the target's
service is such a text, ignoring case: as a whole; as the first label of a host name (``DC01`` in
``dc01.lab.internal``); as a network that holds the address; or as whole words inside it (a bucket in a resource's
name, a folder in a path).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from functools import lru_cache

from casemate.settings import Asset

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
REMEMBERED = 100_000


class CoreAssets:
    """The core assets of a case, ready to be looked for."""

    def __init__(self, assets: Sequence[Asset]) -> None:
        self._tests = [(asset.name, *_tests(asset)) for asset in assets]
        self.named = lru_cache(maxsize=REMEMBERED)(self._named)
        """The name of the first asset that a text names, or None."""

    def __bool__(self) -> bool:
        return bool(self._tests)

    def _named(self, text: str) -> str | None:
        lowered = text.lower()
        address = _address(lowered)
        for name, words, networks in self._tests:
            if any(address in network for network in networks if address is not None):
                return name
            if words is not None and words.search(lowered):
                return name
        return None


def _tests(asset: Asset) -> tuple[re.Pattern[str] | None, list[Network]]:
    texts = list(dict.fromkeys(text.lower() for text in (asset.match or (asset.name,)) if text.strip()))
    networks = [network for text in texts if (network := _network(text)) is not None]
    words = [re.escape(text) for text in texts if _network(text) is None]
    # whole words: neither side of the text goes on with a letter, a digit, "-" or "_"
    return re.compile(rf"(?<![\w\-])(?:{'|'.join(words)})(?![\w\-])") if words else None, networks


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.split("%")[0])
    except ValueError:
        return None
