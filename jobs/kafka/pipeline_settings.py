"""Settings of the scoring pipeline as the running job uses them, with the promise of one partition."""

from __future__ import annotations

from streamgauge.jobs.kafka import clients
from streamgauge.jobs.kafka.event_topics import named, places
from streamgauge.jobs.settings.loading import Settings
from streamgauge.models.errors import ClusterError
from streamgauge.udfs.settings.pipeline import PipelineSettings


def pipeline_of(settings: Settings) -> PipelineSettings:
    """The part of the settings that the pipeline uses.

    A promise for the whole stream is divided by the number of partitions of all topics of events that exist now.

    Raises
    ------
    ClusterError
        The broker does not answer, or no topic of events exists. A pattern may match nothing yet.
    """
    if settings.decide.threshold is not None or settings.decide.false_incidents.each_entity:
        return settings.pipeline()
    if settings.batch.sharding == "entity":
        return settings.pipeline(settings.batch.shards)
    kafka = settings.kafka
    with clients.consumer(kafka, f"look at the {named(kafka)}") as consumer:
        partitions = len(places(consumer, kafka))
    if not partitions and not kafka.topics.event_topics.pattern:
        raise ClusterError(f"there is no {named(kafka)} at {kafka.bootstrap} to share decide.promise among")
    return settings.pipeline(max(partitions, 1))
