"""The job's one operator in Java. Flink's own compiler translates it when the job is submitted, so no other is needed."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from pyflink.common import Types
from pyflink.datastream import DataStream, StreamExecutionEnvironment
from pyflink.datastream.data_stream import KeyedStream
from pyflink.java_gateway import get_gateway
from streamgauge.jobs.cluster.resources import operator_source

SHARD_AND_BATCH = Types.ROW_NAMED(["shard", "batch"], [Types.INT(), Types.PRIMITIVE_ARRAY(Types.BYTE())])


def compiled() -> dict[str, bytes]:
    """Content of each class file, by its path in a jar."""
    compiler = get_gateway().jvm.org.codehaus.janino.SimpleCompiler()
    compiler.cook(operator_source().name, get_gateway().jvm.java.io.StringReader(operator_source().read_text("utf-8")))
    return {f"{name.replace('.', '/')}.class": bytes(code) for name, code in compiler.getBytecodes().items()}


def add_jar(env: StreamExecutionEnvironment, folder: Path) -> None:
    """Add the operator to the jars that Flink takes along with the job. The jar must stay in `folder` until the job is handed over."""
    file = folder / "operators.jar"
    with zipfile.ZipFile(file, "w") as jar:
        for name, code in compiled().items():
            jar.writestr(name, code)
    env.add_jars(file.as_uri())


def _keyed_in_java(stream: Any) -> Any:
    """A Java stream of rows, keyed by their first field. `DataStream.key_by` would call Python for every element."""
    return stream.keyBy(get_gateway().jvm.KeyByKeySelector(), Types.ROW([Types.INT()]).get_java_type_info())


def brought_together(rows: DataStream) -> DataStream:
    """The same rows; those of a shard are in one task."""
    in_java: Any = rows._j_data_stream  # noqa: SLF001  PyFlink has no public name for it
    jvm: Any = get_gateway().jvm
    partitioned = _keyed_in_java(in_java).getTransformation()
    # a stream that is not keyed, because Flink would open a state backend for what is keyed
    plain = jvm.org.apache.flink.streaming.api.datastream.DataStream
    return DataStream(plain(in_java.getExecutionEnvironment(), partitioned))


def gathered(rows: DataStream, window: int, columns: int, heartbeats_to: list[int]) -> KeyedStream:
    """The records of a few milliseconds as one batch, keyed by shard.

    Parameters
    ----------
    rows : DataStream
        Rows of shard, position, timestamp, and columns of bytes.
    window : int
        How long records are gathered, in milliseconds. If what follows is slow, it takes longer.
    columns : int
        Number of the columns of bytes.
    heartbeats_to : list of int
        Shards that get a batch without records twice a second, so that time goes on when no event comes.
    """
    gateway = get_gateway()
    shards = gateway.new_array(gateway.jvm.int, len(heartbeats_to))
    for i, shard in enumerate(heartbeats_to):
        shards[i] = shard
    operator = gateway.jvm.io.streamgauge.RecordBatches(window, columns, shards)
    in_java: Any = rows._j_data_stream  # noqa: SLF001  PyFlink has no public name for it
    batches = in_java.transform("batches", SHARD_AND_BATCH.get_java_type_info(), operator).uid("batches")
    return KeyedStream(_keyed_in_java(batches), Types.PRIMITIVE_ARRAY(Types.BYTE()), rows)
