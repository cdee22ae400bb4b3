"""`mlops monitor` on a registered model: verdicts, exit codes, versions, labels, report."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pyarrow
import pytest
import traffic
from command import mlops
from pyarrow import parquet

from mlops import tracking
from mlops.config import Project
from mlops.errors import DataError
from mlops.monitoring import labels
from mlops.monitoring import monitor as watch
from mlops.monitoring import plots
from mlops.monitoring.log import Traffic
from mlops.registry import versions
from mlops.use_case import load_use_case


def many(flowers: pd.DataFrame, count: int = 300, seed: int = 0) -> pd.DataFrame:
    """As many flowers, drawn again and again."""
    return flowers.sample(count, replace=True, random_state=seed, ignore_index=True)


def larger(flowers: pd.DataFrame) -> pd.DataFrame:
    """Flowers of which two lengths came in another unit."""
    return flowers.assign(sepal_length=flowers["sepal_length"] * 2.54, petal_length=flowers["petal_length"] * 2.54)


def monitor(log: Path, *more: object) -> Any:
    return mlops("monitor", "iris", "--log", log, "--json", *more)


def test_traffic_like_the_data_is_no_drift_and_its_quality_is_reported(
    registered: Project, flowers: pd.DataFrame, answer: Callable[..., Path]
) -> None:
    done = monitor(answer(many(flowers, 500)))
    (version,) = done.value["versions"]
    assert (done.code, done.value["verdict"]) == (0, "ok"), version["findings"]
    assert (version["number"], version["rows"], version["serving"]) == ("1.0.0", 500, True)
    # A flower that has the lengths of one of another species says nothing, so that a few rows stay without label.
    assert 450 <= version["labelled"] <= 500
    accuracy = next(row for row in version["quality"] if row["metric"] == "accuracy")
    assert 0.9 < accuracy["low"] < accuracy["value"] < accuracy["high"] <= 1 and accuracy["verdict"] == "ok"
    assert {row["metric"] for row in version["quality"]} == {"accuracy", "macro_f1"}


def test_drift_is_exit_code_1_and_names_the_columns(
    registered: Project, flowers: pd.DataFrame, answer: Callable[..., Path]
) -> None:
    done = monitor(answer(larger(many(flowers))))
    (version,) = done.value["versions"]
    assert (done.code, done.value["verdict"]) == (1, "drift")
    assert {"sepal_length", "petal_length"} <= set(version["drifted"])
    assert version["labelled"] == 0 and version["quality"] == []


def test_a_log_is_sought_where_the_command_is_called_and_a_configured_one_in_the_project(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (tmp_path / "here", project.root):
        (folder / "log").mkdir(parents=True)
        (folder / "log/iris.jsonl").touch()
    (project.root / "log/iris.jsonl.1").touch()
    monkeypatch.chdir(tmp_path / "here")
    assert monitor(Path("log")).value["log"]["files"] == 1
    assert mlops("monitor", "iris", "--set", "monitor.log_uri=log", "--json").value["log"]["files"] == 2
    assert f"{tmp_path}/here/none: nothing is there" in monitor(Path("none")).error


def test_too_few_rows_are_a_verdict_of_their_own(
    registered: Project, flowers: pd.DataFrame, answer: Callable[..., Path]
) -> None:
    log = answer(larger(many(flowers, 99)))
    done = monitor(log)
    assert (done.code, done.value["verdict"], done.value["log"]["rows"]) == (0, "too few rows", 99)
    assert monitor(log, "--set", "monitor.min_rows=99").value["verdict"] == "drift"


def test_malformed_lines_are_counted_and_reported(
    registered: Project, flowers: pd.DataFrame, answer: Callable[..., Path]
) -> None:
    log = answer(many(flowers, 150))
    with (log / "iris.jsonl").open("a") as file:
        file.write('half a line\n{"time": "2026')
    done = monitor(log)
    assert (done.value["log"]["malformed"], done.value["log"]["rows"], done.code) == (2, 150, 0)
    assert "2 malformed lines left out" in Path(done.value["report"]).with_name("report.md").read_text()


def test_versions_are_judged_apart_and_those_that_answer_now_decide(
    registered: Project, flowers: pd.DataFrame, answer: Callable[..., Path]
) -> None:
    log = answer(larger(many(flowers)), version="0.9.0", days=6, prefix="old")
    text = (log / "iris.jsonl").read_text()
    earlier = re.sub(r'"time": "[^"]*"', f'"time": "{(datetime.now(UTC) - timedelta(days=5)).isoformat()}"', text)
    (log / "iris.jsonl").write_text(earlier.replace('"0.9.0"', '"1.0.0"'))
    (log / "iris.jsonl").rename(log / "iris.jsonl.1")
    answer(many(flowers, 150), version="9.9.9", days=0.5)
    done = monitor(log)
    versions = {item["number"]: (item["verdict"], item["serving"], item["rows"]) for item in done.value["versions"]}
    assert versions == {"9.9.9": ("no reference", True, 150), "1.0.0": ("drift", False, 300)}
    assert (done.code, done.value["verdict"]) == (1, "blind")
    assert "the store does not have the version that answers now (`9.9.9`)" in done.value["fault"]


@pytest.mark.parametrize(
    ("name", "predictions", "kind"),
    [
        ("ridership", [1.5, 2, None], "mean"),
        ("ridership", ["low", "high"], "shares"),
        ("ridership", [1.5, "low", None], "shares"),
        ("ridership", [[1.5, 2.5]], "rows"),
        ("iris", [0, 1], "shares"),
    ],
)
def test_each_version_is_shown_by_what_it_answered(project: Project, name: str, predictions: list, kind: str) -> None:
    traffic = Traffic("0.9.0")
    for row, value in enumerate(predictions):
        traffic.add(datetime(2026, 5, 1, tzinfo=UTC), {"request": "r", "row": row, "inputs": {"x": 1}, "prediction": value})
    (day,) = watch._watch(project, load_use_case(project, name), traffic, None, True, None).daily
    assert kind in day and day["rows"] == len(predictions)
    assert "<svg" in plots.over_time([day], {"kind": "number", "values": [1.0, 2.0]})


def test_answers_of_another_kind_do_not_stop_the_check_of_a_version(
    registered: Project, flowers: pd.DataFrame, answer: Callable[..., Path]
) -> None:
    rows = many(flowers, 150)
    log = answer(rows)
    traffic.write_log(log, "iris", rows.filter(regex="_")[:10], [0.5] * 10, prefix="other")
    traffic.write_log(log, "iris", rows.filter(regex="_")[:10], ["low"] * 10, version="0.9.0")
    done = monitor(log)
    old, new = sorted(done.value["versions"], key=lambda item: item["number"])
    assert {name for day in old["daily"] for name in day["shares"]} == {"low"}
    assert new["rows"] == 160 and 130 <= new["labelled"] <= 150 and new["quality"]


def test_a_log_whose_versions_the_store_does_not_have_says_how_to_bring_them(
    registered: Project, flowers: pd.DataFrame, answer: Callable[..., Path]
) -> None:
    done = monitor(answer(many(flowers, 120), version="7.0.0"))
    assert done.code == 2 and "the store has none of the versions in the log (7.0.0)" in done.error
    assert "mlops store pull" in done.error


def test_no_log_and_no_address_are_user_errors(project: Project, tmp_path: Path) -> None:
    done = mlops("monitor", "iris")
    assert done.code == 2 and done.error.startswith("config/iris.yaml: monitor.log_uri is not set")
    assert mlops("monitor", "iris", "--log", tmp_path / "none").code == 2
    assert mlops("monitor", "iris", "--log", tmp_path, "--since", "yesterday").error.startswith("--since yesterday: no date")
    assert mlops("monitor", "iris", "--log", tmp_path, "--since", "2026-01-01", "--days", "3").code == 2


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--days", "1e9"),
        ("--days", "inf"),
        ("--set", "monitor.days=1e12"),
        ("--since", "0001-01-01T00:00+14:00"),
    ],
)
def test_a_window_that_leaves_the_calendar_is_a_user_error(project: Project, tmp_path: Path, option: str, value: str) -> None:
    done = mlops("monitor", "iris", "--log", tmp_path, option, value)
    assert done.code == 2 and option.replace("--set", "monitor.days") in done.error


def test_the_window_leaves_older_rows_out(registered: Project, flowers: pd.DataFrame, answer: Callable[..., Path]) -> None:
    log = answer(many(flowers, 400), days=8)
    assert monitor(log, "--days", "4").value["log"]["rows"] == pytest.approx(200, abs=2)
    assert monitor(log).value["log"]["rows"] == pytest.approx(350, abs=2)
    since = (datetime.now(UTC) - timedelta(days=2)).astimezone().isoformat()
    assert monitor(log, "--since", since).value["log"]["rows"] == pytest.approx(100, abs=2)


def test_labels_of_requests_are_joined_where_they_have_come(
    registered: Project, flowers: pd.DataFrame, answer: Callable[..., Path], tmp_path: Path
) -> None:
    rows = many(flowers, 300)
    log = answer(rows, prefix="a")
    known = pd.DataFrame({"request": [f"a-{index}" for index in range(300)], "row": 0, "species": rows["species"]}).head(120)
    known.loc[len(known)] = ["of another log", 0, "setosa"]
    known.loc[len(known)] = ["a-0", 0, "setosa" if rows["species"][0] != "setosa" else "virginica"]  # contradicts the first
    known.to_csv(tmp_path / "labels.csv", index=False)
    done = monitor(log, "--set", f"monitor.labels={tmp_path / 'labels.csv'}")
    assert done.value["versions"][0]["labelled"] == 119


@pytest.fixture
def join(project: Project, tmp_path: Path) -> Callable[[pd.DataFrame, str], pd.DataFrame]:
    """Write labels of ridership to a file, and join them with a log whose three requests have ids of digits."""

    def joined(rows: pd.DataFrame, suffix: str) -> pd.DataFrame:
        file = tmp_path / f"labels{suffix}"
        if suffix == ".csv":
            rows.to_csv(file, index=False)
        else:  # as any program writes it that is not pandas
            parquet.write_table(pyarrow.Table.from_pandas(rows).replace_schema_metadata(None), file)
        use_case = load_use_case(project, "ridership", (f"monitor.labels={file}",))
        log = pd.DataFrame({"__request__": ["00042", "100000", "1" * 18], "__row__": 0, "__prediction__": 1.5})
        return labels.join(project, use_case, labels.load(project, use_case), log, {})

    return joined


@pytest.mark.parametrize(
    ("ids", "suffix"),
    [
        (["00042", "100000", "1" * 18], ".csv"),
        (["00042", "100000", "1" * 18, None], ".csv"),
        (["00042", None], ".parquet"),
        ([100000, int("1" * 18)], ".parquet"),
        (pd.array([100000, int("1" * 18), None], dtype="Int64"), ".parquet"),
    ],
    ids=["digits", "digits and a gap", "texts", "numbers", "numbers and a gap"],
)
def test_ids_of_requests_are_text_though_they_look_like_numbers(
    join: Callable[..., pd.DataFrame], ids: Any, suffix: str
) -> None:
    rows = pd.DataFrame({"request": ids, "row": 0, "rides": 2.5})
    assert len(join(rows, suffix)) == rows["request"].notna().sum()


@pytest.mark.parametrize(("column", "value"), [("rides", "unknown"), ("row", "first")])
def test_a_text_where_labels_are_numbers_is_refused_with_its_row(
    join: Callable[..., pd.DataFrame], column: str, value: str
) -> None:
    rows = pd.DataFrame({"request": ["00042", "100000"], "row": 0, "rides": [2.5, None]}, dtype=object)
    assert len(join(rows, ".csv")) == 1  # an empty cell is a label that has not come
    rows.loc[1, column] = value
    with pytest.raises(DataError, match=rf"labels.csv: column {column}, row 3: rule .*, found .{value}.; correct the data"):
        join(rows, ".csv")


def test_quality_below_its_limit_is_drift_though_the_inputs_are_as_they_were(
    registered: Project, flowers: pd.DataFrame, answer: Callable[..., Path], tmp_path: Path
) -> None:
    rows = many(flowers, 300)
    log = answer(rows)
    wrong = rows["species"].where(rows.index % 3 > 0, "setosa")
    pd.DataFrame({"request": [f"q-{index}" for index in range(300)], "species": wrong}).to_parquet(tmp_path / "labels.parquet")
    labels = f"monitor.labels={tmp_path / 'labels.parquet'}"
    done = monitor(log, "--set", labels)
    assert done.code == 1 and set(done.value["versions"][0]["drifted"]) == {"accuracy", "macro_f1"}
    lower = ("--set", "monitor.quality={accuracy: 0.5, macro_f1: 0.5}")
    relaxed = monitor(log, "--set", labels, *lower)
    assert relaxed.code == 0 and relaxed.value["verdict"] == "warn"  # still worse than on the holdout


def test_labels_without_the_columns_they_need_are_refused(
    registered: Project, flowers: pd.DataFrame, answer: Callable[..., Path], tmp_path: Path
) -> None:
    log, file = answer(many(flowers, 120)), tmp_path / "labels.csv"
    file.write_text("request,kind\nq-1,setosa\n")
    done = monitor(log, "--set", f"monitor.labels={file}")
    assert done.code == 2 and "column species, the target, is missing" in done.error
    file.write_text("flower,species\n1,setosa\n")
    done = monitor(log, "--set", f"monitor.labels={file}")
    assert done.code == 2 and "column sepal_length is missing" in done.error


def test_a_version_from_before_profiles_were_kept_is_compared_with_its_holdout(
    registered: Project, flowers: pd.DataFrame, answer: Callable[..., Path]
) -> None:
    log = answer(larger(many(flowers)))
    (manifest,) = registered.store.glob("artifacts/iris/*/artifacts/candidate/manifest.json")
    content = json.loads(manifest.read_text())
    del content["files"]["reference.json"]
    manifest.write_text(json.dumps(content))
    manifest.with_name("reference.json").unlink()
    # Nor did versions of that time keep the digest of their manifest.
    version = versions.resolve(registered, "iris", "champion")
    with tracking.open_store(registered) as client:
        client.delete_model_version_tag(version.name, version.version, "manifest_digest")
    assert monitor(log).value["verdict"] == "drift"


def test_a_reference_that_was_changed_in_the_store_is_refused(
    registered: Project, flowers: pd.DataFrame, answer: Callable[..., Path]
) -> None:
    log = answer(many(flowers, 120))
    (file,) = registered.store.glob("artifacts/iris/*/artifacts/candidate/reference.json")
    file.write_text(file.read_text().replace("rows", "sowr", 1))
    done = monitor(log)
    assert done.code == 2 and "files in the store are not those that were registered (reference.json is changed)" in done.error


def test_the_report_stands_on_its_own_and_escapes_what_comes_from_the_log(
    registered: Project, flowers: pd.DataFrame, answer: Callable[..., Path], tmp_path: Path
) -> None:
    log = answer(larger(many(flowers)))
    text = (log / "iris.jsonl").read_text().replace('"prediction": "setosa"', '"prediction": "<script>alert(1)</script>"')
    (log / "iris.jsonl").write_text(text)
    assert monitor(log, "--out", tmp_path / "out").code == 1
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<script" not in page and not re.search(r'(src|href)="https?:', page)
    assert page.count("<svg ") >= 4 and "sepal_length" in page and "Outputs over time" in page
    markdown = (tmp_path / "out" / "report.md").read_text()
    assert markdown.startswith("## iris: 🔴 drift") and "| sepal_length |" in markdown
    assert json.loads((tmp_path / "out" / "report.json").read_text())["verdict"] == "drift"


def test_a_version_that_the_store_does_not_have_is_code_in_the_report(
    registered: Project, flowers: pd.DataFrame, answer: Callable[..., Path], tmp_path: Path
) -> None:
    log = answer(many(flowers, 150))
    answer(many(flowers, 10), version="9 @all ` <img src=x> [a](https://b.c)")
    monitor(log, "--out", tmp_path / "out")
    markdown = (tmp_path / "out" / "report.md").read_text()
    assert "### Version `9 @all · <img src=x> [a](https://b.c)`: " in markdown and "### Version 1.0.0 (" in markdown
    assert "<img" not in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("$_$", "$_$"),
        (r"$\foo$", r"$\foo$"),
        ("$10-$20", "$10-$20"),
        ("a\x00\x1bb", "a\ufffd\ufffdb"),
        ("\ud800", "\ufffd"),
        ("<b>&", "&lt;b&gt;&amp;"),
    ],
)
def test_a_picture_shows_the_names_of_categories_as_clients_sent_them(name: str, shown: str) -> None:
    profile = {"kind": "category", "counts": {name: 5, "b": 5}}
    daily = [{"day": "2026-05-01", "rows": 2, "shares": {name: 0.5, "b": 0.5}}]
    for picture in (plots.overlay(name, profile, pd.Series([name, "b"])), plots.over_time(daily, profile)):
        assert f">{shown}</text>" in picture
        picture.encode()
        ElementTree.fromstring(picture)


def test_monitored_names_the_use_cases_with_a_log_and_says_how_to_turn_it_on(project: Project) -> None:
    done = mlops("monitored", "--json")
    assert done.value == {"use_cases": [], "group": "base"} and "monitor: {log_uri:" in done.err
    for name, text in (("iris", "monitor: {log_uri: /var/log/mlops}\n"), ("ridership", "monitor: {log_uri: 's3://logs/x'}\n")):
        file = project.root / "config" / f"{name}.yaml"
        file.write_text(re.sub(r"(?ms)^monitor:.*?(?=^\S|\Z)", "", file.read_text()) + text)
    assert mlops("monitored", "--json").value == {"use_cases": ["iris", "ridership"], "group": "dev"}
    assert mlops("monitored", "--only", "iris", "--json").value == {"use_cases": ["iris"], "group": "base"}


def test_rows_that_are_trained_on_are_joined_by_their_inputs(
    registered: Project, flowers: pd.DataFrame, answer: Callable[..., Path], tmp_path: Path
) -> None:
    new = flowers.assign(flower=range(1000, 1000 + len(flowers)), sepal_width=flowers["sepal_width"] + 0.0123)
    log = answer(many(new, 200))
    new.to_csv(tmp_path / "measured.csv", index=False)
    version = monitor(log, "--set", f"monitor.labels={tmp_path}/measured.csv").value["versions"][0]
    assert version["labelled"] >= 150 and monitor(log).value["versions"][0]["labelled"] == 0


def test_a_regression_with_lags_is_watched_on_raw_rows(project: Project, tmp_path: Path) -> None:
    """The inputs of ridership are made of other days' rows: what arrives is raw, and finds its logged row by them."""
    from mlops.data import stages

    use_case = load_use_case(project, "ridership", (f"monitor.labels={tmp_path / 'new.csv'}",))
    raw = pd.read_csv(project.data / "raw/ridership/ridership.csv", float_precision="round_trip")
    processed, _ = stages.read_processed(project, use_case)
    raw.tail(20).assign(ridership=lambda rows: rows["ridership"] + 0).to_csv(tmp_path / "new.csv", index=False)
    table = traffic.logged(processed[use_case.inputs(processed)].tail(50), processed["rides"].tail(50).to_numpy() + 1)
    joined = labels.join(project, use_case, labels.load(project, use_case), table, dict.fromkeys(use_case.inputs(processed)))
    assert len(joined) == 50
    assert (joined["__prediction__"] - joined["__truth__"]).to_numpy() == pytest.approx([1.0] * 50)


def test_answers_of_several_values_are_no_defect(
    registered: Project, flowers: pd.DataFrame, answer: Callable[..., Path]
) -> None:
    log = answer(many(flowers, 200))
    text = re.sub(r'"prediction": "(\w+)"', r'"prediction": ["\1", 0.5]', (log / "iris.jsonl").read_text())
    (log / "iris.jsonl").write_text(text)
    (version,) = monitor(log).value["versions"]
    assert version["findings"][0]["verdict"] == "more than one value a row" and version["quality"] == []
