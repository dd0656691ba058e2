from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListIncidentsRequest(_message.Message):
    __slots__ = ("state", "entity", "kind", "severity", "since", "until", "limit", "cursor")
    STATE_FIELD_NUMBER: _ClassVar[int]
    ENTITY_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    state: str
    entity: str
    kind: str
    severity: str
    since: _timestamp_pb2.Timestamp
    until: _timestamp_pb2.Timestamp
    limit: int
    cursor: str
    def __init__(self, state: _Optional[str] = ..., entity: _Optional[str] = ..., kind: _Optional[str] = ..., severity: _Optional[str] = ..., since: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., until: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., limit: _Optional[int] = ..., cursor: _Optional[str] = ...) -> None: ...

class Incidents(_message.Message):
    __slots__ = ("incidents", "next")
    INCIDENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    incidents: _containers.RepeatedCompositeFieldContainer[Incident]
    next: str
    def __init__(self, incidents: _Optional[_Iterable[_Union[Incident, _Mapping]]] = ..., next: _Optional[str] = ...) -> None: ...

class Incident(_message.Message):
    __slots__ = ("alert_id", "entity", "kind", "severity", "state", "open", "opened", "changed", "field", "score", "confidence", "channel", "actual", "expected", "group")
    ALERT_ID_FIELD_NUMBER: _ClassVar[int]
    ENTITY_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    OPENED_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    ACTUAL_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    alert_id: str
    entity: str
    kind: str
    severity: str
    state: str
    open: bool
    opened: _timestamp_pb2.Timestamp
    changed: _timestamp_pb2.Timestamp
    field: str
    score: float
    confidence: float
    channel: str
    actual: _struct_pb2.Value
    expected: float
    group: str
    def __init__(self, alert_id: _Optional[str] = ..., entity: _Optional[str] = ..., kind: _Optional[str] = ..., severity: _Optional[str] = ..., state: _Optional[str] = ..., open: bool = ..., opened: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., changed: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., field: _Optional[str] = ..., score: _Optional[float] = ..., confidence: _Optional[float] = ..., channel: _Optional[str] = ..., actual: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., expected: _Optional[float] = ..., group: _Optional[str] = ...) -> None: ...

class GetIncidentRequest(_message.Message):
    __slots__ = ("alert_id", "include")
    ALERT_ID_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_FIELD_NUMBER: _ClassVar[int]
    alert_id: str
    include: str
    def __init__(self, alert_id: _Optional[str] = ..., include: _Optional[str] = ...) -> None: ...

class WholeIncident(_message.Message):
    __slots__ = ("incident", "changes", "feedback", "similar", "explanation", "series")
    INCIDENT_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    FEEDBACK_FIELD_NUMBER: _ClassVar[int]
    SIMILAR_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    SERIES_FIELD_NUMBER: _ClassVar[int]
    incident: Incident
    changes: _containers.RepeatedCompositeFieldContainer[Change]
    feedback: _containers.RepeatedCompositeFieldContainer[Said]
    similar: _containers.RepeatedCompositeFieldContainer[Incident]
    explanation: Explanation
    series: SeriesAround
    def __init__(self, incident: _Optional[_Union[Incident, _Mapping]] = ..., changes: _Optional[_Iterable[_Union[Change, _Mapping]]] = ..., feedback: _Optional[_Iterable[_Union[Said, _Mapping]]] = ..., similar: _Optional[_Iterable[_Union[Incident, _Mapping]]] = ..., explanation: _Optional[_Union[Explanation, _Mapping]] = ..., series: _Optional[_Union[SeriesAround, _Mapping]] = ...) -> None: ...

class Explanation(_message.Message):
    __slots__ = ("fields", "tail_probability", "threshold", "anomalous_events", "rules", "agreed", "disagreed")
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    TAIL_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    ANOMALOUS_EVENTS_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    AGREED_FIELD_NUMBER: _ClassVar[int]
    DISAGREED_FIELD_NUMBER: _ClassVar[int]
    fields: _containers.RepeatedCompositeFieldContainer[ExplainedField]
    tail_probability: float
    threshold: float
    anomalous_events: int
    rules: _containers.RepeatedScalarFieldContainer[str]
    agreed: _containers.RepeatedScalarFieldContainer[str]
    disagreed: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, fields: _Optional[_Iterable[_Union[ExplainedField, _Mapping]]] = ..., tail_probability: _Optional[float] = ..., threshold: _Optional[float] = ..., anomalous_events: _Optional[int] = ..., rules: _Optional[_Iterable[str]] = ..., agreed: _Optional[_Iterable[str]] = ..., disagreed: _Optional[_Iterable[str]] = ...) -> None: ...

class ExplainedField(_message.Message):
    __slots__ = ("field", "share", "actual", "expected")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    ACTUAL_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    field: str
    share: float
    actual: _struct_pb2.Value
    expected: float
    def __init__(self, field: _Optional[str] = ..., share: _Optional[float] = ..., actual: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., expected: _Optional[float] = ...) -> None: ...

class SeriesAround(_message.Message):
    __slots__ = ("field", "began", "ended", "expected", "values", "peers", "missing")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    BEGAN_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    PEERS_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    field: str
    began: _timestamp_pb2.Timestamp
    ended: _timestamp_pb2.Timestamp
    expected: float
    values: _containers.RepeatedCompositeFieldContainer[Value]
    peers: _containers.RepeatedCompositeFieldContainer[PeerValues]
    missing: str
    def __init__(self, field: _Optional[str] = ..., began: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., ended: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., expected: _Optional[float] = ..., values: _Optional[_Iterable[_Union[Value, _Mapping]]] = ..., peers: _Optional[_Iterable[_Union[PeerValues, _Mapping]]] = ..., missing: _Optional[str] = ...) -> None: ...

class Value(_message.Message):
    __slots__ = ("time", "value")
    TIME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    value: float
    def __init__(self, time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., value: _Optional[float] = ...) -> None: ...

class PeerValues(_message.Message):
    __slots__ = ("time", "low", "high")
    TIME_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    low: float
    high: float
    def __init__(self, time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., low: _Optional[float] = ..., high: _Optional[float] = ...) -> None: ...

class Change(_message.Message):
    __slots__ = ("number", "state", "time", "data")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    number: int
    state: str
    time: _timestamp_pb2.Timestamp
    data: _struct_pb2.Struct
    def __init__(self, number: _Optional[int] = ..., state: _Optional[str] = ..., time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., data: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class Said(_message.Message):
    __slots__ = ("by", "verdict", "time", "why")
    BY_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    by: str
    verdict: str
    time: _timestamp_pb2.Timestamp
    why: str
    def __init__(self, by: _Optional[str] = ..., verdict: _Optional[str] = ..., time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., why: _Optional[str] = ...) -> None: ...

class GetEntityRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class Entity(_message.Message):
    __slots__ = ("entity", "incidents", "open", "first", "last", "kinds")
    class KindsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    ENTITY_FIELD_NUMBER: _ClassVar[int]
    INCIDENTS_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    entity: str
    incidents: int
    open: int
    first: _timestamp_pb2.Timestamp
    last: _timestamp_pb2.Timestamp
    kinds: _containers.ScalarMap[str, int]
    def __init__(self, entity: _Optional[str] = ..., incidents: _Optional[int] = ..., open: _Optional[int] = ..., first: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., last: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., kinds: _Optional[_Mapping[str, int]] = ...) -> None: ...

class ListScoresRequest(_message.Message):
    __slots__ = ("entity", "since", "until")
    ENTITY_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    entity: str
    since: _timestamp_pb2.Timestamp
    until: _timestamp_pb2.Timestamp
    def __init__(self, entity: _Optional[str] = ..., since: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., until: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class EntityScores(_message.Message):
    __slots__ = ("entity", "threshold", "whole", "scores")
    ENTITY_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    WHOLE_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    entity: str
    threshold: float
    whole: bool
    scores: _containers.RepeatedCompositeFieldContainer[EventScore]
    def __init__(self, entity: _Optional[str] = ..., threshold: _Optional[float] = ..., whole: bool = ..., scores: _Optional[_Iterable[_Union[EventScore, _Mapping]]] = ...) -> None: ...

class EventScore(_message.Message):
    __slots__ = ("time", "score", "tail_probability", "topic", "partition", "offset", "place", "events")
    TIME_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    TAIL_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    score: float
    tail_probability: float
    topic: str
    partition: int
    offset: int
    place: int
    events: int
    def __init__(self, time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., score: _Optional[float] = ..., tail_probability: _Optional[float] = ..., topic: _Optional[str] = ..., partition: _Optional[int] = ..., offset: _Optional[int] = ..., place: _Optional[int] = ..., events: _Optional[int] = ...) -> None: ...

class ListNoticesRequest(_message.Message):
    __slots__ = ("type", "limit")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    type: str
    limit: int
    def __init__(self, type: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class Notices(_message.Message):
    __slots__ = ("notices",)
    NOTICES_FIELD_NUMBER: _ClassVar[int]
    notices: _containers.RepeatedCompositeFieldContainer[Notice]
    def __init__(self, notices: _Optional[_Iterable[_Union[Notice, _Mapping]]] = ...) -> None: ...

class Notice(_message.Message):
    __slots__ = ("id", "type", "time", "data")
    ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    id: str
    type: str
    time: _timestamp_pb2.Timestamp
    data: _struct_pb2.Struct
    def __init__(self, id: _Optional[str] = ..., type: _Optional[str] = ..., time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., data: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class GetQualityRequest(_message.Message):
    __slots__ = ("weeks",)
    WEEKS_FIELD_NUMBER: _ClassVar[int]
    weeks: int
    def __init__(self, weeks: _Optional[int] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GiveFeedbackRequest(_message.Message):
    __slots__ = ("alert_id", "verdict", "until", "why")
    ALERT_ID_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    alert_id: str
    verdict: str
    until: _timestamp_pb2.Timestamp
    why: str
    def __init__(self, alert_id: _Optional[str] = ..., verdict: _Optional[str] = ..., until: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., why: _Optional[str] = ...) -> None: ...

class Feedback(_message.Message):
    __slots__ = ("alert_id", "verdict", "by")
    ALERT_ID_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    alert_id: str
    verdict: str
    by: str
    def __init__(self, alert_id: _Optional[str] = ..., verdict: _Optional[str] = ..., by: _Optional[str] = ...) -> None: ...

class ScoreRequest(_message.Message):
    __slots__ = ("events", "learn")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    LEARN_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedScalarFieldContainer[bytes]
    learn: bool
    def __init__(self, events: _Optional[_Iterable[bytes]] = ..., learn: bool = ...) -> None: ...

class Scores(_message.Message):
    __slots__ = ("events", "replayed", "warm")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    WARM_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[ScoredEvent]
    replayed: int
    warm: bool
    def __init__(self, events: _Optional[_Iterable[_Union[ScoredEvent, _Mapping]]] = ..., replayed: _Optional[int] = ..., warm: bool = ...) -> None: ...

class ScoredEvent(_message.Message):
    __slots__ = ("entity", "known", "outcome", "score", "tail_probability", "anomalous", "opens", "kind", "severity", "field", "actual", "expected", "reason", "message", "learned", "record")
    ENTITY_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    TAIL_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    ANOMALOUS_FIELD_NUMBER: _ClassVar[int]
    OPENS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    ACTUAL_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    LEARNED_FIELD_NUMBER: _ClassVar[int]
    RECORD_FIELD_NUMBER: _ClassVar[int]
    entity: str
    known: int
    outcome: str
    score: float
    tail_probability: float
    anomalous: bool
    opens: bool
    kind: str
    severity: str
    field: str
    actual: _struct_pb2.Value
    expected: float
    reason: str
    message: str
    learned: bool
    record: int
    def __init__(self, entity: _Optional[str] = ..., known: _Optional[int] = ..., outcome: _Optional[str] = ..., score: _Optional[float] = ..., tail_probability: _Optional[float] = ..., anomalous: bool = ..., opens: bool = ..., kind: _Optional[str] = ..., severity: _Optional[str] = ..., field: _Optional[str] = ..., actual: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., expected: _Optional[float] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., learned: bool = ..., record: _Optional[int] = ...) -> None: ...

class WatchChangesRequest(_message.Message):
    __slots__ = ("after",)
    AFTER_FIELD_NUMBER: _ClassVar[int]
    after: int
    def __init__(self, after: _Optional[int] = ...) -> None: ...

class News(_message.Message):
    __slots__ = ("number", "alert_id", "state", "time", "entity", "kind", "severity", "field")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ALERT_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    ENTITY_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    number: int
    alert_id: str
    state: str
    time: _timestamp_pb2.Timestamp
    entity: str
    kind: str
    severity: str
    field: str
    def __init__(self, number: _Optional[int] = ..., alert_id: _Optional[str] = ..., state: _Optional[str] = ..., time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., entity: _Optional[str] = ..., kind: _Optional[str] = ..., severity: _Optional[str] = ..., field: _Optional[str] = ...) -> None: ...
