"""Near-duplicates beside datasketch, and the Vendi score beside vendi-score, on the same texts in one run.

    python benchmarks/diversity.py [--texts 20000] [--kernel 1500] [--seed 0]

Prompts of 20 to 120 words, a tenth of them edited copies of others, with 0 to 12 words changed. Both libraries get the
same shingles (3 words), threshold (.8), and candidates decided by Jaccard's index; agreement is with that index, worked
out from the text for every planted pair. datasketch is used in bulk, with the bands that it chooses for the threshold,
and with ours, which give the same result. vendi-score (install it with --no-deps) is given the counts of words and
pairs of words; its own text path also needs nltk. CPU seconds of this process.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from triaxis.axes.data.profile.diversity import Diversity
from triaxis.axes.data.profile.features import hashed_counts
from triaxis.axes.data.profile.minhash import BANDS, ROWS, SHINGLE, SIMILARITY, near_duplicates
from triaxis.axes.data.profile.shingles import words_of
from triaxis.stats.vendi import Covariance, vendi_score
from triaxis.types import Example, Turn

T = TypeVar("T")


def texts_of(n: int, seed: int) -> tuple[list[str], dict[int, int]]:
    """The texts, and for each edited copy the text that it was made from."""
    rng = random.Random(seed)
    words = ["".join(rng.choices("abcdefghijklmnop", k=rng.randint(2, 9))) for _ in range(6000)]
    texts = [rng.choices(words, k=rng.randint(20, 120)) for _ in range(n - n // 10)]
    made_from = {}
    for i in range(n // 10):
        copy = list(texts[i])
        for _ in range(rng.randint(0, 12)):
            copy[rng.randrange(len(copy))] = rng.choice(words)
        made_from[len(texts)] = i
        texts.append(copy)
    return [" ".join(text) for text in texts], made_from


def timed(call: Callable[[], T]) -> tuple[T, float]:
    start = time.process_time()
    result = call()
    return result, time.process_time() - start


def shingles(text: str) -> set[str]:
    words = text.split()
    return {" ".join(words[i : i + SHINGLE]) for i in range(len(words) - SHINGLE + 1)}


def by_datasketch(texts: list[str], bands: tuple[int, int] | None) -> np.ndarray:
    """Of each text, the first of its cluster, as `near_duplicates` gives it; `bands` None: its own choice."""
    from datasketch import MinHash, MinHashLSH

    sets = [shingles(text) for text in texts]
    hashes = MinHash.bulk([[s.encode() for s in each] for each in sets], num_perm=128)
    index = MinHashLSH(threshold=SIMILARITY, num_perm=128, params=bands)
    first = np.arange(len(texts))

    def root(i: int) -> int:
        while first[i] != i:
            first[i] = first[first[i]]
            i = first[i]
        return i

    for i, hash_ in enumerate(hashes):
        for j in index.query(hash_):
            if len(sets[i] & sets[j]) / len(sets[i] | sets[j]) >= SIMILARITY:
                a, b = root(i), root(j)
                first[max(a, b)] = min(a, b)
        index.insert(i, hash_, check_duplication=False)
    return np.array([root(i) for i in range(len(texts))])


def agreement(labels: np.ndarray, texts: list[str], made_from: dict[int, int]) -> str:
    found = false = missed = 0
    for copy, origin in made_from.items():
        a, b = shingles(texts[copy]), shingles(texts[origin])
        near = len(a & b) / len(a | b) >= SIMILARITY
        said = labels[copy] == labels[origin]
        found, false, missed = found + (near and said), false + (said and not near), missed + (near and not said)
    stray = int((labels[: len(texts) - len(made_from)] != np.arange(len(texts) - len(made_from))).sum())
    return f"pairs at {SIMILARITY} or more: {found} found, {missed} missed; {false} below it joined, {stray} stray"


def near(texts: list[str], made_from: dict[int, int]) -> None:
    ours, seconds = timed(lambda: near_duplicates(texts))
    print(f"near-duplicates of {len(texts)} prompts")
    print(f"  triaxis                     {seconds:6.2f} CPU-s  {agreement(ours, texts, made_from)}")
    for name, bands in (("as it chooses", None), (f"{BANDS} bands of {ROWS}", (BANDS, ROWS))):
        theirs, reference = timed(lambda bands=bands: by_datasketch(texts, bands))
        print(f"  datasketch, {name:15} {reference:6.2f} CPU-s  {agreement(theirs, texts, made_from)}")
        print(
            f"    same cluster for {(ours == theirs).mean():.2%} of texts; triaxis {reference / seconds:.1f} x as fast"
        )


def vendi(texts: list[str], kernel: int) -> None:
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.preprocessing import normalize
    from vendi_score import vendi as library

    def theirs_of(some: list[str]) -> float:
        k = np.zeros((len(some), len(some)))
        for n in (1, 2):
            x = normalize(CountVectorizer(ngram_range=(n, n), token_pattern=r"\S+").fit_transform(some).astype(float))
            k += (x @ x.T).toarray() / 2
        return float(library.score_K(k))

    def ours_of(some: list[str]) -> float:
        covariance = Covariance(1024)
        for at in range(0, len(some), 1024):
            covariance.add(hashed_counts(words_of(some[at : at + 1024])))
        return covariance.score()

    print("Vendi score: texts to score, with triaxis hashing to 1,024 numbers and vendi-score's kernel (n x n)")
    for n in (kernel // 4, kernel // 2, kernel):
        some = texts[:n]
        (ours, seconds), (theirs, reference) = timed(lambda s=some: ours_of(s)), timed(lambda s=some: theirs_of(s))
        print(
            f"  n = {n:5d}  triaxis {ours:7.1f} {seconds:6.2f} CPU-s   vendi-score {theirs:7.1f} {reference:6.2f} CPU-s"
        )
    ours, seconds = timed(lambda: ours_of(texts))
    print(f"  n = {len(texts):5d}  triaxis {ours:7.1f} {seconds:6.2f} CPU-s")
    x = np.random.default_rng(0).normal(size=(len(texts), 512)) + 0.1
    (ours, seconds), (theirs, reference) = timed(lambda: vendi_score(x)), timed(lambda: float(library.score_dual(x)))
    print(f"  given {len(x)} embeddings of 512: triaxis {ours:.4f} in {seconds:.2f} CPU-s, "
          f"vendi-score {theirs:.4f} in {reference:.2f}: {reference / seconds:.1f} times as fast")  # fmt: skip


def linear(n: int, seed: int) -> None:
    print("the whole part (entropies, duplicates, clusters, Vendi score)")
    for size in (n, 4 * n):
        texts, _ = texts_of(size, seed)
        part = Diversity()

        def run(part: Diversity = part, texts: list[str] = texts) -> int:
            for i, text in enumerate(texts, 1):
                part.add(Example(str(i), (Turn("user", text),), None, "", None, row=i))
            return part.result().problems

        problems, seconds = timed(run)
        print(f"  {size:7d} rows  {seconds:6.2f} CPU-s, {1e6 * seconds / size:.0f} µs a row; {problems} problems")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--kernel", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    texts, made_from = texts_of(asked.texts, asked.seed)
    near(texts, made_from)
    vendi(texts, asked.kernel)
    linear(asked.texts, asked.seed)


if __name__ == "__main__":
    main()
