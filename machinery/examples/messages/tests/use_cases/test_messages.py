"""Messages: words decide, whatever their case and order."""

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score
from sklearn.model_selection import cross_val_predict

from use_cases import messages

FOLDER = Path(__file__).parents[2] / "data/raw/messages"
RAW = pd.read_csv(FOLDER / "messages.csv", keep_default_na=False)
ROWS = messages.features(messages.load(RAW))
MODEL = messages.build(columns=16384, regularisation=0.01, spark=False, seed=7).fit(ROWS[["text"]], ROWS["kind"])


def test_no_text_stands_there_twice() -> None:
    assert not RAW["text"].duplicated().any()


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script beside the data."""
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.delitem(sys.modules, "create", raising=False)
    import create

    return create


def test_the_script_accounts_for_each_line_of_the_source(script: ModuleType) -> None:
    left_out = [int(number) for number in script.LEFT_OUT.split()]
    assert len(set(left_out)) == len(left_out) == 454
    assert len(RAW) + 454 + 403 == 5574
    assert not RAW["message"].isin(left_out).any()


def test_the_script_writes_the_same_bytes_from_their_lines(script: ModuleType) -> None:
    texts = dict(zip(RAW["message"], RAW["kind"] + "\t" + RAW["text"], strict=True))
    first = texts[1]  # stands for each line that was a repetition
    lines = [texts.get(number, first) for number in range(1, 5575)]
    written = script.chosen(lines, set()).to_csv(index=False, lineterminator="\n")
    assert written == (FOLDER / "messages.csv").read_text(encoding="utf-8")
    assert script.chosen(["ham\tone", "spam\ttwo\t3", "ham\tone", "ham\tfour"], {4}).to_numpy().tolist() == [
        [1, "one", "ham"],
        [2, "two\t3", "spam"],
    ]


def test_the_script_refuses_another_file(script: ModuleType) -> None:
    with pytest.raises(ValueError, match="another file than the one that was published"):
        script.create(b"ham\tone\n")


def test_order_and_case_of_words_do_not_matter() -> None:
    texts = pd.DataFrame({"text": ["Call 09061701461 to claim your FREE prize", "prize free your claim to 09061701461 call"]})
    one, other = MODEL.predict_proba(texts)
    np.testing.assert_allclose(one, other, rtol=1e-12)
    assert MODEL.predict(texts).tolist() == ["spam", "spam"]


def test_a_text_of_unknown_words_or_of_none_has_an_answer() -> None:
    texts = pd.DataFrame({"text": ["日本 語", " ", "Ümläut"]})
    assert MODEL.predict(texts).tolist() == ["ham"] * 3


def test_with_shuffled_kinds_nothing_is_learnt() -> None:
    shuffled = np.random.default_rng(1).permutation(ROWS["kind"])
    model = messages.build(columns=4096, regularisation=0.01, spark=False, seed=7)
    predicted = cross_val_predict(model, ROWS[["text"]], shuffled, cv=3)
    assert f1_score(shuffled, predicted, average="macro") < 0.55


def test_baseline_asks_for_a_number_of_five_digits() -> None:
    holdout = pd.DataFrame({"text": ["txt WIN to 80086", "see you at 7", "call 0207 083 6089"]})
    assert messages.baseline(ROWS, holdout).tolist() == ["spam", "ham", "ham"]
