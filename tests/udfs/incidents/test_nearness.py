"""In a fleet where incidents are frequent, only those that open closer together than usual are a group."""

from __future__ import annotations

import numpy as np
import pytest
from streamgauge.udfs.incidents.groups import KNOWN, MOST_GROUPS, MOST_NAMED, AllGroups, Groups, Nearness

from tests.streams import START
from tests.udfs.incidents.test_groups import HOUR, MINUTE, opened

WITHIN = 256 * 1000  # its parts are whole numbers


def after(times, within=WITHIN):
    near = Nearness(within)
    for time in times:
        near.add(START + int(time))
    return near


def test_while_incidents_are_seldom_the_longest_distance_counts():
    assert after([]).within == after([0.0]).within == WITHIN
    assert after(np.arange(500) * 3 * HOUR).within == WITHIN


@pytest.mark.parametrize("apart", [60_000, 20_000, 6_000])
def test_where_incidents_come_all_the_time_the_distance_is_about_a_fifth_of_that_between_them(apart):
    times = np.cumsum(np.random.default_rng(1).exponential(apart, 4000))
    within = after(times).within
    assert apart / 11 < within <= apart / 4  # lengths are halved until less than a fifth of them have an incident
    assert WITHIN % within == 0


def test_where_they_come_faster_than_any_length_the_shortest_one_counts():
    assert after(np.arange(50_000) * 400).within == WITHIN // 256


def test_a_burst_is_in_few_spans_and_changes_nothing():
    calm = np.arange(100) * 2 * HOUR
    burst = calm[-1] + np.arange(500) * 10
    assert after([*calm, *burst]).within == WITHIN


def test_nothing_is_concluded_from_a_few_spans():
    assert after(np.arange(KNOWN - 1) * WITHIN).within == WITHIN
    assert after(np.arange(KNOWN + 2) * WITHIN).within < WITHIN


def test_incidents_before_the_last_one_change_nothing():
    once, again = after(np.arange(50) * MINUTE), after(np.arange(50) * MINUTE)
    for time in range(0, 49):
        again.add(START + time * MINUTE)
    assert again.to_state() == once.to_state()


def test_a_day_later_it_is_forgotten_how_often_they_came():
    times = np.arange(5000) * 20_000
    assert after(times).within < WITHIN
    assert after([*times, *(times[-1] + 30 * 24 * HOUR + np.arange(30) * 6 * HOUR)]).within == WITHIN


def test_a_state_for_another_longest_distance_is_not_used():
    known = after(np.arange(5000) * 20_000)
    same, other = Nearness(WITHIN), Nearness(2 * WITHIN)
    same.restore(known.to_state())
    other.restore(known.to_state())
    assert same.within == known.within < WITHIN
    assert other.within == 2 * WITHIN
    assert other.to_state() == Nearness(2 * WITHIN).to_state()


def test_no_distance_means_no_groups():
    assert Nearness(0).within == 0
    assert Nearness(3).within == 3
    assert Groups(0).join("a", "e", None, START) is None


def test_a_group_goes_on_as_long_as_the_next_incident_is_near_the_last_one():
    groups = Groups(5 * MINUTE)
    joined = [groups.join(f"a{k}", "e", None, START + time * MINUTE)["id"] for k, time in enumerate((0, 5, 10, 16, 12))]
    assert joined == ["a0", "a0", "a0", "a3", "a3"]
    again = Groups(5 * MINUTE)
    again.restore(groups.to_state())
    assert again.join("b", "e", None, START + 20 * MINUTE) == {
        "id": "a3",
        "incidents": 3,
        "root": {"entity": "e", "field": None, "time": START + 16 * MINUTE},
    }
    assert again.to_state() != groups.to_state()


def test_an_older_state_without_distances_is_read():
    groups = Groups(5 * MINUTE)
    groups.join("a", "e", None, START)
    again = Groups(5 * MINUTE)
    again.restore(groups.to_state()[:2])
    assert again.join("b", "e", None, START + MINUTE)["id"] == "a"


def test_a_group_names_at_most_fifty_entities_each_once():
    groups = AllGroups(5 * MINUTE)
    notices = [groups.join(opened(f"e{n // 2}", n / 1000, n % 3)) for n in range(256)]
    _, group = [notice for notice in notices if notice][-1]
    assert group["incidents"] == 256
    assert group["entities"] == [f"e{n}" for n in range(MOST_NAMED)]
    assert (group["partitions"], group["groups"]) == ([0, 1, 2], ["of-0", "of-1", "of-2"])
    assert (group["from"], group["to"]) == ("2025-10-09T08:53:20.000Z", "2025-10-09T08:53:35.300Z")


def test_at_most_two_hundred_groups_are_followed_and_none_longer_than_a_day():
    groups = AllGroups(MINUTE)
    for n in range(MOST_GROUPS + 50):
        groups.join(opened(f"e{n}", 5 * n))
    assert groups.join(opened("late", 5 * 52 + 0.5))[0] == "opened"
    assert groups.join(opened("later", 5 * 20 + 0.5)) is None
    for n in range(5):  # the time of a single one may be wrong
        groups.join(opened(f"next day {n}", 5 * (MOST_GROUPS + 50) + 25 * 60 + 5 * n))
    assert groups.join(opened("too late", 5 * (MOST_GROUPS + 49) + 0.5)) is None


def test_an_incident_without_shares_or_a_group_of_its_partition_is_one_too():
    groups = AllGroups(5 * MINUTE)
    alert = opened("a", 0) | {"contributions": {}}
    del alert["group"]
    groups.join(alert)
    _, group = groups.join(opened("b", 1))
    assert (group["root"]["field"], group["groups"]) == (None, ["of-0"])
