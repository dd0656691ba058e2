"""Many who ask at the same time cost as much as one."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from streamgauge.jobs.service.recent import Recent


def test_a_text_is_made_once_for_all_who_wait_for_it():
    recent, made, ready = Recent(3600.0), [], threading.Barrier(8)

    def ask(number):
        ready.wait()
        return recent.get("now", lambda: made.append(number) or f"text of {number}")

    with ThreadPoolExecutor(8) as pool:
        texts = set(pool.map(ask, range(8)))
    assert texts == {f"text of {made[0]}"}
    assert len(made) == 1


def test_an_old_text_is_made_anew_and_others_do_not_answer_for_it():
    recent = Recent(0.0)
    assert [recent.get("now", lambda n=n: str(n)) for n in range(2)] == ["0", "1"]
    long = Recent(3600.0)
    assert [long.get(key, lambda key=key: key) for key in ("a", "b", "a")] == ["a", "b", "a"]


def test_those_who_wait_for_what_fails_do_not_try_it_one_after_the_other():
    recent, made, waiting = Recent(3600.0), [], threading.Semaphore(0)

    class Lock:
        """Says when somebody waits for it."""

        def __init__(self):
            self._lock = threading.Lock()

        def __enter__(self):
            waiting.release()
            self._lock.acquire()

        def __exit__(self, *_):
            self._lock.release()

    recent._lock = Lock()

    def fail():
        made.append(1)
        for _ in range(8 if len(made) == 1 else 0):
            waiting.acquire()
        raise ValueError("away")

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(recent.get, "now", fail) for _ in range(8)]
        errors = [one.exception() for one in asked]
    assert [str(error) for error in errors] == ["away"] * 8
    assert len(made) == 1


def test_what_fails_is_tried_again():
    recent = Recent(3600.0)
    with pytest.raises(ValueError, match="away"):
        recent.get("now", lambda: (_ for _ in ()).throw(ValueError("away")))
    assert recent.get("now", lambda: "there") == "there"
