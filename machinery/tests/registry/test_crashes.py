"""Kill -9 at any moment, and two runs at once: the store opens, aliases point at complete versions, the next run succeeds."""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlops import tracking
from mlops.config import Project
from mlops.registry import versions
from mlops.training.train import train
from mlops.use_case import load_use_case

pytestmark = pytest.mark.servers

Crew = Callable[[list[tuple[Path, list[str], float | None]]], tuple[list[int], float]]

KILLED = -9


@pytest.fixture(scope="module")
def crew(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    """Runs in processes of their own, which begin at once; see crew.py."""
    warm = tmp_path_factory.mktemp("crew") / "warm"
    shutil.copytree(template, warm)
    foreign = ("MLFLOW_", "GITHUB_", "MLOPS_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("crew.py")), str(warm)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**environment, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    assert process.stdin and process.stdout
    assert json.loads(process.stdout.readline()) == "True"

    def send(runs: list[tuple[Path, list[str], float | None]]) -> tuple[list[int], float]:
        process.stdin.write(json.dumps([[str(root), overrides, after] for root, overrides, after in runs]) + "\n")
        process.stdin.flush()
        ended, seconds = json.loads(process.stdout.readline())
        return ended, seconds

    yield send
    process.stdin.close()
    process.wait(60)


def another(index: int) -> list[str]:
    """Overrides that give another key and as good a model."""
    return [f"parameters.regularisation={1 + index / 100}"]


def prepared(project: Project, index: int) -> list[str]:
    """As `another`, trained beforehand, so that a run begins with the registration."""
    train(project, load_use_case(project, "iris", tuple(another(index))))
    return another(index)


def sound(project: Project, load) -> int:
    """Check that every version loads and that an alias points at one of them; returns how many versions there are."""
    with tracking.open_store(project) as client:
        known = versions.all_of(client, "iris")
        pointed = client.get_registered_model("iris").aliases if known else {}
    for version in known:
        assert load(project, version) == 51
    assert set(map(str, pointed.values())) <= {version.version for version in known}
    assert len({version.number for version in known}) == len({version.tags["key"] for version in known}) == len(known)
    return len(known)


def kill_and_heal(project: Project, crew: Crew, load, moments: int, seed: int) -> None:
    """Kill as many registrations, spread over the time that one takes; after each the store is sound and goes on."""
    ended, whole = crew([(project.root, prepared(project, moments + 1), None)])
    assert ended == [0]
    drawn = random.Random(seed)
    for index in range(1, moments + 1):
        overrides = prepared(project, index)
        crew([(project.root, overrides, drawn.uniform((index - 1) / moments, index / moments) * whole)])
        before = sound(project, load)
        assert crew([(project.root, overrides, None)])[0] == [0]
        assert before <= sound(project, load) <= before + 1
    assert sound(project, load) == moments + 2


def test_a_registration_may_be_killed_at_any_moment(registered: Project, crew: Crew, load):
    kill_and_heal(registered, crew, load, moments=6, seed=1)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_registration_may_be_killed_at_any_of_many_moments(registered: Project, crew: Crew, load):
    kill_and_heal(registered, crew, load, moments=50, seed=2)


def first_run_killed(project: Project, crew: Crew, load, moments: int, seed: int, tmp_path: Path) -> None:
    """Kill the first run of as many new projects; in each the next run makes the first version."""
    prepared(project, 0)
    places = [tmp_path / f"new{index}" for index in range(moments + 1)]
    for place in places:
        shutil.copytree(project.root, place)
    whole = crew([(places[0], another(0), None)])[1]
    drawn = random.Random(seed)
    for index, place in enumerate(places[1:]):
        crew([(place, another(0), drawn.uniform(index / moments, (index + 1) / moments) * whole)])
        new = project.model_copy(update={"root": place, "store": place / "models", "output": place / "output"})
        assert crew([(place, another(0), None)])[0] == [0]
        assert sound(new, load) == 1
        assert not list(new.store.glob(".mlflow.db.*"))


def test_the_first_run_may_be_killed_while_the_store_is_made(project: Project, crew: Crew, load, tmp_path: Path):
    first_run_killed(project, crew, load, 2, 3, tmp_path)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_first_run_may_be_killed_at_any_of_many_moments(project: Project, crew: Crew, load, tmp_path: Path):
    first_run_killed(project, crew, load, 25, 4, tmp_path)


def test_training_may_be_killed_and_leaves_no_half_candidate(fresh: Project, crew: Crew, load):
    assert crew([(fresh.root, another(1), 0.15)])[0] in ([KILLED], [0])
    assert crew([(fresh.root, another(1), None)])[0] == [0]
    assert sound(fresh, load) == 1


def test_two_first_runs_at_once_make_one_store_and_one_version(project: Project, crew: Crew, load):
    assert crew([(project.root, another(1), None)] * 2)[0] == [0, 0]
    assert sound(project, load) == 1


def test_three_runs_at_once_all_finish_with_numbers_of_their_own(registered: Project, crew: Crew, load):
    assert crew([(registered.root, another(index), None) for index in (1, 2, 3)])[0] == [0, 0, 0]
    assert sound(registered, load) == 4
