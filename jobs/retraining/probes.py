"""How many probes the shadow finds, compared with the live version."""

from __future__ import annotations

from streamgauge.models.calibration.thresholds import compare_thresholds

ENOUGH_PROBES = 50  # with fewer probes, what a version finds of them says too little
CLEARLY_FEWER = 0.1  # a version is worse if it finds fewer probes than the other, by more than this share of all probes
# With this probability a shadow must find more probes to go on before enough events have come, or people find more of its alerts false.
CERTAINTY = 0.99


def finds_more(counts: dict[str, float]) -> bool:
    """Whether it is certain enough that the shadow finds more probes than the live version.

    Parameters
    ----------
    counts : dict of str to float
        Of a comparison: ``probes`` is the number of probes, ``live_right`` and ``shadow_right`` how many of them each version found.
    """
    probes, live, shadow = (int(counts[what]) for what in ("probes", "live_right", "shadow_right"))
    return probes >= ENOUGH_PROBES and compare_thresholds((live, probes), (shadow, probes), CERTAINTY).better == "b"


def shadow_lead(counts: dict[str, float]) -> float:
    """How many more probes the shadow finds than the live version, as a share of all probes, -1 to 1; `counts` as above."""
    return (counts["shadow_right"] - counts["live_right"]) / max(counts["probes"], 1)
