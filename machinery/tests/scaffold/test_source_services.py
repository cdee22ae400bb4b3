"""A database of PostgreSQL and a bucket of S3 as sources of `mlops add` and `mlops data add`."""

from __future__ import annotations

import boto3
import pandas as pd
import pytest
import sqlalchemy
from command import mlops
from tables import people

from mlops import pipeline
from mlops.config import Project, load_project
from mlops.use_case import load_use_case

pytestmark = pytest.mark.services

TYPED = """
CREATE TABLE people AS SELECT customer, score::numeric(8, 4) AS score, city, age::smallint AS age, "left",
    now() - age * interval '1 day' AS seen, current_date - age::int AS born, age > 40 AS grown, gen_random_uuid() AS token,
    CASE WHEN age % 2 = 0 THEN score::numeric(8, 2) END AS owed, json_build_object('n', age) AS more, ARRAY[age, 1] AS parts
FROM loaded
"""


@pytest.fixture
def database(postgres: str) -> str:
    """A database with a table of 400 customers in PostgreSQL's types, as a user of it with a password."""
    engine = sqlalchemy.create_engine(postgres)
    with engine.begin() as connection:
        people().to_sql("loaded", connection, index=False, if_exists="replace")
        connection.execute(sqlalchemy.text("DROP TABLE IF EXISTS people"))
        connection.execute(sqlalchemy.text(TYPED))
    engine.dispose()
    return postgres.replace("mlops@", "mlops:s3cret@")


@pytest.fixture
def bucket(s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a file with 400 customers in a bucket, of whose server the environment knows as MLflow has it."""
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", endpoint_url=s3["MLFLOW_S3_ENDPOINT_URL"])
    for count, name in ((400, "people 2026.csv"), (5, "more.csv")):
        rows = people(count, seed=count).assign(customer=lambda rows, count=count: rows["customer"] + f"-{count}")
        client.put_object(Bucket="models", Key=f"in/{name}", Body=rows.to_csv(index=False, sep=";", decimal=",").encode())
    return "s3://models/in"


def test_a_query_of_postgresql_becomes_a_use_case_that_trains_and_takes_more_rows(own: Project, database: str) -> None:
    added = mlops("add", "mine", "--from", database, "--query", "SELECT * FROM people", "--target", "left", "--no-notebook")
    assert added.code == 0, added.err
    project = load_project()
    assert pipeline.run(project, load_use_case(project, "mine")).passed
    (raw,) = (own.data / "raw" / "mine").glob("*.parquet")
    kinds = pd.read_parquet(raw).dtypes.astype(str).to_dict()
    assert kinds["grown"] == "bool" and kinds["score"] == "float64"
    others = 'score, city, age, "left", seen, born, grown, token, owed, more, parts'
    query = f"SELECT customer || 'b' AS customer, {others} FROM people LIMIT 7"
    more = mlops("data", "add", "mine", database, "--query", query, "--licence", "ours", "--json")
    assert more.code == 0, more.err
    assert more.value[0]["rows"] == 7
    written = "".join(file.read_text(errors="ignore") for file in own.root.rglob("*") if file.is_file())
    assert "s3cret" not in written + added.out + added.err + more.out + more.err


def test_a_file_in_a_bucket_becomes_a_use_case_that_trains_and_takes_more_rows(own: Project, bucket: str) -> None:
    added = mlops("add", "mine", "--from", f"{bucket}/people 2026.csv", "--target", "left", "--no-notebook")
    assert added.code == 0, added.err
    project = load_project()
    assert pipeline.run(project, load_use_case(project, "mine")).passed
    more = mlops("data", "add", "mine", f"{bucket}/more.csv", "--licence", "ours", "--json")
    assert more.code == 0, more.err
    note = (own.data / "raw" / "mine" / "README.md").read_text(encoding="utf-8")
    assert f"`{more.value[0]['sha256']}` | {bucket}/more.csv, taken 20" in note


@pytest.mark.parametrize(
    ("place", "query", "reason"),
    [
        ("{database}", "SELECT * FROM nothing", 'relation "nothing" does not exist'),
        ("{database}", "SELEC 1", "syntax error"),
        ("{database}", "SELECT * FROM people WHERE age < 0", "the query has no rows"),
        ("postgresql://ann:s3cret@127.0.0.1:1/shop", "SELECT 1", "connection"),  # pragma: allowlist secret
        ("{bucket}/nothing.csv", "", "cannot be read"),
        ("s3://no-such-bucket/people.csv", "", "cannot be read"),
    ],
)
def test_what_is_not_there_is_one_line(own: Project, database: str, bucket: str, place: str, query: str, reason: str) -> None:
    options = ["--query", query] if query else []
    place = place.format(database=database, bucket=bucket)
    done = mlops("add", "mine", "--from", place, *options, "--target", "left")
    assert done.code in (2, 3) and reason in done.error, done.err
    assert "s3cret" not in done.err and "Traceback" not in done.err
    assert not (own.root / "config" / "mine.yaml").exists()
