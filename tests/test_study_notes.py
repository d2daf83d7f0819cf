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
