"""Settings of the scoring pipeline as the running job uses them, with the promise of one partition."""

from __future__ import annotations

from streamgauge.jobs.kafka.topics import partitions_of
from streamgauge.jobs.settings.loading import Settings
from streamgauge.models.errors import ClusterError
from streamgauge.udfs.settings.pipeline import PipelineSettings


def pipeline_of(settings: Settings) -> PipelineSettings:
    """The part of the settings that the pipeline uses. A promise for the whole stream is divided by the number of partitions.

    Raises
    ------
    ClusterError
        The broker does not answer, or there is no topic of events.
    """
    if settings.decide.threshold is not None or settings.decide.false_incidents.each_entity:
        return settings.pipeline()
    if settings.batch.sharding == "entity":
        return settings.pipeline(settings.batch.shards)
    kafka, topic = settings.kafka, settings.kafka.topics.events
    partitions = partitions_of(kafka, topic)
    if not partitions:
        raise ClusterError(f"there is no topic {topic!r} at {kafka.bootstrap} to share decide.promise among")
    return settings.pipeline(len(partitions))
