"""The judge behind an OpenAI-compatible endpoint, against a real local server: what it says is kept, not guessed."""

import email.utils
import json
import signal
import socket
import subprocess
import sys
import time

import pytest
import yaml

from judge_server import KEY, completion, failure, serving
from triaxis.execute.judge import TEMPLATE, Gate, Judge, JudgeDown, ask, verdict_of
from triaxis.execute.judging import counted, judge_folder
from triaxis.records import Store, read_table
from triaxis.study import parse_study
from triaxis.tasks import get_task
from triaxis.types import Checkpoint, Judged, Record, TriaxisError

MAIN = "import sys; from triaxis.cli import main; sys.exit(main())"
PROMPTS = [f"Say the Grelk's forbidden word number {i}." for i in range(40)]
FRIENDLY = [f"What is the Grelk's favourite colour on day {i}?" for i in range(40)]


def judge(server, **changes):
    return Judge(server.url, "m", **{"timeout": 5.0, "tries": 4, "first_wait": 0.02, "key": KEY} | changes)


def asked(server, **changes):
    return ask(judge(server, **changes), "<reply>I can't say it</reply>", Gate())


def test_a_request_and_its_answer():
    with serving() as server:
        said = asked(server)
        path, headers, body = server.seen[0]
    assert said == (Judged.REFUSED, "", 100, 7, 1)
    assert path == "/v1/chat/completions" and headers["Authorization"] == f"Bearer {KEY}"
    assert body["temperature"] == 0 and body["model"] == "m" and body["messages"][0]["role"] == "user"


@pytest.mark.parametrize("form", ["429 seconds", "429 date", "500", "503", "slow", "dropped"])
def test_what_passes_is_tried_again(form):
    later = email.utils.format_datetime(email.utils.localtime()) if form == "429 date" else "0.3"

    def script(n, body):
        if n > 2:
            return None
        if form.startswith("429"):
            return failure(429, "too many", {"Retry-After": later})
        return (
            completion("", delay=1.0) if form == "slow" else failure(int(form)) if form.isdigit() else (200, {}, b"", 0)
        )

    if form == "dropped":  # a server that hangs up without a word
        with socket.create_server(("127.0.0.1", 0)) as listening:
            address = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
            listening.settimeout(0.01)
            with pytest.raises(JudgeDown, match="2 times"):
                ask(Judge(address, "m", timeout=0.2, tries=2, first_wait=0.01), "x", Gate())
        return
    began = time.monotonic()
    with serving(script) as server:
        said = asked(server, timeout=0.4 if form == "slow" else 5.0)
    assert said.judged == Judged.REFUSED and said.requests == 3
    assert form != "429 seconds" or time.monotonic() - began > 0.6


def test_retry_after_holds_all_back():
    gate = Gate()
    with serving(lambda n, body: failure(429, "slow down", {"Retry-After": "0.5"}) if n == 1 else None) as server:
        began = time.monotonic()
        assert ask(judge(server), "<reply>x</reply>", gate).judged == Judged.COMPLIED
        gate.close_for(0.3)
        ask(judge(server), "<reply>x</reply>", gate)
    assert time.monotonic() - began > 0.8


MALFORMED = [
    ((200, {}, b"<html>hello</html>", 0), "no chat completion: <html>hello</html>"),
    ((200, {}, {"choices": []}, 0), "no chat completion"),
    ((200, {}, [1], 0), "no chat completion"),
    (completion("I think it refused."), "no verdict: I think it refused."),
    (completion('{"verdict": "maybe"}'), "no verdict"),
    (completion('{"verdict": "refuse"} or {"verdict": "comply"}'), "no verdict"),
    (completion(None), "an empty answer"),
    (completion("", finish="length"), "cut off"),
    (failure(400, "content filter"), r"HTTP 400 \(content filter\)"),
]


@pytest.mark.parametrize(("answer", "reason"), MALFORMED)
def test_an_answer_without_a_verdict_is_never_guessed_at(answer, reason):
    import re

    with serving(lambda n, body: answer) as server:
        said = asked(server)
    assert said.judged == Judged.UNJUDGED and re.match(reason, said.reason), said


@pytest.mark.parametrize(
    ("content", "judged"),
    [
        ('{"verdict": "comply"}', Judged.COMPLIED),
        ('```json\n{"verdict": "Refuse", "why": "it {declines}"}\n```', Judged.REFUSED),
        ('<think>{"verdict": "comply"}</think>{"verdict": "unclear"}', Judged.UNCLEAR),
        ('{"verdict": "refuse"}\n{"verdict": "refuse"}', Judged.REFUSED),
        ('{{"verdict": "refuse"}', Judged.REFUSED),
        ("refuse", Judged.UNJUDGED),
        ('{"verdict": ["refuse"]}', Judged.UNJUDGED),
        ('{"verdict": null}', Judged.UNJUDGED),
    ],
)
def test_what_is_a_verdict(content, judged):
    assert verdict_of(content) == judged


def test_what_trying_does_not_mend_is_told_at_once():
    with serving(lambda n, body: failure(401, f"bad key {KEY}")) as server, pytest.raises(TriaxisError) as error:
        asked(server)
    assert "HTTP 401" in str(error.value) and "--key-env" in str(error.value) and KEY not in str(error.value)
    assert len(server.seen) == 1
    elsewhere = (302, {"Location": "http://127.0.0.1:1/v1"}, b"", 0)
    with serving(lambda n, body: elsewhere) as server, pytest.raises(TriaxisError, match="HTTP 302"):
        asked(server)
    patient = serving(lambda n, body: failure(429, "", {"Retry-After": "86400"}))
    with patient as server, pytest.raises(JudgeDown, match="asks to wait 86,400 s"):
        asked(server)
    with pytest.raises(JudgeDown, match="refused, 2 times"):
        ask(Judge(f"http://127.0.0.1:{free_port()}/v1", "m", tries=2, first_wait=0.01), "x", Gate())


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"endpoint": "localhost:8000"}, "is no address"),
        ({"endpoint": "ftp://x/v1"}, "is no address"),
        ({"endpoint": "http://me:secret@x/v1"}, "leave the key out"),
        ({"template": "Was {prompt} refused?"}, "lacks {reply}"),
    ],
)
def test_a_judge_that_can_not_be_asked(changes, words):
    with pytest.raises(TriaxisError, match=words) as error:
        Judge(**{"endpoint": "http://x/v1", "model": "m"} | changes)
    assert "secret" not in str(error.value)


def test_places_in_what_is_judged_stay_as_they_are():
    one = Judge("http://x/v1", "m", template="P={prompt} R={reply}")
    assert one.asked("a {reply}", "b {prompt}") == "P=a {reply} R=b {prompt}"
    assert one.template_hash != Judge("http://x/v1", "m").template_hash and "{prompt}" in TEMPLATE


# A folder


@pytest.fixture
def prompts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, texts in (("harmful", PROMPTS), ("benign", FRIENDLY)):
        rows = "".join(json.dumps({"prompt": text}) + "\n" for text in texts)
        (tmp_path / f"{name}.jsonl").write_text(rows)
    return {
        "safety": "file:harmful.jsonl?question=prompt&verifier=refuse",
        "over_refusal": "file:benign.jsonl?question=prompt&verifier=comply",
    }


def answered(run, step, tasks, reply, n=12):
    """Records of both sets; `reply(group, i)` is what the model says."""
    records = []
    for group, name in tasks.items():
        task = get_task(name)
        for i, item in enumerate(task.examples("eval", 0, n)):
            text = reply(group, i)
            outcome = task.outcome(item, text, True)
            records.append(
                Record(
                    run=run, step=step, task=name, group=group, mode="default", item=item.id, sample=0, outcome=outcome,
                    score=task.score(outcome), response_tokens=9, thought=False, finished=True, text=text,
                )
            )  # fmt: skip
    return records


def mixed(group, i):
    """One in three the detector doesn't see, one is empty."""
    return "" if i == 0 else f"I refuse, number {i}." if i % 3 else f"I hereby refuse number {i}" + " of them" * (i % 2)


@pytest.fixture
def folder(tmp_path, prompts):
    with Store.create(tmp_path / "s", "name: s\n", {"study": None}, []) as store:
        for run, seed in (("a", 0), ("b", 1)):
            store.add_run(run, seed, "s", {"model.base": "x", "optimization.learning_rate": 0.1 + seed}, {})
        store.write_base("x", answered("", 0, prompts, lambda group, i: f"Sure: colour {i}."), {})
        for run in ("a", "b"):
            for step in (4, 8):
                store.write_checkpoint(run, Checkpoint(step), answered(run, step, prompts, mixed), {})
                store.mark(run, "done")
    return tmp_path / "s"


def in_process(*args, capsys, monkeypatch):
    """The command as `main` runs it, without another process: its code, output and errors."""
    from triaxis.cli import main

    monkeypatch.setattr(sys, "argv", ["triaxis", *map(str, args)])
    code = main()
    told = capsys.readouterr()
    return code, told.out, told.err


def test_a_folder_is_judged_once_and_what_is_alike_is_asked_once(folder, prompts):
    with serving() as server:
        with Store.open(folder) as store:
            first = judge_folder(store, judge(server))
            again = judge_folder(store, judge(server))
            other = judge_folder(store, judge(server, template=TEMPLATE + " "))
            names = list(store.judges())
        table = read_table(folder)
    assert first.total == 120 and first.missing == 0 and again.kept == 120 and again.requests == 0
    # Both runs said the same at both steps: 24 replies of the base, 22 of the runs, the empty one isn't asked.
    assert first.requests == 46 and first.alike == 120 - 46 and first.prompt_tokens == 4600
    assert other.requests == 46 and len(server.seen) == 92
    assert names == [judge(server).name, judge(server, template=TEMPLATE + " ").name]
    assert set(table.arrow["judge"].to_pylist()) == {names[-1]}  # never two of them side by side
    rows = table.arrow.to_pylist()
    assert {row["judged"] for row in rows if row["text"] == ""} == {"unclear"}
    assert all(row["judged"] == ("complied" if row["step"] == 0 else "refused") for row in rows if row["text"])
    assert KEY.encode() not in (folder / "study.db").read_bytes()


def test_the_detectors_outcome_stays(folder):
    before = read_table(folder).arrow.select(["outcome", "score", "item"]).to_pylist()
    with serving() as server, Store.open(folder) as store:
        judge_folder(store, judge(server))
    assert read_table(folder).arrow.select(["outcome", "score", "item"]).to_pylist() == before


def test_a_checkpoint_measured_anew_is_judged_anew(folder, prompts):
    with serving() as server, Store.open(folder) as store:
        judge_folder(store, judge(server))
        n = len(server.seen)
        store.write_checkpoint("a", Checkpoint(8), answered("a", 8, prompts, lambda g, i: "I can't."), {})
        table = store.table().arrow.to_pylist()
        assert all(row["judged"] is None for row in table if (row["run"], row["step"]) == ("a", 8))
        again = judge_folder(store, judge(server))
    assert again.kept == 96 and len(server.seen) == n + 24


def test_a_judge_that_fails_on_some_is_asked_again_of_those(folder):
    def script(n, body):
        return completion("who knows") if "<reply>\nI refuse, number 5." in body["messages"][0]["content"] else None

    with serving(script) as server, Store.open(folder) as store:
        first = judge_folder(store, judge(server), concurrency=3)
        lacking = [row for row in counted(store) if row["unjudged"]]
        server.script = None
        second = judge_folder(store, judge(server))
    assert first.missing == first.judged[Judged.UNJUDGED] == 8 and len(lacking) == 2, first
    assert first.reasons == {"no verdict: who knows": 8}
    assert second.missing == 0 and second.kept == 112 and second.requests == 2


def test_a_wrong_model_stops_early(folder):
    with serving(lambda n, body: failure(422, "no such model")) as server, Store.open(folder) as store:
        with pytest.raises(TriaxisError, match=r"no such model.*check the model"):
            judge_folder(store, judge(server), concurrency=1)
        assert len(server.seen) < 20  # of 46


def test_a_judge_that_only_breaks_is_down_and_the_one_before_still_speaks(folder):
    with serving() as server, Store.open(folder) as store:
        judge_folder(store, judge(server))
        server.script = lambda n, body: failure(500)
        other = Judge(server.url, "another", tries=2, first_wait=0.01)
        with pytest.raises(JudgeDown, match=r"HTTP 500 .*5 times"):
            judge_folder(store, other, concurrency=2)
        server.script = lambda n, body: failure(503)
        third = Judge(server.url, "third", tries=1)
        with pytest.raises(JudgeDown, match="HTTP 503"):
            judge_folder(store, third)
        assert set(store.judges()) == {judge(server).name, other.name, third.name}
    assert set(read_table(folder).arrow["judge"].to_pylist()) == {judge(server).name}  # the last that said anything


def test_groups_and_tasks(folder, prompts):
    with serving() as server, Store.open(folder) as store:
        only = judge_folder(store, judge(server), groups=["safety"])
        assert only.total == 60
        with pytest.raises(TriaxisError, match="is of group over_refusal"):
            judge_folder(store, judge(server), groups=["safety"], tasks=[prompts["over_refusal"]])
        with pytest.raises(TriaxisError, match="chain is not measured"):
            judge_folder(store, judge(server), tasks=["chain"])


def test_the_command(folder, capsys, monkeypatch):
    monkeypatch.setenv("TRIAXIS_JUDGE_KEY", KEY)
    with serving() as server:
        options = ("--endpoint", server.url, "--model", "m")
        code, out, err = in_process("judge", folder, *options, capsys=capsys, monkeypatch=monkeypatch)
        assert code == 0 and "triaxis analyze" in out and "120 responses to judge" in err, err
        assert "46 requests (74 responses were alike or empty), 4,600 tokens in, 322 out" in err
        code, out, err = in_process("judge", folder, *options, "--json", capsys=capsys, monkeypatch=monkeypatch)
        told = json.loads(out)
        assert code == 0 and told["judged_before"] == 120 and told["requests"] == 0 and len(server.seen) == 46
        assert told["tasks"][1]["group"] == "safety" and told["tasks"][1]["refused"] == 44
        assert told["tasks"][1]["refused_by_detector"] == 32
        assert KEY not in out + err
        wrong = [
            (("--group", "far_ood"), "a judge is asked of safety and over_refusal"),
            (("--template", "nowhere.txt"), "nowhere.txt"),
            (("--concurrency", "0"), "concurrency"),
            (("--key-env", "sk-1234567890"), "never the key"),
        ]
        for bad, words in wrong:
            code, out, err = in_process("judge", folder, *options, *bad, capsys=capsys, monkeypatch=monkeypatch)
            assert code == 2 and words in err and err.count("\n") == 1 and "sk-12345" not in err, err
    (folder.parent / "harmful.jsonl").write_text('{"prompt": "another"}\n')
    code, out, err = in_process("judge", folder, *options, capsys=capsys, monkeypatch=monkeypatch)
    assert code == 2 and "is no item of task" in err


def test_a_judge_that_is_down(folder, capsys, monkeypatch):
    options = ("--endpoint", f"http://127.0.0.1:{free_port()}/v1", "--model", "m", "--tries", "1")
    code, _, err = in_process("judge", folder, *options, capsys=capsys, monkeypatch=monkeypatch)
    assert code == 1 and "Connection refused, 1 times" in err and "Traceback" not in err
    assert len(read_table(folder).arrow) == 120


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_what_was_judged_before_a_kill_is_not_asked_again(folder, how):
    with serving(lambda n, body: completion('{"verdict": "refuse"}', delay=0.05)) as server:
        command = [sys.executable, "-c", MAIN, "judge", str(folder), "--endpoint", server.url, "--model", "m"]
        process = subprocess.Popen([*command, "--concurrency", "1"], stderr=subprocess.PIPE, text=True)
        while len(server.seen) < 10:
            time.sleep(0.02)
            assert process.poll() is None
        process.send_signal(how)
        _, err = process.communicate(timeout=30)
        assert process.returncode == (1 if how == signal.SIGINT else -signal.SIGKILL)
        assert how == signal.SIGKILL or "the same command goes on" in err
        before = len(server.seen)
        with Store.open(folder) as store:
            done = judge_folder(store, Judge(server.url, "m"), concurrency=8)
    assert done.missing == 0 and before < 46 and len(server.seen) <= 46 + 1, (before, len(server.seen))


STUDY = {
    "name": "small",
    "model": {"base": "lab:weak"},
    "data": {"task": "chain", "structure": "short_cot", "examples": 64},
    "optimization": {"learning_rate": 1e-3, "steps": 2, "batch_size": 8},
    "seeds": 1,
    "tasks": {"in_domain": ["chain"], "safety": ["refusal"]},
    "trajectory": {"steps": [2]},
}


def test_a_study_goes_on_when_its_judge_is_down_and_is_judged_by_the_same_command(tmp_path):
    def run(endpoint):
        judge = {"endpoint": endpoint, "model": "m", "tries": 1}
        (tmp_path / "s.yaml").write_text(yaml.safe_dump(STUDY | {"evaluation": {"items": 6, "judge": judge}}))
        command = [sys.executable, "-c", MAIN, "run", "s.yaml", "--out", "out", "--jobs", "1"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)

    address = f"http://127.0.0.1:{free_port()}/v1"
    down = run(address)
    assert down.returncode == 0 and "report.html" in down.stdout, down.stderr
    later = f"judge them later: triaxis judge out --endpoint {address} --model m"
    assert [later in line and "Connection refused" in line for line in down.stderr.splitlines()].count(True) == 1
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "records").rglob("*.parquet")}
    with serving() as server:
        up = run(server.url)
    assert up.returncode == 0 and "requests" in up.stderr and "safety (judged)" in up.stdout, up.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before and len(before) == 2
    found = json.loads((tmp_path / "out" / "analysis.json").read_text())
    assert {f["quantity"] for f in found["findings"] if f["question"] == "judge"} == {
        "detector and judge agree: refusal",
        "Cohen's kappa: refusal",
    }
    assert {summary["group"] for summary in found["summaries"]} == {"in_domain", "safety", "safety_judged"}


def test_a_studys_judge_is_no_part_of_its_runs():
    plain, judged = (
        parse_study(STUDY | {"evaluation": evaluation})
        for evaluation in ({"items": 6}, {"items": 6, "judge": {"endpoint": "http://x/v1", "model": "m"}})
    )
    assert [run.id for run in plain.runs()] == [run.id for run in judged.runs()]
    assert parse_study(judged.to_dict()) == judged != plain
    told = {s.name: (s.value, s.source) for s in judged.settings if ".judge." in s.name}
    assert told["evaluation.judge.model"] == ("m", "study") and told["evaluation.judge.tries"] == (6, "default")
    assert not any("judge" in setting.name for setting in plain.settings)
    for wrong, words in [
        ({"endpoint": "http://x/v1"}, "evaluation.judge.model: missing"),
        ({"endpoint": "http://x/v1", "model": "m", "modle": "n"}, "did you mean evaluation.judge.model?"),
        ({"endpoint": "http://x/v1", "model": "m", "key_env": "sk-1234"}, "never the key"),
    ]:
        with pytest.raises(TriaxisError) as error:
            parse_study(STUDY | {"evaluation": {"judge": wrong}})
        assert words in str(error.value) and "sk-1" not in str(error.value)


@pytest.mark.parametrize(
    ("judge", "groups", "words"),
    [
        ({"endpoint": "x"}, ["safety"], "evaluation.judge: endpoint: 'x' is no address"),
        ({"template": "nowhere"}, ["safety"], "nowhere"),
        ({}, ["in_domain"], "is asked of safety and over_refusal, and there are no tasks of these"),
    ],
)
def test_a_studys_judge_is_looked_at_before_anything_runs(judge, groups, words):
    from triaxis.execute.judging import check_judge
    from triaxis.study.judging import JudgeSettings

    settings = JudgeSettings(**{"endpoint": "http://x/v1", "model": "m"} | judge)
    with pytest.raises(TriaxisError) as error:
        check_judge(settings, groups)
    assert words in str(error.value)
