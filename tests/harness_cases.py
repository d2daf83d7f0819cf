"""Small tasks of lm-evaluation-harness over local files, for the tests of those that are asked by name."""

import json
import random
from pathlib import Path

COMMON = """
dataset_path: json
dataset_kwargs: {data_files: {test: quiz.jsonl, train: shots.jsonl}}
test_split: test
fewshot_split: train
doc_to_text: "Question: {{question}}\\nAnswer:"
metadata: {version: 1.0}
"""
MEAN = "aggregation: mean, higher_is_better: true"
TASKS = {
    "mc": f"""
output_type: multiple_choice
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{gold}}}}"
metric_list: [{{metric: acc, {MEAN}}}, {{metric: acc_norm, {MEAN}}}]
""",
    "gen": f"""
output_type: generate_until
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: ["\\n\\n", "Question:"], do_sample: false, max_gen_toks: 24}}
filter_list:
  - {{name: first, filter: [{{function: regex, regex_pattern: "(-?[0-9]+)"}}, {{function: take_first}}]}}
  - name: last
    filter: [{{function: regex, regex_pattern: "(-?[0-9]+)", group_select: -1}}, {{function: take_first}}]
metric_list: [{{metric: exact_match, {MEAN}}}]
""",
    "ll": f"""
output_type: loglikelihood
doc_to_target: " {{{{answer}}}}"
metric_list: [{{metric: perplexity, aggregation: perplexity, higher_is_better: false}}, {{metric: acc, {MEAN}}}]
""",
    "fields": f"""
output_type: multiple_choice
doc_to_text: "{{{{gold}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "is what {{{{question}}}}"
metric_list: [{{metric: acc, {MEAN}}}]
""",
    "mutual": f"""
output_type: multiple_choice
fewshot_split: test
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{gold}}}}"
metric_list: [{{metric: acc_mutual_info, {MEAN}}}]
""",
    "rolling": """
output_type: loglikelihood_rolling
doc_to_target: "{{question}}"
metric_list: [{metric: bits_per_byte, aggregation: bits_per_byte, higher_is_better: false}]
""",
    "votes": "output_type: generate_until\ndoc_to_target: answer\nrepeats: 4\n",
    "code": "output_type: generate_until\ndoc_to_target: answer\nunsafe_code: true\n",
    "corpus": """
output_type: generate_until
doc_to_target: answer
generation_kwargs: {until: ["x"]}
metric_list: [{metric: bleu, aggregation: bleu, higher_is_better: true}]
""",
    "nucleus": """
output_type: generate_until
doc_to_target: answer
generation_kwargs: {until: ["x"], do_sample: true, temperature: 0.7, top_p: 0.9}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
""",
}


def sums(n: int, seed: int) -> list[dict]:
    """Questions with four choices; none of one seed is one of another."""
    rng, found = random.Random(seed), {}
    while len(found) < n:
        a, b = rng.randrange(100), rng.randrange(100) + 100 * seed
        choices = [str(a + b), str(a + b + 1), str(a + b + 10), str(abs(a - b) + 1000)]
        rng.shuffle(choices)
        asked = f"What do you get if you add {a} and {b}?"
        found[asked] = {
            "question": asked,
            "choices": choices,
            "gold": choices.index(str(a + b)),
            "answer": str(a + b),
        }
    return list(found.values())


def write_rows(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_tasks(folder: Path) -> None:
    """quiz.jsonl, shots.jsonl and a YAML for each of TASKS, all of which include common.yaml."""
    write_rows(folder / "quiz.jsonl", sums(30, 1))
    write_rows(folder / "shots.jsonl", sums(8, 2))
    (folder / "common.yaml").write_text(COMMON)
    for name, text in TASKS.items():
        (folder / f"{name}.yaml").write_text(f"include: common.yaml\ntask: sums_{name}\n{text}")
    (folder / "group.yaml").write_text("group: sums\ntask: [sums_mc, sums_gen]\n")


def write_lab(folder: Path, items: int = 40) -> None:
    """chain's own questions as lm-eval's tasks, in words that the lab's models know."""
    from triaxis.tasks import get_task

    rows = [
        {"prompt": e.prompt, "options": [f"A {digit}" for digit in range(10)], "answer": e.answer}
        for e in get_task("chain").examples("eval", 7, items)
    ]
    write_rows(folder / "chain.jsonl", rows)
    common = "dataset_path: json\ndataset_kwargs: {data_files: {test: chain.jsonl}}\ntest_split: test\n"
    common += "doc_to_text: prompt\ndoc_to_target: answer\n"
    (folder / "lab_mc.yaml").write_text(
        f"task: lab_mc\n{common}output_type: multiple_choice\ndoc_to_choice: options\n"
        f"metric_list: [{{metric: acc, {MEAN}}}]\n".replace("doc_to_target: answer", 'doc_to_target: "{{answer}}"')
    )
    (folder / "lab_gen.yaml").write_text(
        f"task: lab_gen\n{common}output_type: generate_until\n"
        'generation_kwargs: {until: [";"], do_sample: false, max_gen_toks: 150}\n'
        "filter_list:\n"
        '  - {name: digit, filter: [{function: regex, regex_pattern: "A ([0-9])"}, {function: take_first}]}\n'
        f"metric_list: [{{metric: exact_match, {MEAN}}}]\n"
    )


MC, GEN = "lm_eval:lab_mc.yaml?apply_chat_template=true", "lm_eval:lab_gen.yaml?apply_chat_template=true"
