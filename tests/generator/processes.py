"""Normal processes: what entities send while nothing is wrong.

Each function returns values in usual variations of the process: a deviation of 1 is what a good channel would see as one sigma, and
`size(s)` turns a number of normal sigmas into a deviation that is as rare for this process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter
from scipy.stats import lognorm, norm, poisson, t
from streamgauge.models.contract import Floats, Ints

DAY = 86_400_000
HOUR = DAY // 24
BEAT = 24  # events from one pulse of the beat to the next
RATE = 80.0  # of the counts
SHARE_OF_ZEROS = 0.8
SHARE_OF_ONES = 0.3
DEGREES = 3  # of freedom, of the heavy tails
AMPLITUDE = 10.0  # of daily and weekly cycles, and of the beat, in usual variations


@dataclass
class Normal:
    """A normal process of several entities.

    Attributes
    ----------
    deviations : float64[steps, entities]
        Values, in usual variations.
    expected : float64[steps, entities]
        What a channel that knows the process expects at each step, in usual variations. Zero if nothing is known.
    sigma : float
        One usual variation, as a deviation: 1 except for processes whose variance changes (then the largest).
    """

    deviations: Floats
    expected: Floats
    sigma: float = 1.0


@dataclass(frozen=True)
class Process:
    """How a normal process is made.

    Attributes
    ----------
    make : callable
        From a Generator, times int64[steps] in milliseconds, and the number of entities.
    size : callable
        From a number of sigmas of a normal distribution to a deviation that is as rare here.
    whole : bool
        Values are whole numbers, at least 0; they get no scale of their own.
    remembers : bool
        The next value depends on the last: shifts are a part of the process.
    cyclic : bool
        The time of day matters.
    """

    make: Callable[[np.random.Generator, Ints, int], Normal]
    size: Callable[[float], float] = float
    whole: bool = False
    remembers: bool = False
    cyclic: bool = False


def _gaussian(random: np.random.Generator, times: Ints, entities: int) -> Normal:
    noise = random.standard_normal((len(times), entities))
    return Normal(noise, np.zeros_like(noise))


def _with(expected: Floats, random: np.random.Generator, times: Ints, entities: int) -> Normal:
    """Normal noise around what is expected at each time; float64[steps] or float64[steps, entities]."""
    noise = random.standard_normal((len(times), entities))
    around = expected[:, None] if expected.ndim == 1 else expected
    return Normal(around + noise, np.broadcast_to(around, noise.shape).copy())


def day_of(times: Ints) -> Floats:
    """A smooth daily cycle: -1 at 4 o'clock in the morning, 1 at 16 o'clock."""
    return -np.cos((times % DAY / HOUR - 4) / 24 * 2 * np.pi)


def office(times: Ints) -> Floats:
    """1 in office hours (8 to 18 o'clock, Monday to Friday), else 0; ramps of one hour."""
    hour, weekday = times % DAY / HOUR, (times // DAY + 3) % 7  # 1970 began with a Thursday
    return np.clip(np.minimum(hour - 7.5, 18.5 - hour), 0, 1) * (weekday < 5)


def _daily(random: np.random.Generator, times: Ints, entities: int) -> Normal:
    return _with(AMPLITUDE * day_of(times), random, times, entities)


def _weekly(random: np.random.Generator, times: Ints, entities: int) -> Normal:
    return _with(AMPLITUDE * office(times), random, times, entities)


def _trend(random: np.random.Generator, times: Ints, entities: int) -> Normal:
    slopes = random.choice((-1.0, 1.0), entities) * random.uniform(0.5, 2.0, entities)  # usual variations a day
    return _with(np.outer((times - times[0]) / DAY, slopes), random, times, entities)


def _student(random: np.random.Generator, times: Ints, entities: int) -> Normal:
    values = random.standard_t(DEGREES, (len(times), entities))
    return Normal(values, np.zeros_like(values))


def _lognormal(random: np.random.Generator, times: Ints, entities: int) -> Normal:
    values = random.lognormal(0, 1, (len(times), entities))
    return Normal(values, np.ones_like(values))


def _zero_inflated(random: np.random.Generator, times: Ints, entities: int) -> Normal:
    shape = (len(times), entities)
    values = np.where(random.random(shape) < SHARE_OF_ZEROS, 0.0, 1.0 + random.poisson(RATE / 4, shape))
    return Normal(values, np.zeros(shape))


def _integers(random: np.random.Generator, times: Ints, entities: int) -> Normal:
    values = random.poisson(RATE, (len(times), entities)).astype(np.float64)
    return Normal(values, np.full_like(values, RATE), np.sqrt(RATE))


def _two_valued(random: np.random.Generator, times: Ints, entities: int) -> Normal:
    values = (random.random((len(times), entities)) < SHARE_OF_ONES).astype(np.float64)
    return Normal(values, np.zeros_like(values))


def _autoregression(random: np.random.Generator, times: Ints, entities: int) -> Normal:
    steps = random.standard_normal((len(times), entities))
    steps[0] /= np.sqrt(1 - 0.99**2)
    values = lfilter([1.0], [1.0, -0.99], steps, axis=0)
    return Normal(values, values - steps)


def _random_walk(random: np.random.Generator, times: Ints, entities: int) -> Normal:
    steps = random.standard_normal((len(times), entities))
    values = np.cumsum(steps, axis=0)
    return Normal(values, values - steps)


def _regimes(random: np.random.Generator, times: Ints, entities: int) -> Normal:
    """Noise that is calm or restless (three times as wide), for some 200 events at a time."""
    shape = (len(times), entities)
    restless = np.cumsum(random.random(shape) < 1 / 200, axis=0) % 2
    values = random.standard_normal(shape) * np.where(restless, 3.0, 1.0)
    return Normal(values, np.zeros(shape), 3.0)


def _beat(random: np.random.Generator, times: Ints, entities: int) -> Normal:
    """A pulse of two events that comes at its time, as of a job that runs every day."""
    phase = random.integers(0, BEAT, entities)
    pulse = (np.arange(len(times))[:, None] + phase) % BEAT < 2
    return _with(np.where(pulse, AMPLITUDE, 0.0), random, times, entities)


def _rarity(distribution: object) -> Callable[[float], float]:
    """The deviation that is as rare for a distribution as a number of sigmas is for the normal one."""
    return lambda sigmas: float(distribution.isf(norm.sf(sigmas)))  # type: ignore[attr-defined]


PROCESSES = {
    "gaussian": Process(_gaussian),
    "daily": Process(_daily, cyclic=True),
    "weekly": Process(_weekly, cyclic=True),
    "trend": Process(_trend),
    "student_t": Process(_student, _rarity(t(DEGREES))),
    "lognormal": Process(_lognormal, _rarity(lognorm(1))),
    "zero_inflated": Process(_zero_inflated, _rarity(poisson(RATE / 4, 1)), whole=True),
    "integers": Process(_integers, lambda sigmas: float(poisson(RATE).isf(norm.sf(sigmas))) - RATE, whole=True),
    "two_valued": Process(_two_valued, lambda sigmas: 1.0 + round(sigmas / 2), whole=True),
    "ar99": Process(_autoregression, remembers=True),
    "random_walk": Process(_random_walk, remembers=True),
    "regimes": Process(_regimes, lambda sigmas: 3 * sigmas),
    "beat": Process(_beat),
}
