"""What a decoder looks for, found for all decoders of a form in one pass.

A Hyperscan database per form says which decoders could find anything in a text, and for some of them where;
most texts hold nothing and cost one scan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import hyperscan

from casemate.decode.model import Budget, Piece

Find = Callable[[str, Budget, Sequence[int]], Iterator[Piece]]
MOST_PLACES = 20_000
"""Places given to one decoder for one text; beyond these its tries are long spent."""
TOGETHER = 8
"""Signs in one database: more take longer to compile than they save in scanning."""
LETTERS = hyperscan.HS_FLAG_CASELESS | hyperscan.HS_FLAG_DOTALL


@dataclass(frozen=True, eq=False)
class Decoder:
    """One way in which text is encoded.

    Args:
        find: yields what it finds in a text, given the places.
        needs: expressions (ignoring case) all of which must be found for it to find anything.
        at: an expression that is found once at each place of interest: `find` is given the ends; None if it
            looks for itself.
    """

    find: Find
    needs: tuple[str, ...] = ()
    at: str | None = None


class Signs:
    """The signs of some decoders."""

    def __init__(self, decoders: tuple[Decoder, ...]) -> None:
        self._decoders = decoders
        self._owners: list[tuple[int, int]] = []
        grouped: list[list[tuple[int, str, int]]] = [[]]  # number of the sign, expression, flags
        located: list[tuple[int, str, int]] = []
        for number, decoder in enumerate(decoders):
            for place, sign in enumerate(decoder.needs):
                if len(grouped[-1]) == TOGETHER:
                    grouped.append([])
                grouped[-1].append((len(self._owners), sign, LETTERS | hyperscan.HS_FLAG_SINGLEMATCH))
                self._owners.append((number, place))
            if decoder.at is not None:
                located.append((len(self._owners), decoder.at, LETTERS))
                self._owners.append((number, -1))
        self._databases = [_database(signs) for signs in (*grouped, located) if signs]

    def found(self, text: str) -> list[tuple[Decoder, list[int]]]:
        """The decoders that may find something in a text, in their order, and the places where."""
        held: dict[int, set[int]] = {}
        places: dict[int, set[int]] = {}
        owners = self._owners

        def seen(number: int, _start: int, end: int, *_: object) -> None:
            decoder, place = owners[number]
            if place >= 0:
                held.setdefault(decoder, set()).add(place)
            elif len(found := places.setdefault(decoder, set())) < MOST_PLACES:
                found.add(end)

        # one byte per character, so that places are places in the text; no sign asks for more than ASCII
        data = text.encode("latin-1", "replace")
        for database in self._databases:
            database.scan(data, match_event_handler=seen)
        return [
            (decoder, sorted(places.get(number, ())))
            for number, decoder in enumerate(self._decoders)
            if len(held.get(number, ())) == len(decoder.needs) and (decoder.at is None or number in places)
        ]


def _database(signs: list[tuple[int, str, int]]) -> hyperscan.Database:
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    numbers, expressions, flags = zip(*signs, strict=True)
    database.compile(
        expressions=[expression.encode() for expression in expressions], ids=list(numbers), flags=list(flags)
    )
    return database


@lru_cache(maxsize=32)
def signs_of(decoders: tuple[Decoder, ...]) -> Signs:
    """The signs of some decoders, compiled once in each process."""
    return Signs(decoders)
