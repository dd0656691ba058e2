"""The trained models: which versions the job uses, how a shadow compares with the live one, and what the trainer did."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field
from sqlalchemy import Engine, func, select
from streamgauge.jobs.service.answers import moment
from streamgauge.jobs.service.notices import FIGURES, STEP, Step
from streamgauge.jobs.service.quality import newest_reports
from streamgauge.jobs.service.tables import comparisons, notices
from streamgauge.jobs.settings.loading import RetrainSettings

MOST_STEPS = 100  # newest steps of each kind of a model that are read
SHOWN = 30  # steps of each model
SHADOW = " shadow"  # end of the name of a shadow in reports
GOOD = ("shadowed", "canary", "promoted", "settled")  # steps after which a version still has a role
KINDS = (*GOOD, "trained", "rejected", "rolled_back", "deferred", "declined", "failed")


class ModelStep(Step):
    """A step of the trainer."""

    time: datetime
    step: str


class Version(BaseModel):
    """A version of a model, as far as notices tell of it."""

    version: int
    detector: str | None = None
    trained: datetime | None = None
    rows: int | None = Field(None, description="Events that it was trained on.")
    reason: str | None = Field(None, description="Why the job asked for it.")
    separates_planted: float | None = Field(None, description="How well it separates synthetic anomalies, 0.5 to 1.")
    live_separates_planted: float | None = Field(None, description="The same of the live version at that time.")
    us_per_event: float | None = Field(None, description="Microseconds for an event.")
    live_us_per_event: float | None = None
    state: str = Field(description="Its last step.")
    why: str | None = Field(None, description="Why it was rejected, or rolled back.")


class Comparison(BaseModel):
    """A live version and its shadow on the same events since the last step, and the gates that the trainer applies."""

    live: int
    shadow: int
    events: int
    events_needed: int = Field(description="Events of a comparison, as retrain.compare says.")
    live_alerts: int
    shadow_alerts: int
    alerts_allowed: float = Field(description="Alerts that a new version may raise in these events.")
    probes: int
    live_found: int
    shadow_found: int


class Roles(BaseModel):
    """Which version has which role."""

    live: int | None = None
    shadow: int | None = None
    canary: float | None = Field(None, description="Share of the entities for which the shadow counts.")


class Model(BaseModel):
    """A trained model."""

    model: str
    roles: Roles
    comparison: Comparison | None = None
    waits: str | None = Field(None, description="Why a request for a new version waits; null: none does.")
    versions: list[Version] = Field(description="The newest first, as far as the newest 100 steps of each kind tell.")
    steps: list[ModelStep] = Field(description="The newest first.")


def models(engine: Engine, gates: RetrainSettings) -> list[Model]:
    """All models that reports of the job or notices of the trainer name.

    Parameters
    ----------
    engine : Engine
    gates : RetrainSettings
    """
    steps = _steps(engine)
    reports = newest_reports(engine)
    arrived, in_use = (reports[-1][0], reports[-1][1].models) if reports else (0, {})
    names = {name.removesuffix(SHADOW) for name in in_use} | {step.model for _, step in steps}
    found = []
    for name in sorted(names):
        own = [(at, step) for at, step in steps if step.model == name]
        ordered = [step for _, step in own]
        roles = _roles(ordered)
        if max((at for at, _ in own), default=-1) <= arrived:
            live, shadow = (_number(in_use.get(of)) for of in (name, f"{name}{SHADOW}"))
            roles = Roles(live=live or roles.live, shadow=shadow, canary=roles.canary if shadow else None)
        since = max((at for at, step in own if step.step in GOOD), default=0)
        # a request goes on to wait when the shadow for which it waits becomes the canary
        last = next((step for step in reversed(ordered) if step.step != "canary"), None)
        found.append(
            Model(
                model=name,
                roles=roles,
                comparison=_comparison(engine, name, roles, since, gates),
                waits=last.why if last is not None and last.step == "deferred" else None,
                versions=_versions(ordered),
                steps=ordered[: -SHOWN - 1 : -1],
            )
        )
    return found


def _steps(engine: Engine) -> list[tuple[int, ModelStep]]:
    """The newest steps of each kind of each model in order, with the time at which each arrived in milliseconds."""
    columns = (notices.c.type, notices.c.time, notices.c.arrived, notices.c.data)
    newest_first = (notices.c.time.desc(), notices.c.arrived.desc())
    alike = (notices.c.data["model"].as_string(), notices.c.type)
    place = func.row_number().over(partition_by=alike, order_by=newest_first).label("place")
    steps = select(*columns, place).where(notices.c.type.in_([f"{STEP}{kind}" for kind in KINDS])).subquery()
    query = select(*(steps.c[column.name] for column in columns)).where(steps.c.place <= MOST_STEPS)
    with engine.connect() as connection:
        rows = connection.execute(query.order_by(steps.c.time, steps.c.arrived)).all()
    return [
        (arrived, ModelStep(**Step.model_validate(data).model_dump(), time=moment(time), step=kind.removeprefix(STEP)))
        for kind, time, arrived, data in rows
    ]


def _roles(steps: list[ModelStep]) -> Roles:
    """The roles after the steps of one model."""
    roles = Roles()
    for one in steps:
        if one.step == "shadowed":
            roles = Roles(live=one.live, shadow=one.version)
        elif one.step == "canary":
            roles = Roles(live=one.live, shadow=one.version, canary=one.share)
        elif one.step == "promoted":  # the version before is compared with its successor
            roles = Roles(live=one.version, shadow=one.live)
        elif one.step in ("settled", "rolled_back"):
            roles = Roles(live=one.version)
        elif one.step == "rejected" and one.version == roles.shadow:
            roles = Roles(live=roles.live)
    return roles


def _versions(steps: list[ModelStep]) -> list[Version]:
    """The versions that steps of one model tell of."""
    found: dict[int, Version] = {}
    for one in steps:
        about = one.live if one.step == "rolled_back" else one.version  # a roll back is about the one that is given up
        if about is None:
            continue
        known = found.setdefault(about, Version(version=about, state=one.step))
        known.state, known.why = one.step, None if one.step in GOOD else one.why
        if one.step == "trained":
            known.trained, known.rows, known.reason = one.time, one.rows, one.reason
        if one.step != "rolled_back":
            known.detector = one.detector or known.detector
        if one.separates_planted is not None:
            known.separates_planted, known.us_per_event = one.separates_planted, one.us_per_event
            known.live_separates_planted, known.live_us_per_event = one.live_separates_planted, one.live_us_per_event
    return sorted(found.values(), key=lambda one: -one.version)


def _comparison(engine: Engine, name: str, roles: Roles, since: int, gates: RetrainSettings) -> Comparison | None:
    """What the job counted of a live version and its shadow since the last step of the two; None without a shadow."""
    if roles.live is None or roles.shadow is None:
        return None
    columns = comparisons.c
    versions = (columns.live == str(roles.live)) & (columns.shadow == str(roles.shadow))
    sums = [func.sum(columns[name]).label(name) for name in FIGURES if name != "threshold"]
    due = func.sum(columns.threshold * columns.events).label("due")
    query = select(*sums, due).where(columns.model == name, versions, columns.arrived >= since)
    with engine.connect() as connection:
        found = connection.execute(query).mappings().one()
    counts = {what: round(n or 0.0) for what, n in found.items()}
    return Comparison(
        live=roles.live,
        shadow=roles.shadow,
        events=counts["events"],
        events_needed=gates.compare,
        live_alerts=counts["both"] + counts["only_live"],
        shadow_alerts=counts["both"] + counts["only_shadow"],
        alerts_allowed=max(gates.alerts * (found["due"] or 0.0), gates.few),
        probes=counts["probes"],
        live_found=counts["live_right"],
        shadow_found=counts["shadow_right"],
    )


def _number(version: str | None) -> int | None:
    return int(version) if version is not None and version.isdecimal() and len(version) < 16 else None
