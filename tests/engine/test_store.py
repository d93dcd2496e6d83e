"""The table store: parts, commits, compaction, row hashes."""

from __future__ import annotations

import errno
import multiprocessing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from casemate.engine.batches import stored_batches
from casemate.engine.canonical import canonical_hash
from casemate.engine.compaction import compact
from casemate.engine.files import replace_file
from casemate.engine.parts import (
    empty_columns,
    plain_columns,
    schema_from_json,
    schema_to_json,
    write_part,
    write_parts,
)
from casemate.engine.state import LiveState
from casemate.engine.store import FOLDERS, Store
from casemate.errors import CannotFinish, CaseDamaged
from casemate.schema.attempts import ATTEMPTS
from casemate.schema.findings import FINDINGS, FINDINGS_WITH_RECORDS
from casemate.schema.native import NativeTable

EVENTS = NativeTable("events", ("User", "Message")).schema


class MemoryLedger:
    """A ledger that keeps its lines in a list and can be told to fail."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.fails = False

    def prepare(self, commit: Mapping[str, Any]) -> bytes:
        return orjson.dumps(commit)

    def append(self, line: bytes) -> None:
        if self.fails:
            raise CannotFinish("no space left")
        self.lines.append(line)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    for name in FOLDERS:
        (tmp_path / name).mkdir()
    return Store(tmp_path, LiveState(), MemoryLedger())


def rows(first: int, count: int, **columns: list[Any]) -> pa.RecordBatch:
    numbers = pa.array(range(first, first + count), pa.int64())
    evidence = pa.array(["a" * 64] * count).dictionary_encode()
    fixed = {"evidence": evidence, "record": numbers, "offset": numbers, "length": numbers}
    return pa.record_batch({**fixed, **{name: pa.array(values, pa.string()) for name, values in columns.items()}})


def read(store: Store, table: str) -> pa.Table:
    return pa.concat_tables([pq.ParquetFile(path).read() for path in store.part_paths(table)])


def add(store: Store, table: str, *batches: pa.RecordBatch, schema: pa.Schema = EVENTS) -> None:
    stage = store.stage()
    stage.write(table, schema, batches)
    store.commit(stage)


def test_rows_come_back_as_they_went_in_with_missing_columns_null(store: Store) -> None:
    add(store, "events", rows(1, 2, User=["ann", None]), rows(3, 1, Message=["hello"]))
    table = read(store, "events")
    assert table.schema.equals(EVENTS)
    assert table.column("record").to_pylist() == [1, 2, 3]
    assert table.column("User").to_pylist() == ["ann", None, None]
    assert table.column("Message").to_pylist() == [None, None, "hello"]


def test_an_unknown_or_missing_required_column_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="Nonsense"):
        add(store, "events", rows(1, 1, Nonsense=["x"]))
    with pytest.raises(ValueError, match="evidence"):
        add(store, "events", rows(1, 1).drop_columns(["evidence"]))
    assert store.tables() == ()


def test_what_is_not_committed_is_not_live_and_is_cleaned_up(store: Store) -> None:
    stage = store.stage()
    stage.write("events", EVENTS, [rows(1, 5)])
    assert store.live_parts("events") == []
    (store.root / "tables" / "events").mkdir()
    (store.root / "tables" / "events" / "part-000009-000.parquet").write_bytes(b"half")
    assert store.clean() == ["tables/events/part-000009-000.parquet"]
    assert list((store.root / "staging").iterdir()) == []


def test_a_failed_commit_changes_nothing_and_can_be_repeated(store: Store) -> None:
    ledger = MemoryLedger()
    ledger.fails = True
    store._ledger = ledger
    stage = store.stage()
    stage.write("events", EVENTS, [rows(1, 5)])
    with pytest.raises(CannotFinish):
        store.commit(stage)
    assert store.tables() == ()
    assert list((store.root / "tables").glob("*/*")) == []
    ledger.fails = False
    store.commit(stage)
    assert read(store, "events").num_rows == 5


@pytest.mark.parametrize("failing", ["manifest", "part"])
def test_a_commit_that_is_true_does_not_fail_when_it_cannot_be_tidied_up(
    store: Store, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    add(store, "events", rows(1, 3))
    old = store.live_parts("events")
    store.commit(remove=old)

    def full(*_given: Any, **_more: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = (store.root / "manifest").read_bytes()
    with monkeypatch.context() as patched:
        if failing == "manifest":
            patched.setattr("casemate.engine.store.replace_file", _only_manifest(full))
        else:
            patched.setattr(Path, "unlink", _only_parts(full))
        add(store, "events", rows(10, 2))
    assert isinstance(store._ledger, MemoryLedger)
    assert len(store._ledger.lines) == 3
    assert read(store, "events").column("record").to_pylist() == [10, 11]
    assert (store.root / "manifest").read_bytes() == before
    assert [file.name for file in (store.root / "staging").glob("*/*")] == ["intent"]  # it says why, to `verify`
    add(store, "events", rows(20, 2))
    assert read(store, "events").num_rows == 4
    assert (store.root / "manifest").read_bytes() == store.state.manifest()
    assert not list((store.root / "staging").iterdir())
    assert not (store.root / old[0].path).exists()


def _only_parts(fail: Any) -> Any:
    unlink = Path.unlink

    def unlinked(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".parquet":
            fail()
        unlink(path, missing_ok)

    return unlinked


def _only_manifest(fail: Any) -> Any:
    def replaced(path: Path, content: bytes, *, durable: bool = True) -> None:
        if path.name == "manifest":
            fail()
        replace_file(path, content, durable=durable)

    return replaced


def test_a_commit_replaces_parts_and_an_open_one_stays_readable(store: Store) -> None:
    add(store, "events", rows(1, 3))
    old = store.live_parts("events")
    reader = pq.ParquetFile(store.part_paths("events")[0])
    stage = store.stage()
    stage.write("events", EVENTS, [rows(10, 4)])
    store.commit(stage, remove=old)
    assert read(store, "events").column("record").to_pylist() == [10, 11, 12, 13]
    assert (store.root / old[0].path).exists()  # until the next commit, lest the last line be torn
    assert store.clean() == []
    store.commit()
    assert not (store.root / old[0].path).exists()
    assert reader.read().num_rows == 3


def test_state_folded_from_the_ledger_is_the_live_state(store: Store) -> None:
    add(store, "events", rows(1, 3))
    add(store, "findings", schema=FINDINGS)
    add(store, "events", rows(4, 3))
    compact(store, "events", most={1 << 20: 1})
    assert isinstance(store._ledger, MemoryLedger)
    folded = LiveState()
    for line in store._ledger.lines:
        folded.apply(orjson.loads(line))
    assert folded.parts == store.state.parts
    assert folded.manifest() == store.state.manifest() == (store.root / "manifest").read_bytes()


def test_a_schema_that_grew_keeps_older_parts(store: Store) -> None:
    add(store, "events", rows(1, 2, User=["ann", "bob"]))
    grown = NativeTable("events", ("User", "Host")).schema
    add(store, "events", rows(3, 1, Host=["h1"]), schema=grown)
    schema = store.schema("events")
    assert schema is not None
    assert schema.names == [*grown.names, "Message"]
    before = store.row_hash("events")
    assert compact(store, "events", most={1 << 20: 1})
    assert store.row_hash("events") == before
    assert read(store, "events").column("Host").to_pylist() == [None, None, "h1"]


def test_compaction_joins_small_parts_in_order(store: Store) -> None:
    for number in range(40):
        add(store, "events", rows(number * 10, 10, User=[f"u{number}"] * 10))
    before = store.row_hash("events")
    assert compact(store, "events")
    assert len(store.live_parts("events")) == 1
    assert read(store, "events").column("record").to_pylist() == list(range(400))
    assert store.row_hash("events") == before
    assert not compact(store, "events")


def test_compaction_joins_the_shortest_parts_and_leaves_longer_ones_as_long_as_they_are_few(store: Store) -> None:
    add(store, "events", rows(0, 20_000, User=[f"user {number}" for number in range(20_000)]))
    long = max(part.bytes for part in store.live_parts("events"))
    for number in range(1, 4):
        add(store, "events", rows(20_000 * number, 10))
    before = store.row_hash("events")
    assert not compact(store, "events", most={long: 3, long + 1: 4})
    assert compact(store, "events", most={long: 2, long + 1: 3})
    assert sorted(part.rows for part in store.live_parts("events")) == [30, 20_000]
    assert compact(store, "events", most={long: 2, long + 1: 1})
    assert [part.rows for part in store.live_parts("events")] == [20_030]
    assert store.row_hash("events") == before


def test_many_batches_of_few_rows_do_not_wait_for_each_other(tmp_path: Path) -> None:
    (part,) = write_parts(tmp_path, "events", EVENTS, (rows(number, 1) for number in range(600)))
    assert part.rows == 600
    assert pq.ParquetFile(part.file).metadata.num_row_groups == 3


def test_long_tables_are_cut_into_several_parts(tmp_path: Path) -> None:
    batches = (rows(number * 20_000, 20_000) for number in range(6))
    parts = write_parts(tmp_path, "events", EVENTS, batches, part_bytes=50_000)
    assert len(parts) > 1
    assert sum(part.rows for part in parts) == 120_000
    assert len({part.file for part in parts}) == len(parts)


def test_nothing_is_left_of_a_part_whose_rows_fail(tmp_path: Path) -> None:
    def failing() -> Iterator[pa.RecordBatch]:
        yield rows(1, 40_000)
        raise RuntimeError("reader broke")

    with pytest.raises(RuntimeError, match="reader broke"):
        write_parts(tmp_path, "events", EVENTS, failing())
    assert list(tmp_path.iterdir()) == []


def test_worker_processes_write_into_the_stage(store: Store) -> None:
    stage = store.stage()
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        work = [(str(stage.folder), "events", EVENTS, [rows(first, 10)]) for first in (0, 10, 20)]
        stage.add_parts(pool.starmap(write_part, work))
    store.commit(stage)
    assert sorted(read(store, "events").column("record").to_pylist()) == list(range(30))


@pytest.mark.parametrize("schema", [EVENTS, FINDINGS, FINDINGS_WITH_RECORDS, ATTEMPTS], ids=["n", "f", "r", "a"])
def test_schemas_survive_json(schema: pa.Schema) -> None:
    assert schema_from_json(orjson.loads(orjson.dumps(schema_to_json(schema)))).equals(schema)


@pytest.mark.parametrize(
    "change",
    [
        {"path": "tables/events/../../etc/part-1.parquet"},
        {"path": "/etc/passwd"},
        {"path": "tables/other/part-1.parquet"},
        {"path": "tables/events/part-1.parquet\n"},
        {"rows": -1},
        {"sha256": "x"},
        {"schema": "unknown"},
        {"path": None},
    ],
)
def test_a_hostile_commit_is_refused(store: Store, change: dict[str, Any]) -> None:
    add(store, "events", rows(1, 1))
    assert isinstance(store._ledger, MemoryLedger)
    commit = orjson.loads(store._ledger.lines[0])
    commit["added"][0].update(change)
    with pytest.raises(CaseDamaged):
        LiveState().apply(commit)


def test_a_part_behind_a_link_is_not_opened(store: Store, tmp_path: Path) -> None:
    add(store, "events", rows(1, 1))
    path = store.part_paths("events")[0]
    elsewhere = path.parent.rename(tmp_path / "elsewhere")
    path.parent.symlink_to(elsewhere)
    with pytest.raises(CaseDamaged, match="link"):
        store.part_paths("events")


values = st.dictionaries(st.sampled_from("abc"), st.text(max_size=3) | st.none(), max_size=3)


@settings(max_examples=60, deadline=None)
@given(st.lists(values, max_size=6), st.randoms(use_true_random=False))
def test_row_hash_ignores_order_and_storage_and_nothing_else(rows: list[dict[str, str | None]], random: Any) -> None:
    def batches(rows: list[dict[str, str | None]], split: int) -> list[pa.RecordBatch]:
        schema = pa.schema([(name, pa.string()) for name in "abc"])
        return [pa.RecordBatch.from_pylist(piece, schema=schema) for piece in (rows[:split], rows[split:])]

    shuffled = random.sample(rows, len(rows))
    encoded = [
        pa.record_batch({name: batch.column(name).dictionary_encode() for name in "cba"})
        for batch in batches(shuffled, len(rows) // 2)
    ]
    expected = canonical_hash(batches(rows, 0))
    assert canonical_hash(encoded) == expected
    assert canonical_hash(batches([*rows, {"a": "x"}], 0)) != expected
    if rows:
        assert canonical_hash(batches([*rows, rows[0]], 0)) != expected
        changed = [{**rows[0], "b": (rows[0].get("b") or "") + "!"}, *rows[1:]]
        assert canonical_hash(batches(changed, 0)) != expected


def test_row_hash_sees_values_that_changed_rows() -> None:
    schema = pa.schema([("n", pa.int64()), ("t", pa.timestamp("us", tz="UTC")), ("l", pa.list_(pa.string()))])
    one = pa.RecordBatch.from_pylist([{"n": 1, "l": ["a"]}, {"n": 2, "t": 5, "l": ["b"]}], schema=schema)
    other = pa.RecordBatch.from_pylist([{"n": 2, "l": ["a"]}, {"n": 1, "t": 5, "l": ["b"]}], schema=schema)
    assert canonical_hash([one]) != canonical_hash([other])


def test_columns_without_values_come_out_null(tmp_path: Path) -> None:
    schema = pa.schema([("evidence", pa.string()), ("name", pa.string()), ("count", pa.int64())])
    some = pa.RecordBatch.from_pydict({"evidence": ["a", "b"]})
    other = pa.RecordBatch.from_pydict({"evidence": ["c"], "count": [3]})
    full, empty = (write_part(tmp_path, "t", schema, batches) for batches in ([some, other], [some]))
    assert [empty_columns(pq.ParquetFile(part.file)) for part in (full, empty)] == [{"name"}, {"name", "count"}]
    parts = [Path(full.file), Path(empty.file)]
    for columns in (None, ["count"], ["name"]):
        rows = pa.Table.from_batches(stored_batches(parts, schema, columns)).to_pydict()
        expected = {"evidence": list("abcab"), "name": [None] * 5, "count": [None, None, 3, None, None]}
        assert rows == {name: expected[name] for name in columns or schema.names}


def message(number: int) -> str:
    return f"process {number} began, and said so in as many words as it takes to make a long line of text: {number * 7}"


def test_long_texts_that_are_nearly_all_others_are_stored_plain_and_come_out_the_same(tmp_path: Path) -> None:
    texts = [None if number % 5 == 0 else message(number) for number in range(3000)]
    users = [f"user {number % 3}" for number in range(3000)]
    plain = rows(0, 3000, Message=texts, User=users)
    coded = plain.set_column(
        plain.schema.get_field_index("Message"), "Message", plain.column("Message").dictionary_encode()
    )
    few = rows(3000, 4, Message=["same", "same", None, message(1)], User=[None, "a", "a", None])
    expected = [*texts, *few.column("Message").to_pylist()]
    for first in (plain, coded):
        for batches in ([first, few], [few, first], [first.slice(0, 2000), few, first.slice(2000)]):
            part = write_part(tmp_path, "events", EVENTS, batches)
            assert plain_columns(pq.read_metadata(part.file)) == {"Message"}
            read = pa.Table.from_batches(stored_batches([Path(part.file)], EVENTS, rows=700)).sort_by("record")
            assert read["Message"].type == read["User"].type == pa.dictionary(pa.int32(), pa.string())
            assert read["Message"].to_pylist() == expected
            assert read["User"].to_pylist() == [*users, None, "a", "a", None]


@pytest.mark.parametrize(
    ("texts", "stored"),
    [
        ([message(number) for number in range(2000)], {"Message"}),
        ([message(number % 900) for number in range(2000)], set()),  # half of them are there twice and more
        ([f"m{number}" for number in range(2000)], set()),  # short
        ([message(number) for number in range(500)], set()),  # too few to tell
        ([None] * 2000, set()),
    ],
)
def test_only_long_texts_that_are_nearly_all_others_are_stored_plain(
    tmp_path: Path, texts: list[str | None], stored: set[str]
) -> None:
    batch = rows(0, len(texts), Message=texts)
    coded = batch.set_column(
        batch.schema.get_field_index("Message"), "Message", batch.column("Message").dictionary_encode()
    )
    part = write_part(tmp_path, "events", EVENTS, [coded])
    assert plain_columns(pq.read_metadata(part.file)) == stored


def test_compaction_keeps_plain_texts(store: Store) -> None:
    for number in range(2):
        texts = [message(text + 1500 * number) for text in range(1500)]
        add(store, "events", rows(1500 * number, 1500, Message=texts))
    before = store.row_hash("events")
    assert compact(store, "events", most={1 << 30: 1})
    (path,) = store.part_paths("events")
    assert plain_columns(pq.read_metadata(path)) == {"Message"}
    assert store.row_hash("events") == before
