"""Duration of self-instruct's filter: 10,000 candidates against a pool of 10,000, with exact ROUGE-L.

    python -m tests.benchmarks.rouge [--candidates 10000] [--pool 10000] [--texts FILE.jsonl]

Texts are random walks over word bigrams of this project's documents, or of the ``instruction`` field of ``--texts``, so
they share words and phrases like prompts of one model. One test uses texts as short as human seed tasks (median 11
words), one the maximum length that the filter admits. Admitted texts join the pool. First, a few candidates are
compared with each entry of the pool by our ROUGE-L and by the ``rouge-score`` package; the results must be bitwise
equal. Single thread.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

from rouge_score.rouge_scorer import RougeScorer

from training.domain.rouge import RougePool, rouge_l, rouge_tokens
from training.domain.self_instruct import (
    FORBIDDEN_KEYWORDS,
    MAX_WORDS,
    MIN_WORDS,
    NEIGHBOUR_FLOOR,
    ROUGE_THRESHOLD,
    PromptFilter,
)

ROOT = Path(__file__).resolve().parent.parent.parent


def sentences(source: Path | None) -> list[list[str]]:
    """Return the texts whose bigrams are used."""
    if source is not None:
        texts = [str(json.loads(line)["instruction"]) for line in source.read_text().splitlines()]
    else:
        texts = [line for path in sorted(ROOT.glob("docs/*.md")) for line in path.read_text().splitlines()]
    return [words for words in (text.split() for text in texts) if len(words) >= MIN_WORDS]


def walks(known: list[list[str]], count: int, *, long: bool, seed: int = 1) -> list[str]:
    """Return ``count`` distinct texts that pass the filters before ROUGE-L (keywords and first character)."""
    followers: dict[str, list[str]] = defaultdict(list)
    for words in known:
        for word, following in pairwise(words):
            followers[word].append(following)
    openings = [words[0] for words in known if words[0].isascii() and words[0].isalpha()]
    forbidden = {part for keyword in FORBIDDEN_KEYWORDS for part in keyword.split()}
    draw, made = random.Random(seed), dict[str, None]()
    while len(made) < count:
        wanted = draw.randint(60, MAX_WORDS) if long else min(MAX_WORDS, MIN_WORDS + int(draw.lognormvariate(2.1, 0.6)))
        text = [draw.choice(openings)]
        while len(text) < wanted:
            text.append(draw.choice(followers.get(text[-1]) or openings))
        if not forbidden & set(rouge_tokens(" ".join(text))):
            made[" ".join(text)] = None
    return list(made)


def one_by_one(pool: list[str], candidates: list[str]) -> tuple[float, float]:
    """Return milliseconds per pair of ``rouge_l`` and of the package. Fails if their results differ."""
    index, known = RougePool(), [rouge_tokens(text) for text in pool]
    for tokens in known:
        index.add(tokens)
    began = time.perf_counter()
    ours = [[rouge_l(rouge_tokens(candidate), tokens) for tokens in known] for candidate in candidates]
    between = time.perf_counter()
    scorer = RougeScorer(["rougeL"])
    theirs = [scorer.score(candidates[0], text)["rougeL"].fmeasure for text in pool[:1000]]
    after = time.perf_counter()
    assert theirs == ours[0][:1000], "our figure is not the package's"
    for candidate, figures in zip(candidates, ours, strict=True):
        nearest = figures.index(max(figures)), max(figures)
        assert index.nearest(rouge_tokens(candidate)) == nearest, candidate
        for floor in (NEIGHBOUR_FLOOR, ROUGE_THRESHOLD):
            wanted = nearest if nearest[1] >= floor else None
            assert index.nearest(rouge_tokens(candidate), floor=floor) == wanted, candidate
    return (between - began) / len(candidates) / len(pool) * 1000, (after - between) / len(theirs) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=10_000)
    parser.add_argument("--pool", type=int, default=10_000)
    parser.add_argument("--texts", type=Path, help="JSON Lines with a field instruction")
    asked = parser.parse_args()
    known = sentences(asked.texts)
    for name, long in (("short", False), ("long", True)):
        texts = walks(known, asked.pool + asked.candidates, long=long)
        pool, candidates = texts[: asked.pool], texts[asked.pool :]
        tokens = sum(len(rouge_tokens(text)) for text in texts) / len(texts)
        print(
            f"{name}: {len(pool):,} in the pool, {len(candidates):,} candidates, {tokens:.0f} tokens each in the mean"
        )
        ours, theirs = one_by_one(pool, candidates[:10])
        pairs = len(pool) * len(candidates)
        print(f"  pair by pair: rouge_l {ours:.4f} ms, rouge-score {theirs:.4f} ms; nearest of 10 the same to the bit")
        print(f"  all {pairs:,} pairs so: {ours * pairs / 1000:,.0f} s, {theirs * pairs / 3.6e6:.1f} h (reckoned)")
        began = time.perf_counter()
        keep = PromptFilter(pool)
        ready = time.perf_counter()
        for candidate in candidates:
            keep.admit(candidate)
        done = time.perf_counter()
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"  pool read in {ready - began:.1f} s; candidates filtered in {done - ready:.1f} s; {memory:.0f} MB")
        print(f"  kept {keep.report.kept:,}; removed {keep.report.removed}", flush=True)


if __name__ == "__main__":
    main()
