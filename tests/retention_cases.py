"""Small studies whose runs share prefixes, end early and keep weights, and an engine that can die at any event."""

from triaxis.execute.conduct import conduct
from triaxis.execute.engine import Ending, Event
from triaxis.execute.run import follow
from triaxis.records import Store
from triaxis.study import parse_study

STUDY = {
    "name": "kept",
    "model": {"base": "lab:weak"},
    "data": {"task": "chain", "structure": "short_cot", "examples": 48},
    "optimization": {"learning_rate": 1e-3, "batch_size": 8, "steps": 6, "schedule": "constant", "warmup_steps": 2},
    "seeds": [0],
    "tasks": {"in_domain": ["chain"], "far_ood": ["boolean"]},
    "trajectory": {"steps": [2, 4]},
    "evaluation": {"items": 3},
    "selection": {"items": 3},
}


def study(**changes):
    """The small study; a mapping is merged into its section."""
    merged = {
        key: {**STUDY.get(key, {}), **change} if isinstance(change, dict) and key != "tasks" else change
        for key, change in changes.items()
    }
    return parse_study({**STUDY, **merged})


class Killed(BaseException):
    """What stands for a kill: nothing catches it."""


class Inline:
    """An engine that follows one job after another in this process; `die` is told of every event before it is handled,
    and after."""

    def __init__(self, die=lambda when: None):
        self.queue, self.seen, self.die, self.work = [], [], die, {}

    def submit(self, job, work, payload):
        assert job not in self.work, "a job is submitted once"
        self.work[job] = "waiting"
        self.queue.append((job, payload))

    def watch(self):
        while self.queue:
            job, payload = self.queue.pop(0)
            if self.work[job] == "cancelled":
                yield Event(job, "cancelled")
                continue
            yield from self._event(Event(job, "started"))
            for value in follow(payload()):
                yield from self._event(Event(job, "measured", value))
                if self.work[job] == "cancelled":
                    yield Event(job, "cancelled")
                    break
            else:
                self.work[job] = "done"
                yield from self._event(Event(job, "done"))

    def _event(self, event):
        self.die(f"before {event.kind}")
        self.seen.append(event)
        yield event
        self.die(f"after {event.kind}")

    def cancel(self, job):
        if self.work[job] != "done":
            self.work[job] = "cancelled"

    def collect(self, job):
        return Ending(self.work[job], 1)

    def close(self):
        pass


def conducted(made, out, engine=None, branching=True):
    """The study carried out in a folder."""
    with Store.create(out, "", {"study": made.to_dict()}, made.settings) as store:
        return conduct(made, store, engine or Inline(), branching=branching)


def contents(out):
    """All that was measured: parts by name, what the database says of them, selection, stops, tokens; no seconds."""
    with Store.open(out, read_only=True) as store:
        points = store._rows(
            "SELECT run, base, step, tokens, epoch, loss, token_accuracy, n_records, sha256 FROM checkpoints"
        )
        selection = store._rows("SELECT * FROM selection")
        readings = store._rows("SELECT * FROM diagnostics")
        costs = {(c.run, c.step, c.phase): c.tokens for c in store.costs() if not c.phase.startswith("saved.")}
        states = {status.run: status.state for status in store.status()}
        return set(points), set(selection), store.stops(), set(readings), costs, states


def weights(out):
    """The folders of weights that are there, with what is in them."""
    root = out / "weights"
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}
