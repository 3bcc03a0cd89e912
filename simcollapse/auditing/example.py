"""Decisions of a real verifier on real predictions, from the 1797 handwritten digits bundled with scikit-learn.

The generator, a decision tree grown on few digits, labels new ones; the verifier, a logistic regression trained on
other digits, keeps a label it agrees with; the true digit says who was right. Each round's generator is trained on
what the round before kept, and labels digits that nobody has seen.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from simcollapse.checks import check_whole

ROUNDS = 3


def example_decisions(
    *, n_generator: int = 30, n_verifier: int = 60, poisoned: int = 0, seed: int = 0
) -> pd.DataFrame:
    """One row for each label that the generator gave, over 3 rounds.

    Columns: round, image (row of the digits), true, generated, verifier (digits), score (the probability that the
    verifier gives to the generated digit), correct, kept (0/1).

    Args:
        n_generator: digits that the first generator is trained on, >= 20. n_verifier: the verifier's, >= 20.
        poisoned: so many of the verifier's digits carry the label of the next digit: makes a bad one.
        seed: which digits go where.

    Raises:
        ValueError: too few digits to train on, or too many to leave any.
    """
    from sklearn.datasets import load_digits  # slow to import, needed only here

    check_whole("n_generator", n_generator, 20)
    check_whole("n_verifier", n_verifier, 20)
    check_whole("poisoned", poisoned, 0)
    bundle: Any = load_digits()
    pixels, digits = bundle["data"] / 16, bundle["target"]
    if n_generator + n_verifier > 1000 or poisoned > n_verifier:
        raise ValueError(
            "n_generator + n_verifier must be <= 1000 and poisoned <= n_verifier, got "
            f"{n_generator}, {n_verifier}, {poisoned}"
        )
    order = np.random.default_rng(seed).permutation(len(digits))
    mine, judge, rest = np.split(order, [n_generator, n_generator + n_verifier])
    believed = digits[judge].copy()
    believed[:poisoned] = (believed[:poisoned] + 1) % 10
    verifier = _trained_verifier(pixels[judge], believed)
    known, labels = pixels[mine], digits[mine]
    rounds = []
    for k, images in enumerate(np.array_split(rest, ROUNDS), start=1):
        generated = _trained_generator(known, labels).predict(pixels[images])
        rows = _judged(verifier, pixels[images], generated)
        rows.insert(0, "true", digits[images])
        rows.insert(0, "image", images)
        rows.insert(0, "round", k)
        rows["correct"] = (generated == digits[images]).astype(int)
        kept = rows["kept"].to_numpy() == 1
        known, labels = pixels[images][kept], generated[kept]
        rounds.append(rows[["round", "image", "true", "generated", "verifier", "score", "correct", "kept"]])
    return pd.concat(rounds, ignore_index=True)


def write_example(path: Path, **options: int) -> int:
    """Write `example_decisions` as CSV and return the number of rows."""
    table = example_decisions(**options)
    table.to_csv(path, index=False, float_format="%.4f")
    return len(table)


def _judged(verifier: Any, pixels: np.ndarray, generated: np.ndarray) -> pd.DataFrame:
    chances = verifier.predict_proba(pixels)
    place = {digit: column for column, digit in enumerate(verifier.classes_)}
    columns = np.array([place.get(digit, -1) for digit in generated])
    score = np.where(columns >= 0, chances[np.arange(len(generated)), columns], 0.0)
    own = verifier.classes_[chances.argmax(axis=1)]
    return pd.DataFrame(
        {"generated": generated, "verifier": own, "score": score, "kept": (own == generated).astype(int)}
    )


def _trained_generator(pixels: np.ndarray, digits: np.ndarray) -> Any:
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(random_state=0).fit(pixels, digits)


def _trained_verifier(pixels: np.ndarray, digits: np.ndarray) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=500).fit(pixels, digits)
