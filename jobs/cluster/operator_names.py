"""Short names of the job's operators, for the Flink UI and for metrics, and the uids by which their state is found.

Flink's SQL names an operator by its class, its table and a number that changes with the plan. It joins the names of all operators of a
task to the name of the task, which metrics have as a label. Its uids have that number, too. With uids of our own, a savepoint restores
into a job with other operators, as other settings may ask for.
"""

from __future__ import annotations

import re
from typing import Any

from pyflink.datastream import StreamExecutionEnvironment
from pyflink.util.java_utils import get_field
from streamgauge.jobs.settings.kafka import TopicSettings

SOURCE = re.compile(r"Source: .*?(\w+)(?:\[\d+\])?")
SINK = re.compile(r"sink (?P<topic>.+?)(?:\[\d+\])?: (?P<part>Writer|Committer)")
NUMBER = re.compile(r"\[\d+\]$")
NAMES = {  # by the name of a table or of an operator without its number
    "event_records": "events",
    "Calc": "columns",
    "ConstraintEnforcer(topic)": "messages",
    "Map": "rows",
    "Map, _stream_key_by_map_operator": "rows",
    "DataStreamToTable": "rows",
    "TableToDataStream": "rows",
}
UIDS = {  # by the short name of a source; that of the events is the same as in release 0.1.0, so its offsets are found
    "events": "1_kafka",
    "control": "control-source",
    "feedback": "feedback-source",
}


def short_name(name: str, description: str, topics: TopicSettings) -> str:
    """The short name of an operator: a source and a sink by what they carry, other operators by what they make.

    Parameters
    ----------
    name, description : str
        Flink's.
    topics : TopicSettings
        A sink is named by the key of its topic, because the names of topics can be long.
    """
    if sink := SINK.fullmatch(name):
        return _key_of(sink["topic"], topics) if sink["part"] == "Writer" else "commit"
    if source := SOURCE.fullmatch(name):
        name = source[1]
    name = NUMBER.sub("", name)
    if checked := re.search(r"NotNullEnforcer\(fields=\[(\w+)\]", description):  # a task of its own, after a union
        name += f"({checked[1]})"
    return NAMES.get(name, name)


def _key_of(topic: str, topics: TopicSettings) -> str:
    """The key of a topic in the settings, with hyphens."""
    return {name: key.replace("_", "-") for key, name in topics.own.items()}[topic]


def sink_uid(name: str, topics: TopicSettings) -> str | None:
    """The uid of a part of a sink, from Flink's name of it; None for other operators."""
    sink = SINK.fullmatch(name)
    return f"{_key_of(sink['topic'], topics)}-{sink['part'].lower()}" if sink else None


def execute_with_short_names(env: StreamExecutionEnvironment, job_name: str, topics: TopicSettings) -> None:
    """Hand a topology to the cluster, as `env.execute_async` does, with short names and lasting uids.

    Parameters
    ----------
    env : StreamExecutionEnvironment
    job_name : str
    topics : TopicSettings
    """
    # Only Flink's graph has all operators, those of a sink included, and it has no public way to name them.
    graph = env._generate_stream_graph(clear_transformations=True, job_name=job_name)  # noqa: SLF001
    name_operators(graph, topics)
    env._j_stream_execution_environment.executeAsync(graph)  # noqa: SLF001


def name_operators(graph: Any, topics: TopicSettings) -> None:
    """Give all operators of Flink's StreamGraph short names, and those of Flink's SQL that have state lasting uids."""
    nodes = {node.getId(): node for node in graph.getStreamNodes().toArray()}
    names = {id_: short_name(n.getOperatorName(), n.getOperatorDescription(), topics) for id_, n in nodes.items()}
    for id_, node in nodes.items():
        name = names[id_]
        uid = sink_uid(node.getOperatorName(), topics) or UIDS.get(name)
        if uid is not None:
            get_field(node.getClass(), "transformationUID").set(node, uid)
        if (
            name == NAMES["DataStreamToTable"] and len(node.getInEdges()) > 1
        ):  # the first operator of a task, after a union
            name = f"all {names[node.getOutEdges()[0].getTargetId()]}"
        get_field(node.getClass(), "operatorName").set(node, name)
        node.setOperatorDescription(name)
