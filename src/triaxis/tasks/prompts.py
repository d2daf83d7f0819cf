"""The prompt templates of tasks in plain language, their other wordings, and a prompt's question without them."""

from __future__ import annotations

import hashlib
import re
import unicodedata

from triaxis.tasks.streams import keyed
from triaxis.types import TriaxisError

BARE = "bare"
QUESTION = "{question}"
TEMPLATES = {  # what a task puts around its question
    BARE: QUESTION,
    "boxed": QUESTION + "\nPlease reason step by step, and put your final answer within \\boxed{}.",
    "choice": QUESTION + "\nPlease reason step by step, and put the letter of your choice within \\boxed{}.",
    "tagged": QUESTION + "\nPlease reason step by step, and put your final answer between <answer> and </answer>.",
}
_MARKS = {
    "boxed": "your final answer within \\boxed{}",
    "choice": "the letter of your choice within \\boxed{}",
    "tagged": "your final answer between <answer> and </answer>",
}
_WORDINGS = (  # the same request in other words, in another place
    "Below is a problem. Work it out, then give {mark}.\n\n{question}",
    "{question}\n\nThink it through before you reply. At the end write {mark}.",
    "Here is something to solve:\n\n{question}\n\nExplain how you get there; close with {mark}.",
)


def wordings(template: str) -> tuple[str, ...]:
    """The other wordings of a template. Raises TriaxisError for one that says nothing that could be reworded."""
    if template not in _MARKS:
        raise TriaxisError(f'the template "{template}" says nothing that could be worded otherwise')
    return tuple(words.replace("{mark}", _MARKS[template]) for words in _WORDINGS)


def asked(question: str, template: str, *, reworded: bool = False) -> str:
    """The prompt that asks a question; `reworded` in one of the other wordings, which the question itself draws."""
    words = TEMPLATES[template]
    if reworded:
        others = wordings(template)
        words = others[keyed("wording", question).integers(len(others))]
    return words.replace(QUESTION, question)


def question_of(prompt: str) -> str:
    """What a prompt asks, whichever of the templates or their wordings stands around it, in single spaces."""
    text = _spaced(prompt)
    for before, after in _AROUND:
        if text.startswith(before) and text.endswith(after) and len(text) > len(before) + len(after):
            return text[len(before) : len(text) - len(after)].strip()
    return text


def said_alike(question: str) -> str:
    """A question without what people write differently: white space, how accents are encoded, and the case of words;
    a letter alone keeps its case, since `A` and `a` may be two things."""
    return _SEVERAL_LETTERS.sub(lambda word: word[0].casefold(), _spaced(unicodedata.normalize("NFC", question)))


def fingerprint(prompt: str) -> bytes:
    """Sixteen bytes that two prompts share where they ask the same: `said_alike` once templates are left out."""
    return hashlib.sha256(said_alike(question_of(prompt)).encode("utf-8", "surrogatepass")).digest()[:16]


def _spaced(text: str) -> str:
    return " ".join(text.split())


_SEVERAL_LETTERS = re.compile(r"[^\W\d_]{2,}")
_AROUND = [  # what stands before and after the question
    (_spaced(before), _spaced(after))
    for words in (*TEMPLATES.values(), *(words for template in _MARKS for words in wordings(template)))
    for before, _, after in [words.partition(QUESTION)]
    if before or after
]
