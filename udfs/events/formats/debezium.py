"""Debezium's change events: with their envelope, or as ExtractNewRecordState unwraps them."""

from __future__ import annotations

from typing import Any

import msgspec
from streamgauge.udfs.events.formats.mongodb import plain_document
from streamgauge.udfs.events.formats.record import Record, bad_value
from streamgauge.udfs.events.records import UnreadableError

_ROWS = frozenset({"c", "u", "r"})
_NO_ROWS = frozenset({"t", "m"})  # truncated table, message
OPERATIONS = _ROWS | _NO_ROWS | {"d"}
_ENVELOPE = {"before", "after", "source", "op", "ts_ms", "ts_us", "ts_ns", "transaction"}
# What add.fields copies from the source beside the names of database and table: positions that grow, and times.
# fmt: off
_BOOKKEEPING = {
    "deleted", "op", "lsn", "xmin", "txId", "ts_ms", "ts_us", "ts_ns", "pos", "row", "file", "gtid", "server_id",
    "thread", "scn", "commit_scn", "redo_thread", "rs_id", "change_lsn", "commit_lsn", "event_serial_no", "sequence",
    "snapshot", "version", "connector", "ord", "tord", "h", "stxnid", "wallTime",
}
# fmt: on
_OWN_SCHEMAS = ("io.debezium.connector.", "io.debezium.heartbeat")  # heartbeats, transactions, changes of tables
_json = msgspec.json.Decoder()


def fits(document: dict[str, Any]) -> bool:
    """Whether a document is Debezium's, by its shape alone.

    A change has an op of one letter that Debezium uses, and a source that names its connector; or both before and after, of which
    one is an object, and no keys that Debezium does not write (Flink writes changes so, without a source). Others: a change of a
    table (tableChanges with such a source), a transaction (data_collections with status BEGIN or END), a row with __deleted or
    __op. An ordinary event may have one of these keys, but not these values together.
    """
    operation, source = document.get("op"), document.get("source")
    named = isinstance(source, dict) and isinstance(source.get("connector"), str)
    if isinstance(operation, str) and operation in OPERATIONS:
        return named or (
            "before" in document
            and "after" in document
            and (isinstance(document["after"], dict) or isinstance(document["before"], dict))
            and document.keys() <= _ENVELOPE
        )
    return (named and "tableChanges" in document) or is_row(document) or _is_transaction(document)


def accepts(document: dict[str, Any]) -> bool:
    """Whether a document can be read if the settings say that it is Debezium's."""
    operation = document.get("op")
    return (
        fits(document)
        or (isinstance(operation, str) and operation in OPERATIONS and ("after" in document or "before" in document))
        or document.keys() == {"ts_ms"}  # a heartbeat
    )


def is_row(document: dict[str, Any]) -> bool:
    """Whether a document is a row without its envelope, with a mark that Debezium leaves."""
    deleted, operation = document.get("__deleted"), document.get("__op")
    return (isinstance(deleted, bool | str) and deleted in (True, False, "true", "false")) or (
        isinstance(operation, str) and operation in OPERATIONS
    )


def is_own_message(schema_name: str) -> bool:
    """Whether a schema is that of a message in which Debezium speaks of itself, such as a heartbeat."""
    return schema_name.startswith(_OWN_SCHEMAS)


def read(document: dict[str, Any], record: Record, place: str) -> list[dict[str, Any]]:
    """Read a change.

    Returns
    -------
    list of dict
        The row after the change, with the time of the change in the database. Deleted rows follow the setting. Truncated tables,
        messages, heartbeats, transactions and changes of tables give none.

    Raises
    ------
    UnreadableError
        no_row: the change does not hold the row. bad_value: the row is no object.
    """
    operation = document.get("op")
    if isinstance(operation, str) and operation in OPERATIONS and not is_row(document):
        return _change(document, operation, record, place)
    return _row_alone(document, record) if is_row(document) else []


def _change(document: dict[str, Any], operation: str, record: Record, place: str) -> list[dict[str, Any]]:
    if operation in _NO_ROWS or (operation == "d" and record.how.deletes == "skip"):
        return []
    side = "before" if operation == "d" else "after"
    source = document.get("source")
    if not isinstance(source, dict):
        source = {}
    row = _row(document.get(side), source, place + side)
    if row is None:
        remedy = "REPLICA IDENTITY FULL" if operation == "d" else "capture.mode = change_streams_update_full"
        raise UnreadableError(
            "no_row", f"a Debezium change with op {operation} has no {side}: set {remedy} at its source"
        )
    return [_finished(row, operation == "d", _epoch(source) or _epoch(document), record)]


def _row(value: Any, source: dict[str, Any], place: str) -> dict[str, Any] | None:
    """A row as a new object. MongoDB's connector writes it as text."""
    text = isinstance(value, str)
    if text:
        try:
            value = _json.decode(value)
        except (ValueError, RecursionError):
            raise bad_value(place, value, "an object, or JSON of an object, is allowed") from None
    if value is None:
        return None
    if not isinstance(value, dict):
        raise bad_value(place, value, "an object is allowed")
    return plain_document(value) if text or source.get("connector") == "mongodb" else dict(value)


def _row_alone(document: dict[str, Any], record: Record) -> list[dict[str, Any]]:
    deleted = document.get("__deleted") in (True, "true") or document.get("__op") == "d"
    if document.get("__op") in ("t", "m") or (deleted and record.how.deletes == "skip"):
        return []
    row = {
        key: value
        for key, value in document.items()
        if not (key.startswith("__") and key[2:].removeprefix("source_") in _BOOKKEEPING)
    }
    times = (document.get(name) for name in ("__source_ts_ms", "__ts_ms"))
    return [_finished(row, deleted, next(filter(_is_epoch, times), None), record)]


def _finished(row: dict[str, Any], deleted: bool, time: Any, record: Record) -> dict[str, Any]:
    record.add_event(len(row) + 2)
    if deleted:
        row.setdefault("op", "d")
    return record.with_time(row, time)


def _epoch(holder: dict[str, Any]) -> int | None:
    time: Any = holder.get("ts_ms")
    return time if _is_epoch(time) else None


def _is_epoch(time: Any) -> bool:
    """Whether it is a time: old connectors write 0 while they take a snapshot."""
    return isinstance(time, int) and not isinstance(time, bool) and time > 0


def _is_transaction(document: dict[str, Any]) -> bool:
    return "data_collections" in document and document.get("status") in ("BEGIN", "END")
