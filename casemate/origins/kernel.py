"""The kernel: batches of addresses to what is said of them, as of one moment.

``pyarrow.RecordBatch -> pyarrow.RecordBatch``: one column of addresses (text or bytes, IPv4 or IPv6, any
of them dictionary-encoded) becomes the same column followed by those of
:data:`casemate.schema.origins.ANSWER`, row by row, all dictionary-encoded with one array of indices: the
answers are few, the addresses many.  An address that cannot be read has an answer in which nothing is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from casemate.engine.protocol import Kernel
from casemate.intel.origins_store import Source, Version, load
from casemate.origins.addresses import parse
from casemate.origins.answers import answer_arrays
from casemate.origins.index import OriginIndex
from casemate.origins.special import own_blocks
from casemate.schema.origins import ANSWER


@dataclass(frozen=True)
class OriginKernel:
    """A picklable description of the kernel.

    Args:
        column: name of the column of addresses.
        versions: what to look up in, and whether each is later than the moment.
        own: own networks (CIDR).
        plain: give columns of the schema itself, as engines want them, instead of dictionary-encoded ones.
    """

    column: str
    versions: tuple[tuple[Version, bool], ...]
    own: tuple[str, ...] = ()
    plain: bool = True

    def build(self) -> Kernel:
        """Load and merge the sources; called once in each worker."""
        sources = [(load(version), later) for version, later in self.versions]
        return kernel_of(index_of(sources, self.own), self.column, plain=self.plain)


def index_of(sources: list[tuple[Source, bool]], own: tuple[str, ...] = ()) -> OriginIndex:
    """An index of sources and own networks."""
    return OriginIndex(sources, own_blocks(own) if own else None)


def kernel_of(index: OriginIndex, column: str, *, plain: bool = False) -> Kernel:
    """The kernel over an index."""
    index.merge()
    arrays = answer_arrays(index.answers)

    def run(batch: pa.RecordBatch) -> pa.RecordBatch:
        addresses = batch.column(column)
        places = pa.array(_numbers(index, addresses), pa.int32())
        encoded = [pa.DictionaryArray.from_arrays(places, arrays[field.name]) for field in ANSWER]
        columns = [one.dictionary.take(places) for one in encoded] if plain else encoded
        return pa.RecordBatch.from_arrays([addresses, *columns], names=[column, *ANSWER.names])

    return run


def _numbers(index: OriginIndex, addresses: pa.Array) -> np.ndarray:
    """The number of each row's answer."""
    if not pa.types.is_dictionary(addresses.type):
        return index.lookup(parse(addresses))
    of_values = index.lookup(parse(addresses.dictionary))
    places = addresses.indices
    if places.null_count:
        there = places.is_valid().to_numpy(zero_copy_only=False)
        return (
            np.where(there, of_values[places.fill_null(0).to_numpy()], 0)
            if len(of_values)
            else np.zeros(len(there), np.int32)
        )
    return of_values[places.to_numpy()]
