"""What a study trains on against what it evaluates: what is refused, what is noted, and what is left alone."""

import pytest

from triaxis.study import parse_study
from triaxis.types import TriaxisError

GROUPS = {"in_domain": ["chain"], "near_ood": ["words"], "far_ood": ["boolean", "pointer"], "safety": ["refusal"]}


def study(data, **sections):
    return parse_study({"model": {"base": "m"}, "data": {"task": "chain"} | data, "tasks": GROUPS} | sections)


@pytest.mark.parametrize(
    ("data", "tasks", "words"),
    [
        ({"task": "boolean"}, {}, "tasks.far_ood: boolean is trained on (data.task); list it under in_domain"),
        ({"task": ["boolean"]}, {}, "tasks.far_ood: boolean is trained on (data.task); list it under in_domain"),
        ({"task": "words"}, {}, "tasks.near_ood: words is trained on (data.task); list it under in_domain"),
        (
            {"task": ["chain", "pointer"]},
            {},
            "tasks.far_ood: pointer is trained on in 1 of 2 conditions (data.task); list it under in_domain",
        ),
        (
            {"replay_share": [0.0, 0.1]},
            {"safety": ["other"], "far_ood": ["refusal"]},
            "tasks.far_ood: refusal is trained on in 1 of 2 conditions (data.replay_share); list it under safety",
        ),
    ],
)
def test_a_task_that_is_trained_on_is_not_out_of_domain(data, tasks, words):
    with pytest.raises(TriaxisError) as caught:
        study(data, tasks=GROUPS | tasks)
    assert str(caught.value) == f"study: {words}"


def test_replacing_tasks_is_checked_too():
    with pytest.raises(TriaxisError, match=r"tasks.near_ood: chain is trained on"):
        study({}).replace(tasks={"in_domain": ["words"], "near_ood": ["chain"]})


def test_a_sound_study_has_no_notes():
    assert study({}).notes == ()
    assert study({"task": ["chain"], "noise_rate": [0.0, 0.6], "replay_share": 0.0}, seeds=2).notes == ()


@pytest.mark.parametrize(
    ("data", "sections", "notes"),
    [
        ({}, {"tasks": {"in_domain": ["chain"]}}, ["no safety group: refusals that are lost would go unseen; "
                                                   "add safety: [refusal]"]),
        ({"task": "letters"}, {}, [
            "data.task: letters is trained on and not under in_domain: what is learned in domain goes unseen; "
            "add in_domain: [letters]",
            "tasks.in_domain: chain is trained on in no condition: its score is one of transfer",
        ]),
        ({"task": ["chain", "letters"]}, {"tasks": GROUPS | {"in_domain": ["chain", "letters"]}}, [
            "tasks.in_domain: chain is trained on in 1 of 2 conditions, in the others its score is one of transfer",
            "tasks.in_domain: letters is trained on in 1 of 2 conditions, in the others its score is one of transfer",
        ]),
        ({"replay_share": 0.1}, {}, ["the safety task is trained on through data.replay_share: its score is "
                                     "in-domain"]),
        ({"replay_share": [0.0, 0.1]}, {}, ["the safety task is trained on in 1 of 2 conditions through "
                                            "data.replay_share: its score is in-domain"]),
        ({"replay_share": 0.1}, {"tasks": GROUPS | {"safety": ["other"]}}, []),
        ({}, {"tasks": GROUPS | {"in_domain": ["letters"], "general": ["chain"]}}, [
            "data.task: chain is trained on and not under in_domain: what is learned in domain goes unseen; "
            "add in_domain: [chain]",
            "tasks.in_domain: letters is trained on in no condition: its score is one of transfer",
            "tasks.general: chain is trained on (data.task): its score is in-domain",
        ]),
        ({}, {"seeds": [4]}, ["one seed a condition: no error term, so statements about the population of runs are "
                              "not estimable"]),
    ],
)  # fmt: skip
def test_what_weakens_a_claim_is_noted(data, sections, notes):
    assert list(study(data, **sections).notes) == notes


def test_the_note_of_one_seed_is_that_of_the_design():
    made = study({"noise_rate": [0.0, 0.6]}, seeds=1)
    assert made.notes[-1] in made.identification().describe()


# the same task by another name


def sourced(source, **tasks):
    return parse_study({"model": {"base": "m"}, "data": {"source": source}, "tasks": tasks, "seeds": 2})


@pytest.mark.parametrize(
    ("source", "far", "words"),
    [
        ("lab:boolean", "boolean", "boolean is trained on (data.source); list it under in_domain"),
        ("lab:boolean?n=5000&seed=3&structure=long_cot", "boolean", "boolean is trained on (data.source); list it un"),
        ("lab:chain", "chain?surface=numbers", "chain?surface=numbers is a form of chain, which is trained on (data.s"),
        ("rg:chain_sum", "rg:chain_sum?max_terms=4", "is a form of rg:chain_sum, which is trained on (data.source); "
                                                     "list it under near_ood"),
        ("rg:chain_sum?max_terms=4", "rg:chain_sum", "rg:chain_sum is a form of rg:chain_sum, which is trained on"),
        ("data/aime.jsonl", "file:./data/aime.jsonl?verifier=math", "is trained on (data.source); list it under in_d"),
    ],
)  # fmt: skip
def test_a_source_is_a_task_by_another_name(source, far, words):
    with pytest.raises(TriaxisError) as caught:
        sourced(source, far_ood=[far])
    assert words in str(caught.value)


def test_a_surface_variant_of_the_task_is_near_and_not_far():
    with pytest.raises(TriaxisError, match=r"far_ood: chain\?surface=numbers is a form of chain, which is trained on"):
        study({}, tasks=GROUPS | {"far_ood": ["chain?surface=numbers"]})
    [note] = study({}, tasks=GROUPS | {"near_ood": ["chain?surface=numbers"]}).notes
    assert note.startswith(
        "tasks.near_ood: chain?surface=numbers is a form of chain, which is trained on (data.task): "
    )
    with pytest.raises(TriaxisError, match="near_ood: rg:gcd is trained on"):
        sourced("rg:gcd", near_ood=["rg:gcd"])


def test_what_is_another_task_is_left_alone():
    assert sourced("rg:gcd", in_domain=["rg:gcd"], far_ood=["rg:lcm", "chain"], safety=["refusal"]).notes == ()
    assert sourced("chain", far_ood=["chain"]).notes, "a file of that name is no task"
    assert sourced("lab:chain?n=9", in_domain=["chain"], safety=["refusal"]).notes == ()


# kinds of no noise


def kinds(rates=(0.0, 0.3), names=("wrong_answer", "truncated"), **sections):
    return study({"noise_rate": list(rates), "noise_kind": list(names)}, seeds=2, **sections)


def test_conditions_without_noise_are_one_condition():
    made = kinds()
    cells = [tuple(condition.levels.values()) for condition in made.conditions()]
    assert cells == [(0.0, "none"), (0.3, "wrong_answer"), (0.3, "truncated")]
    assert len({run.id for run in made.runs()}) == len(made.runs()) == 6
    assert {run.id for run in study({"noise_rate": [0.0]}, seeds=2).runs()} < {run.id for run in made.runs()}
    assert made.notes[0].startswith(
        "data.noise_kind: without noise (data.noise_rate 0) there is no kind of it, so 4 co"
    )
    assert [s.value for s in made.settings if s.name == "data.noise_kind"] == [("wrong_answer", "truncated")]


@pytest.mark.parametrize("names", [("wrong_answer", "truncated"), ("wrong_step", "truncated")])
def test_what_they_identify_is_what_three_cells_can(names):
    """The kinds are told apart at .3 alone: neither main effect may be claimed, whether the default is among them."""
    found = kinds(names=names).identification()
    assert found.n_conditions == 3 and found.n_runs == 6
    for factor in ("data.noise_kind", "data.noise_rate"):
        assert found.term(factor).status == "aliased", found.term(factor)
    assert any(line.startswith("data.noise_rate follows from data.noise_kind") for line in found.describe())
    alone = kinds(rates=(0.3, 0.6), names=names)
    assert alone.identification().term("data.noise_kind").identified and alone.notes == ()


def test_a_kind_that_is_fixed_is_no_factor():
    made = study({"noise_rate": [0.0, 0.3], "noise_kind": "truncated"}, seeds=2)
    assert made.identification().factors == ("data.noise_rate",)
    assert made.identification().term("data.noise_rate").identified and made.notes == ()
    assert [c.settings["data.noise_kind"] for c in made.conditions()] == ["wrong_step", "truncated"]
    assert [s.value for s in made.settings if s.name == "data.noise_kind"] == ["truncated"]
    assert study({"noise_kind": "truncated"}, seeds=2).notes == (
        "data.noise_kind: truncated has no effect, since data.noise_rate is 0",
    )
    with pytest.raises(TriaxisError, match=r"data.noise_kind: varies, and data.noise_rate is 0 throughout"):
        study({"noise_kind": ["truncated", "wrong_step"]})
