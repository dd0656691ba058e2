"""A few wrong timestamps of Kafka do not move the clock of a partition; right ones are taken as they are."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.udfs.events.arrivals import LAST, LEAP, Arrivals

START = 1_760_000_000_000
DAY = 86_400_000
FAR = [5 * LEAP, DAY, 20_000 * DAY, 2**47, -DAY, -START]


def of(stamps, arrivals=None):
    return (arrivals or Arrivals()).bounded(np.array(stamps, np.int64)).tolist()


@pytest.mark.parametrize("every", [1, 1_000, LEAP, 3_600_000, 30 * DAY])
def test_a_steady_stream_is_taken_as_it_is_from_its_sixth_record_on(every):
    stamps = [START + i * every for i in range(100)]
    assert of(stamps)[5:] == stamps[5:]
    if every <= LEAP:
        assert of(stamps) == stamps


def test_records_out_of_order_and_of_one_moment_are_taken_as_they_are():
    random = np.random.default_rng(0)
    stamps = START + np.arange(1_000) * 500 + random.integers(-20_000, 20_000, 1_000)
    assert of(stamps) == stamps.tolist()
    assert of([START] * 50) == [START] * 50


@pytest.mark.parametrize("ahead", FAR)
@pytest.mark.parametrize("at", [1, 2, 3, 8, 9, 40])
def test_one_wrong_timestamp_changes_no_other_and_does_not_count(ahead, at):
    stamps = [START + i * 1_000 for i in range(80)]
    wrong = [*stamps[:at], stamps[at] + ahead, *stamps[at + 1 :]]
    expected = [*stamps[:at], min(wrong[at], stamps[at - 1]), *stamps[at + 1 :]]
    assert of(wrong) == expected


@pytest.mark.parametrize("ahead", FAR)
def test_a_producer_whose_clock_is_always_wrong_is_outvoted(ahead):
    stamps = [START + i * 1_000 for i in range(200)]
    arrivals = of([stamp + ahead * (i % 3 == 2) for i, stamp in enumerate(stamps)])
    assert [arrived for i, arrived in enumerate(arrivals) if i % 3 != 2] == [
        stamp for i, stamp in enumerate(stamps) if i % 3 != 2
    ]
    assert all(arrived <= stamp for arrived, stamp in zip(arrivals, stamps, strict=True))


def test_after_a_pause_the_clock_goes_on_with_the_fifth_record():
    before = [START + i * 1_000 for i in range(50)]
    after = [START + DAY + i * 1_000 for i in range(50)]
    most = LAST // 2 + 1
    assert of(before + after) == before + [before[-1]] * (most - 1) + [after[most - 2]] + after[most:]


def test_numbers_near_the_limit_of_64_bits_do_not_wrap_around():
    assert of([START, 2**62, START + 1, START + 2]) == [START, START, START + 1, START + 2]
    assert of([-DAY, 2**62, 1_000, 2_000]) == [-DAY, -DAY, 1_000, 2_000]


@given(
    st.lists(st.one_of(st.integers(START, START + 100_000), st.integers(0, 2**47)), max_size=60),
    st.lists(st.integers(0, 60), max_size=6),
)
def test_batches_and_restarts_do_not_matter(stamps, cuts):
    whole, arrivals, found = Arrivals(), Arrivals(), []
    expected = of(stamps, whole)
    edges = sorted({0, len(stamps), *(cut for cut in cuts if cut < len(stamps))})
    for begin, end in itertools.pairwise(edges):
        again = Arrivals()
        again.restore(arrivals.to_state())
        arrivals = again
        found += of(stamps[begin:end], arrivals)
    assert found == expected
    assert arrivals.to_state() == whole.to_state()
