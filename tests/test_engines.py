"""The contract of an engine, which every one of them passes."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from triaxis.execute.local import LocalPool
from triaxis.types import DiskFull, RunFailed, TriaxisError

ENGINES = {"local-1": lambda: LocalPool(1), "local-2": lambda: LocalPool(2)}


@pytest.fixture(params=ENGINES)
def engine(request):
    made = ENGINES[request.param]()
    yield made
    made.close()


def work(name):
    return f"{__name__}:{name}"


def count(n):
    yield from range(n)


def wrong(error):
    yield "first"
    raise error


def dies_once(marker):
    """Killed in the middle the first time; a second try goes through."""
    yield "first"
    if not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    yield "second"


def always_dies(_):
    os.kill(os.getpid(), signal.SIGKILL)
    yield


def forever(_):
    while True:
        yield os.getpid()
        time.sleep(0.01)


def half_a_message(_):
    """Dies while its measurement is under way: larger than what a pipe holds."""
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGKILL)).start()
    yield bytes(200_000_000)


def touches(folder):
    """Leaves a mark before each measurement, so that a test sees how far it went."""
    for i in range(3):
        (Path(folder) / str(i)).touch()
        yield i


def events_of(engine, job):
    return [(e.kind, e.value) for e in engine.watch() if e.job == job]


def test_measurements_come_in_order_and_every_job_settles(engine):
    for job, n in (("a", 3), ("b", 0), ("c", 2)):
        engine.submit(job, work("count"), lambda n=n: n)
    events = list(engine.watch())
    for job, n in (("a", 3), ("b", 0), ("c", 2)):
        own = [(e.kind, e.value) for e in events if e.job == job]
        assert own == [("started", None), *(("measured", i) for i in range(n)), ("done", None)]
        assert engine.collect(job).state == "done" and engine.collect(job).tries == 1


def test_a_job_may_be_submitted_while_others_are_watched(engine):
    """What goes on from another job's work is submitted when that is done, the last job's too."""
    engine.submit("a", work("count"), lambda: 1)
    told = []
    for event in engine.watch():
        told.append((event.job, event.kind))
        if event.kind == "done" and event.job < "c":
            engine.submit(chr(ord(event.job) + 1), work("count"), lambda: 1)
    kinds = ("started", "measured", "done")
    assert told == [(job, kind) for job in "abc" for kind in kinds]


def test_work_waits_until_its_measurement_was_handled(engine, tmp_path):
    engine.submit("a", work("touches"), lambda: str(tmp_path))
    seen = []
    for event in engine.watch():
        if event.kind == "measured":
            time.sleep(0.2)
            seen.append(sorted(p.name for p in tmp_path.iterdir()))
    assert seen == [["0"], ["0", "1"], ["0", "1", "2"]]


@pytest.mark.parametrize("error", [TriaxisError("a mistake"), RunFailed("step 3: the loss is nan")])
def test_what_would_fail_again_is_not_tried_again(engine, error):
    engine.submit("a", work("wrong"), lambda: error)
    kinds = [(e.kind, e.message) for e in engine.watch()]
    assert kinds == [("started", ""), ("measured", ""), ("failed", str(error))]
    assert engine.collect("a").tries == 1


def test_an_unexpected_error_is_tried_once_more_and_told_in_one_line(engine):
    engine.submit("a", work("wrong"), lambda: ValueError("bad\nsecond line"))
    kinds = [e.kind for e in engine.watch()]
    assert kinds == ["started", "measured", "retried", "started", "measured", "failed"]
    assert engine.collect("a").message == "ValueError: bad"


def test_a_full_disk_ends_the_watch(engine):
    engine.submit("a", work("wrong"), lambda: DiskFull("disk full while writing x"))
    with pytest.raises(DiskFull, match="writing x"):
        list(engine.watch())
    assert engine.collect("a").state == "failed"


def test_a_killed_process_is_tried_again_with_a_fresh_payload(engine, tmp_path):
    payloads = []

    def payload():
        payloads.append(len(payloads))
        return str(tmp_path / "marker")

    engine.submit("a", work("dies_once"), payload)
    events = events_of(engine, "a")
    assert ("retried", None) in events and events[-1] == ("done", None)
    assert payloads == [0, 1]


def test_a_job_that_always_dies_fails_and_others_go_on(engine):
    engine.submit("bad", work("always_dies"), lambda: None)
    engine.submit("good", work("count"), lambda: 2)
    list(engine.watch())
    assert engine.collect("bad").state == "failed" and "SIGKILL" in engine.collect("bad").message
    assert engine.collect("good").state == "done"


def test_a_process_that_dies_while_it_sends_is_heard_of(engine):
    engine.submit("a", work("half_a_message"), lambda: None)
    engine.submit("b", work("count"), lambda: 1)
    measured = 0
    for event in engine.watch():
        if event.kind == "started" and event.job == "a":
            time.sleep(1.5)  # nobody reads: the message stays half sent when its process is killed
        measured += event.kind == "measured" and event.job == "a"
    assert measured == 0 and engine.collect("a").state == "failed" and engine.collect("a").tries == 2
    assert engine.collect("b").state == "done"


def test_a_worker_that_died_while_idle_costs_no_job_a_try():
    pool = LocalPool(2)
    try:
        pool.submit("a", work("count"), lambda: 1)
        list(pool.watch())
        [worker] = pool._workers
        worker.process.kill()
        worker.process.join()
        pool.submit("b", work("count"), lambda: 2)
        kinds = [e.kind for e in pool.watch()]
        assert kinds == ["started", "measured", "measured", "done"] and pool.collect("b").tries == 1
    finally:
        pool.close()


def test_cancel_waiting_running_and_settled(engine):
    engine.submit("a", work("forever"), lambda: None)
    engine.submit("b", work("forever"), lambda: None)
    engine.submit("c", work("count"), lambda: 1)
    process = None
    for event in engine.watch():
        if event.kind == "measured" and event.job == "a":
            process = event.value
            engine.cancel("b")
            engine.cancel("a")
    assert {j: engine.collect(j).state for j in "abc"} == {"a": "cancelled", "b": "cancelled", "c": "done"}
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    engine.cancel("c")
    assert engine.collect("c").state == "done"


def test_ids_are_unique_and_known(engine):
    engine.submit("a", work("count"), lambda: 1)
    with pytest.raises(ValueError, match="submitted before"):
        engine.submit("a", work("count"), lambda: 1)
    with pytest.raises(KeyError):
        engine.collect("z")


def test_close_leaves_no_process(engine):
    engine.submit("a", work("forever"), lambda: None)
    process = next(e.value for e in engine.watch() if e.kind == "measured")
    engine.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
