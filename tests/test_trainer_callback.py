"""The callback for other trainers: training doesn't notice it, what it measures is kept and is read by `analyze`."""

import json
import os
import random
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from trainer_cases import alike, callback, examples, tokens, trainer, weights
from triaxis.axes.model import load_base
from triaxis.integrations import TrajectoryCallback
from triaxis.integrations.in_training import Measurer
from triaxis.records import Store, read_table
from triaxis.types import TriaxisError


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Two runs in one folder, at a rate that teaches and at one that destroys."""
    at = tmp_path_factory.mktemp("two")
    said = []
    for rate in (1e-3, 1e-1):
        trainer(at / "out", [callback(at / "runs", said)], learning_rate=rate).train()
    return at / "runs", said


TRIAXIS = str(Path(sys.executable).parent / "triaxis")


def triaxis(*words):
    done = subprocess.run([TRIAXIS, *map(str, words)], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def steps_of(folder):
    with Store.open(folder, read_only=True) as store:
        return {status.run: status.steps for status in store.status()}


def test_the_name_loads_neither_torch_nor_transformers():
    code = """
        import sys
        from triaxis.integrations import TrajectoryCallback, brought
        import triaxis.analyze
        assert not {"torch", "transformers"} & set(sys.modules), "loaded"
        print(TrajectoryCallback.__name__)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert done.stdout == "TrajectoryCallback\n", done.stderr


def test_it_is_one_of_transformers_callbacks(tmp_path):
    from transformers import TrainerCallback

    made = callback(tmp_path / "runs")
    assert isinstance(made, TrainerCallback) and isinstance(made, TrajectoryCallback)


def test_training_is_the_same_bit_for_bit(tmp_path, monkeypatch):
    """With dropout, so that every random number counts, and an evaluation that draws from every stream there is."""
    plain_records = Measurer.records

    def drawing(self, model, step, **more):
        random.random(), np.random.rand(3), torch.rand(3)
        return plain_records(self, model, step, **more)

    monkeypatch.setattr(Measurer, "records", drawing)
    sampled = {"items": 4, "samples": 2, "temperature": 1.0, "max_new_tokens": 40}
    ends = []
    for callbacks in ([], [callback(tmp_path / "runs", evaluation=sampled)]):
        torch.manual_seed(7)
        run = trainer(tmp_path / "out", callbacks, dropout=0.3, max_steps=12)  # two epochs and a bit: ragged batches
        run.train()
        ends.append((weights(run), torch.random.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()))
    (plain, *without), (watched, *beside) = ends
    assert alike(plain, watched)
    assert torch.equal(without[0], beside[0]) and without[1:] == beside[1:]
    assert len(steps_of(tmp_path / "runs")) == 1, "nothing was measured: the test would say nothing"


def test_each_module_keeps_its_own_mode(tmp_path):
    made = callback(tmp_path / "runs")
    run = trainer(tmp_path / "out", [made])
    frozen = run.model.model.layers[0]
    seen = []
    step_end = made.on_step_end

    def watched(args, state, control, **parts):
        run.model.train()
        frozen.eval()
        step_end(args, state, control, **parts)
        seen.append((run.model.training, frozen.training, run.model.model.layers[1].training))

    made.on_step_end = watched
    run.train()
    assert set(seen) == {(True, False, True)}


def test_the_folder_is_a_table_with_the_base_and_the_factor(measured):
    folder, said = measured
    table = read_table(folder)
    assert table.factors == {"optimization.learning_rate": (0.001, 0.1)}
    frame = table.arrow.select(["run", "step"]).to_pylist()
    assert {(row["run"] == "", row["step"]) for row in frame} == {(True, 0), *((False, s) for s in (1, 2, 4, 6, 8))}
    assert sum("is measured already, with these weights" in line for line in said) == 1, "the base is measured once"
    assert table.arrow["tokens"].null_count == len(frame), "nobody counted the tokens, which is not 0"
    assert not table.incomplete and not [w for w in table.warnings if "unfinished" in w]
    with Store.open(folder, read_only=True) as store:
        told = store.status()[0].settings
    assert told["optimization.batch_size"] == 8 and told["optimization.schedule"] == "linear"
    assert told["told by"]["optimization.learning_rate"] == "TrainingArguments.learning_rate"
    assert told["told by"]["data.structure"] == "you"


def test_a_line_a_checkpoint_and_where_each_setting_came_from(measured):
    _, said = measured
    lines = [line for line in said if line.startswith("step ")]
    assert lines[0].startswith("step 0: the base, in_domain .")
    assert "no phase yet (in_domain" in lines[1] and "a shape needs 3 trained checkpoints, here 1" in lines[1]
    assert len(lines) == 6 + 5, "the second run shares its base with the first"
    assert any("optimization.learning_rate 0.1 (TrainingArguments.learning_rate)" in line for line in said)


def test_analyze_and_show_read_the_folder(measured):
    folder, _ = measured
    code, out, err = triaxis("analyze", folder, "--json")
    assert code == 0, err
    assert json.loads(out)["factors"] == {"optimization.learning_rate": [0.001, 0.1]}
    for words in (("show", folder), ("analyze", folder, "--report", folder.parent / "report.html")):
        code, out, err = triaxis(*words)
        assert code == 0 and "2 conditions, 2 runs" in out, err
    assert (folder.parent / "report.html").exists()
    assert triaxis("records", folder, "--verify")[0] == 0


def test_no_study_takes_the_folder_of_a_trainer_nor_the_other_way_round(measured, tmp_path):
    folder, _ = measured
    study = tmp_path / "study.yaml"
    study.write_text("{name: s, model: {base: 'lab:weak'}, data: {task: chain}, tasks: {in_domain: [words]}}")
    code, _, err = triaxis("run", study, "--out", folder)
    assert code == 2 and "holds checkpoints that another trainer made" in err
    Store.create(tmp_path / "s", "x", {"study": {"name": "s"}}, []).close()
    with pytest.raises(TriaxisError, match="holds a study that triaxis run made"):
        trainer(tmp_path / "out", [callback(tmp_path / "s")]).train()


class Killed(BaseException):
    pass


def killing(step):
    from transformers import TrainerCallback

    class Killing(TrainerCallback):
        def on_step_end(self, args, state, control, **parts):
            if state.global_step == step:
                raise Killed

    return Killing()


def counted(monkeypatch):
    """The steps that were measured, in order."""
    seen = []
    plain = Measurer.records

    def records(self, model, step, **more):
        seen.append(step)
        return plain(self, model, step, **more)

    monkeypatch.setattr(Measurer, "records", records)
    return seen


def test_a_resumed_run_measures_nothing_twice(tmp_path, monkeypatch):
    straight = trainer(tmp_path / "a", [callback(tmp_path / "straight")])
    straight.train()
    seen = counted(monkeypatch)
    saving = {"save_strategy": "steps", "save_steps": 2}
    begun = trainer(tmp_path / "b", [callback(tmp_path / "runs"), killing(5)], **saving)
    with pytest.raises(Killed):
        begun.train()
    assert seen == [0, 1, 2, 4]
    said = []
    resumed = trainer(tmp_path / "b", [callback(tmp_path / "runs", said)], **saving)
    resumed.train(resume_from_checkpoint=True)
    assert seen == [0, 1, 2, 4, 6, 8] and "steps 1 2 4 are measured already, and are not measured again" in said
    assert alike(weights(straight), weights(resumed))
    one, other = read_table(tmp_path / "straight"), read_table(tmp_path / "runs")
    assert one.arrow.equals(other.arrow), "the same run, killed and resumed"


def test_a_run_killed_before_a_save_goes_on_from_the_start(tmp_path, monkeypatch):
    seen = counted(monkeypatch)
    with pytest.raises(Killed):
        trainer(tmp_path / "out", [callback(tmp_path / "runs"), killing(3)]).train()
    trainer(tmp_path / "out", [callback(tmp_path / "runs")]).train()
    assert seen == [0, 1, 2, 4, 6, 8]
    assert list(steps_of(tmp_path / "runs").values()) == [(1, 2, 4, 6, 8)]


def test_other_data_is_another_run_and_other_settings_under_a_name_are_refused(tmp_path):
    one, other = (tokens(40, seed) for seed in (0, 1))
    trainer(tmp_path / "out", [callback(tmp_path / "runs")], rows=one, max_steps=2).train()
    trainer(tmp_path / "out", [callback(tmp_path / "runs")], rows=other, max_steps=2).train()
    assert len(steps_of(tmp_path / "runs")) == 2
    trainer(tmp_path / "out", [callback(tmp_path / "runs", run="mine")], max_steps=2).train()
    with pytest.raises(TriaxisError, match=r"run mine is there with optimization\.learning_rate 0\.001, and here"):
        trainer(tmp_path / "out", [callback(tmp_path / "runs", run="mine")], max_steps=2, learning_rate=1.0).train()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seed": 43}, "with seed 42, and here it is 43"),
        ({"rows": 1}, "with other data"),
        ({"evaluation": {"items": 9, "max_new_tokens": 60}}, "with other questions"),
    ],
)
def test_a_name_is_not_taken_for_another_run_of_the_same_settings(tmp_path, change, told):
    """It would be taken for measured, and nothing of it would be kept."""
    trainer(tmp_path / "out", [callback(tmp_path / "runs", run="mine")], max_steps=2).train()
    asked = {"evaluation": change.pop("evaluation")} if "evaluation" in change else {}
    rows = tokens(40, change.pop("rows", 0))
    with pytest.raises(TriaxisError, match=f"run mine is there {told}; name this run otherwise"):
        trainer(
            tmp_path / "out", [callback(tmp_path / "runs", run="mine", **asked)], rows=rows, max_steps=2, **change
        ).train()


def test_a_base_that_answers_in_other_numbers_has_rows_of_its_own(tmp_path):
    """Under autocast the same weights give other scores: the gain would be the precision's."""
    trainer(tmp_path / "out", [callback(tmp_path / "runs", run="full")], max_steps=2).train()
    trainer(tmp_path / "out", [callback(tmp_path / "runs", run="half")], max_steps=2, bf16=True).train()
    assert steps_of(tmp_path / "runs") == {"full": (1, 2), "half": (0, 1, 2)}


def test_another_model_under_the_same_name_has_a_base_of_its_own(tmp_path):
    trainer(tmp_path / "out", [callback(tmp_path / "runs")], max_steps=2).train()
    other = trainer(tmp_path / "out", [callback(tmp_path / "runs", run="other")], max_steps=2)
    with torch.no_grad():
        other.model.model.norm.weight.mul_(0.5)
    other.train()
    assert steps_of(tmp_path / "runs")["other"] == (0, 1, 2), "the first one's base is left alone"


def test_a_failing_evaluation_costs_one_line_and_no_training(tmp_path, monkeypatch):
    plain = trainer(tmp_path / "a")
    plain.train()
    records = Measurer.records

    def failing(self, model, step, **more):
        found = records(self, model, step, **more)
        if step in (2, 8):
            model.eval()
            torch.rand(3)
            raise torch.OutOfMemoryError("out of memory\nwith a long story")
        return found

    monkeypatch.setattr(Measurer, "records", failing)
    said = []
    run = trainer(tmp_path / "b", [callback(tmp_path / "runs", said)])
    run.train()
    assert alike(weights(plain), weights(run))
    assert "step 2 could not be measured (out of memory); training goes on" in said
    assert list(steps_of(tmp_path / "runs").values()) == [(1, 4, 6)]
    with Store.open(tmp_path / "runs", read_only=True) as store:
        assert store.status()[0].message == "step 8 was not measured: out of memory"


def test_the_budget_keeps_room_for_the_last_checkpoint(tmp_path, monkeypatch):
    clock = iter(np.arange(0.0, 1000.0, 6.0))  # every evaluation takes 6 seconds
    timed = SimpleNamespace(perf_counter=lambda: float(next(clock)))
    monkeypatch.setattr("triaxis.integrations.trajectory.time", timed)
    said = []
    trainer(tmp_path / "out", [callback(tmp_path / "runs", said, minutes=0.4)]).train()
    assert list(steps_of(tmp_path / "runs").values()) == [(1, 2, 8)], "0, 1, 2 and the last: 24 seconds"
    told = [line for line in said if "minutes for evaluations" in line]
    assert told == [
        "step 4 is not measured: the budget of 0.4 minutes for evaluations is used up; what is left is kept for the"
        " last"
    ]


def test_the_end_of_a_run_that_stops_early_is_measured(tmp_path):
    from transformers import TrainerCallback

    class Stopping(TrainerCallback):
        def on_step_end(self, args, state, control, **parts):
            control.should_training_stop = state.global_step == 5

    trainer(tmp_path / "out", [callback(tmp_path / "runs"), Stopping()]).train()
    assert list(steps_of(tmp_path / "runs").values()) == [(1, 2, 4, 5)]


def test_two_trainings_share_a_folder(tmp_path):
    """The lock is held while something is written, and no longer."""
    made = callback(tmp_path / "runs", run="a")
    first = trainer(tmp_path / "a", [made], max_steps=4)
    step_end = made.on_step_end

    def watched(args, state, control, **parts):
        step_end(args, state, control, **parts)
        if state.global_step == 2:
            trainer(tmp_path / "b", [callback(tmp_path / "runs", run="b")], max_steps=2).train()

    made.on_step_end = watched
    first.train()
    assert steps_of(tmp_path / "runs") == {"a": (1, 2, 3, 4), "b": (1, 2)}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"tasks": {"in_domain": ["chian"]}}, 'unknown task "chian"; did you mean "chain"'),
        ({"tasks": {"ood": ["chain"]}}, "no group 'ood'"),
        ({"tasks": {}}, "none given"),
        ({"settings": {"learning_rate": 1e-3}}, r"did you mean optimization\.learning_rate"),
        ({"settings": {"data.structure": None}}, "give a number or a text"),
        ({"evaluation": {"itmes": 3}}, "did you mean items"),
        ({"evaluation": {"samples": 3}}, "raise temperature"),
        ({"steps": [4, 2]}, "steps must increase"),
    ],
)
def test_mistakes_in_the_arguments_are_told_at_once(tmp_path, change, told):
    with pytest.raises(TriaxisError, match=told):
        callback(tmp_path / "runs", **change)
    assert not (tmp_path / "runs").exists()


def test_mistakes_that_the_trainer_shows_are_told_before_the_first_step(tmp_path):
    with pytest.raises(TriaxisError, match="step 64 is beyond the end of a run of 8 steps"):
        trainer(tmp_path / "out", [callback(tmp_path / "runs", steps=[4, 64])]).train()
    mute = trainer(tmp_path / "out", [callback(tmp_path / "runs")])
    mute.processing_class.chat_template = None
    with pytest.raises(TriaxisError, match="no chat template"):
        mute.train()
    with pytest.raises(TriaxisError, match="exceed the context of 256; lower it"):
        trainer(tmp_path / "out", [callback(tmp_path / "runs", evaluation={"items": 2, "max_new_tokens": 500})]).train()
    blank = trainer(tmp_path / "out", [callback(tmp_path / "runs")])
    blank.callback_handler.processing_class = None
    with pytest.raises(TriaxisError, match="no tokenizer"):
        blank.train()


def test_a_tokenizer_that_pads_with_nothing_or_ends_turns_otherwise():
    model, tokenizer = load_base("lab:weak")
    tokenizer.pad_token = None
    from triaxis.integrations.in_training import _fit

    said = []
    fitted = _fit(tokenizer, model, said.append)
    assert fitted.pad_token == fitted.eos_token and tokenizer.pad_token is None and not said
    tokenizer.eos_token = "wait"  # a base whose tokenizer ends documents, and whose template ends turns
    model.generation_config.eos_token_id = [4]
    assert _fit(tokenizer, model, said.append).eos_token_id == 4 and not said
    model.generation_config.eos_token_id = None
    _fit(tokenizer, model, said.append)
    assert len(said) == 1 and "puts no wait after a response" in said[0]


def test_an_optimizer_of_the_users_own_is_asked_itself(tmp_path):
    run = trainer(tmp_path / "out", [callback(tmp_path / "runs")], max_steps=2)
    run.optimizer = torch.optim.SGD(run.model.parameters(), lr=0.02, weight_decay=0.3)
    run.train()
    with Store.open(tmp_path / "runs", read_only=True) as store:
        told = store.status()[0].settings
    asked = ("optimizer", "learning_rate", "weight_decay")
    assert [told[f"optimization.{key}"] for key in asked] == ["sgd", 0.02, 0.3]
    assert told["told by"]["optimization.learning_rate"] == "the trainer's optimizer"


def test_sft_trainer_is_measured_too(tmp_path):
    """As a user of TRL runs it: conversations in, the folder read by `triaxis analyze`."""
    trl = pytest.importorskip("trl")
    from datasets import Dataset

    rows = Dataset.from_list(
        [
            {
                "prompt": [{"role": "user", "content": e.prompt}],
                "completion": [{"role": "assistant", "content": e.response}],
            }
            for e in examples()
        ]
    )
    ends = []
    for n, callbacks in enumerate(([], [callback(tmp_path / "runs", said := [])])):
        model, tokenizer = load_base("lab:weak")
        config = trl.SFTConfig(
            output_dir=str(tmp_path / f"out{n}"), max_steps=8, per_device_train_batch_size=8, learning_rate=1e-3,
            use_cpu=True, bf16=False, gradient_checkpointing=False, save_strategy="no", logging_strategy="no",
            report_to=[], disable_tqdm=True,
        )  # fmt: skip
        run = trl.SFTTrainer(
            model=model, args=config, train_dataset=rows, processing_class=tokenizer, callbacks=callbacks
        )
        run.train()
        ends.append(weights(run))
    assert alike(*ends)
    assert any("optimization.loss nll (SFTConfig.loss_type)" in line for line in said)
    assert list(steps_of(tmp_path / "runs").values()) == [(1, 2, 4, 6, 8)]
    code, out, err = triaxis("analyze", tmp_path / "runs")
    assert code == 0 and "1 run" in out, err


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from trainer_cases import callback, trainer, weights
import torch
folder = sys.argv[1]
said = []
callbacks = [callback(folder + "/runs", said)] if sys.argv[2] == "watched" else []
run = trainer(folder + "/out", callbacks, per_device_train_batch_size=4, ddp_backend="gloo")
run.train()
if run.is_world_process_zero():
    torch.save(weights(run), f"{{folder}}/{{sys.argv[2]}}.pt")
else:
    assert not said, said
"""


@pytest.mark.slow
def test_in_two_processes_the_main_one_measures_and_the_other_waits(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent)))
    for kind in ("plain", "watched"):
        command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29617"]
        done = subprocess.run(
            [*command, str(script), str(tmp_path), kind], env=dict(os.environ), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-3000:]
    assert alike(*(torch.load(tmp_path / f"{kind}.pt") for kind in ("plain", "watched")))
    assert list(steps_of(tmp_path / "runs").values()) == [(1, 2, 4, 6, 8)]
    with Store.open(tmp_path / "runs", read_only=True) as store:
        assert store.status()[0].settings["optimization.batch_size"] == 8
