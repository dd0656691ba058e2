"""Which feedback is believed: it is about an alert that the job has sent, from somebody who may give it, and no more than a day's share.

All of it follows from the messages in their order, and from nothing else: not from batches, restarts, or the clock of a machine.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from streamgauge.models.errors import SettingsError
from streamgauge.models.lazy_modules import load_module
from streamgauge.udfs.control.feedback import Feedback, Source, Told, known_from, most_to_blame
from streamgauge.udfs.settings.feedback import FeedbackSettings

OPENED = "opened"
LEAST_TAIL = 1e-300  # a smaller tail probability counts as this one
Sign = Callable[[bytes], str]


class FeedbackRefusedError(SettingsError):
    """Feedback that can be read, but is not believed."""


def told_by(data: dict[str, Any]) -> Told:
    """What a message about an alert tells: its proof, or what follows from the rest, if the job does not sign.

    Parameters
    ----------
    data : dict
        The data of the message.

    Raises
    ------
    ValueError
        They are not those of an alert.
    """
    if data.get("proof") is not None:
        return Told.model_validate(data["proof"])
    source, field = data["source"], most_to_blame(data["contributions"])
    actual, expected = (data[of].get(field) for of in ("actual", "expected"))
    effect = abs(actual - expected) if isinstance(actual, int | float) and expected is not None else math.nan
    tail = data["tail_probability"]
    return Told(
        alert_id=data["alert_id"],
        state=data["state"],
        entity=data["entity"],
        kind=data["kind"],
        day=str(data["window"]["from"])[:10],
        tail_probability=1.0 if tail is None or math.isnan(tail) else min(max(tail, LEAST_TAIL), 1.0),
        effect=effect if math.isfinite(effect) else None,
        field=field,
        agreed=tuple(data["agreed"]),
        disagreed=tuple(data.get("disagreed", ())),
        source=Source(
            topic=source.get("topic"),
            partition=source["partition"],
            first=source.get("first_offset", source.get("opened_offset", source["offset"])),
            last=source.get("last_offset", source["offset"]),
        ),
    )


def signer(settings: FeedbackSettings) -> Sign | None:
    """What signs the alerts of the job; None if it does not sign.

    Raises
    ------
    SettingsError
        The key cannot be read, or its public key is none of the trusted ones. The message does not show it.
    """
    if settings.sign_key_file is not None:
        where = f"feedback.sign_key_file: {settings.sign_key_file}"
        try:
            pem = Path(settings.sign_key_file).read_bytes()
        except OSError as error:
            raise SettingsError(f"{where} cannot be read: {error.strerror}") from None
    elif settings.sign_key_env is not None:
        where = f"feedback.sign_key_env: the environment variable {settings.sign_key_env}"
        pem = os.environ.get(settings.sign_key_env, "").encode()
    else:
        return None
    signature = load_module("persistence.signature")
    try:
        key = signature.private_key(pem)
    except ValueError as error:
        raise SettingsError(f"{where} holds {error}; {signature.MAKE_ONE}") from None
    if (public := signature.public_text(key)) not in settings.trusted_keys:
        raise SettingsError(f"{where}: its public key {public} is none of feedback.trusted_keys: add it there")
    return lambda content: str(signature.signature(content, key))


def proof_of(data: dict[str, Any], sign: Sign) -> dict[str, Any]:
    """The proof that the job sent an alert, for the data of the message: what it tells, signed."""
    told = told_by(data)
    return told.model_copy(update={"signature": sign(told.signed_part)}).model_dump(mode="json")


class Gate:
    """Lets in the feedback that is believed.

    Parameters
    ----------
    settings : FeedbackSettings
    """

    def __init__(self, settings: FeedbackSettings) -> None:
        self._settings = settings
        self._newest: dict[str, Feedback] = {}
        self._by_person: Counter[tuple[str, str]] = Counter()
        self._by_day: Counter[str] = Counter()

    def admit(self, message: Feedback) -> bool:
        """Check a message; it counts from then on.

        Returns
        -------
        bool
            False if the same message counts already. It then does nothing once more, such as ending a quarantine.

        Raises
        ------
        FeedbackRefusedError
            It is not believed; the text says why.
        """
        before = self._newest.get(message.key)
        if message == before:
            return False
        self._check_person(message)
        check_proof(message, self._settings)
        if before is not None and before.at is not None and (message.at is None or message.at <= before.at):
            said = "at an unknown time" if message.at is None else f"at {message.at.isoformat()}"
            raise FeedbackRefusedError(
                f"feedback: {message.by} said this of {message.alert_id} {said}, and something else later, at "
                f"{before.at.isoformat()}: the later one stays in force"
            )
        self._count(message)
        self._newest[message.key] = message
        return True

    def _check_person(self, message: Feedback) -> None:
        people = self._settings.people
        if people is None:
            return
        if message.by not in people:
            raise FeedbackRefusedError(
                f"feedback: {message.by!r} may give none; feedback.people names: {', '.join(people) or 'nobody'}"
            )
        needed = "ignore" if message.verdict == "ignore" else "judge"
        if message.verdict != "undo" and needed not in people[message.by]:
            raise FeedbackRefusedError(
                f"feedback: {message.by!r} may not say {message.verdict!r}; feedback.people allows: "
                f"{', '.join(people[message.by]) or 'nothing'}"
            )

    def _count(self, message: Feedback) -> None:
        """Count a message for the day of its alert, also one that replaces another: it may end a quarantine. An undo changes less."""
        if message.verdict == "undo" or not message.told:
            return
        day, settings = message.told[0].day, self._settings
        person = (day, message.by)
        for have, most, who in (
            (self._by_person[person], settings.by_person, f"of {message.by!r}: feedback.by_person"),
            (self._by_day[day], settings.by_all, "of all persons together: feedback.by_all"),
        ):
            if have >= most:
                raise FeedbackRefusedError(
                    f"feedback: {have} messages on alerts of {day} count already {who} is {most}; only an undo still counts"
                )
        self._by_person[person] += 1
        self._by_day[day] += 1


def check_proof(message: Feedback, settings: FeedbackSettings) -> None:
    """Check that the job has sent the alert that a message is about, and that it is as the message says.

    Parameters
    ----------
    message : Feedback
    settings : FeedbackSettings
        Without trusted keys, there is nothing to check.

    Raises
    ------
    FeedbackRefusedError
        Nothing proves that.
    """
    if not settings.trusted_keys:
        return
    about = f"feedback: alert {message.alert_id[:100]!r}"
    told = message.told
    if not told or any(one.signature is None for one in told):
        raise FeedbackRefusedError(
            f"{about}: the message has no signature (told) to prove that the job sent such an alert: it is forged, or older than "
            "feedback.trusted_keys"
        )
    fits = load_module("persistence.signature").fits
    for one in told:
        if not any(fits(one.signed_part, one.signature, key) for key in settings.trusted_keys):
            raise FeedbackRefusedError(
                f"{about}: its signature fits none of feedback.trusted_keys: no such alert was sent"
            )
    if told[0].state != OPENED or len({one.alert_id for one in told}) > 1:
        raise FeedbackRefusedError(f"{about}: told must begin with the message that opened it, and hold no other alert")
    known = known_from(told)
    for name, value in known.items():
        if getattr(message, name) != value:
            raise FeedbackRefusedError(f"{about}: {name} is not what the alert told")
