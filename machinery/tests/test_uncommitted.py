"""What a run was trained with and no commit holds is kept as a patch: small, of what training reads, and without a secret."""

from pathlib import Path

import pytest
from checkouts import git

from mlops import uncommitted
from mlops.config import Project
from mlops.errors import UserError

CONFIG = "config/iris.yaml"


@pytest.fixture
def changed(project: Project) -> Project:
    """A project with an edit of its configuration, another one that is staged, new code and notes."""
    for name in (CONFIG, "config/ridership.yaml", "README.md"):
        with (project.root / name).open("a") as file:
            file.write("# edited\n")
    git(project.root, "add", "config/ridership.yaml")
    (project.root / "src/use_cases/iris").mkdir(parents=True)
    (project.root / "src/use_cases/iris/new.py").write_bytes(b"NAME = 'caf\xe9'  # no UTF-8\n")
    (project.root / "src/.env").write_text("X=1\n")
    return project


def test_a_patch_brings_back_what_training_reads_and_touches_neither_index_nor_objects(
    changed: Project, tmp_path: Path
) -> None:
    before = [git(changed.root, *command) for command in (("status", "--porcelain"), ("count-objects", "-v"))]
    kept = uncommitted.keep(changed.root, tmp_path)
    assert kept == {"files": [CONFIG, "config/ridership.yaml", "src/use_cases/iris/new.py"]}
    assert [git(changed.root, *command) for command in (("status", "--porcelain"), ("count-objects", "-v"))] == before
    tree = tmp_path / "tree"
    git(changed.root, "worktree", "add", "-q", "--detach", str(tree))
    uncommitted.apply(tmp_path / uncommitted.FILE, tree)
    for name in kept["files"]:
        assert (tree / name).read_bytes() == (changed.root / name).read_bytes()
    with pytest.raises(UserError, match="does not fit the commit"):
        uncommitted.apply(tmp_path / uncommitted.FILE, tree)


def test_a_patch_of_a_project_in_a_folder_of_its_repository_is_applied_there(tmp_path: Path) -> None:
    inner = tmp_path / "team" / "project"
    (inner / "config").mkdir(parents=True)
    (inner / CONFIG).write_text("seed: 1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "-c", "user.name=Ann", "-c", "user.email=a@b.c", "commit", "-q", "-m", "first")
    (inner / CONFIG).write_text("seed: 2\n")
    assert uncommitted.keep(inner, tmp_path) == {"files": [f"team/project/{CONFIG}"]}
    git(tmp_path, "checkout", "-q", "team")
    uncommitted.apply(tmp_path / uncommitted.FILE, inner)
    assert (inner / CONFIG).read_text() == "seed: 2\n"


@pytest.mark.parametrize("name", ["README.md", "notebooks/new.ipynb", "data/raw/iris/new.csv"])
def test_what_training_does_not_read_leaves_no_patch(project: Project, tmp_path: Path, name: str) -> None:
    (project.root / name).parent.mkdir(exist_ok=True)
    (project.root / name).write_text("new\n")
    assert uncommitted.keep(project.root, tmp_path) == {"files": []} and not list(tmp_path.glob("*.patch"))


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        (CONFIG, "key: " + "AKIA" + "Q" * 3 + "2345" + "W" * 9, f"{CONFIG} shows a secret (AWS Access Key)"),
        (CONFIG, "db_" + "password: 'correct horse battery'", f"{CONFIG} shows a secret (Secret Keyword)"),
        (CONFIG, "# db pass" + "word: hunter2hunter3", f"{CONFIG} shows a secret (a value behind a word for secrets)"),
        ("config/f.txt", "pass" + "word=hunter2hunter2", "config/f.txt shows a secret (a value behind a word for secrets)"),
        ("src/run.sh", "export DB_PASS" + "WORD=hunter2", "src/run.sh shows a secret (a value behind a word for secrets)"),
        ("src/a.py", "API_TO" + 'KEN = "s3cr3tvalue"', "src/a.py shows a secret (a value behind a word for secrets)"),
        ("src/private.pem", "x", "src/private.pem may hold a secret by its name"),
        ("config/new.yaml", "# long\n" * 40_000, "they are 320 kB, and at most 200 are kept"),
    ],
    ids=["a key", "a password", "in a comment", "in a text", "in a shell", "a token", "a name", "a large one"],
)
def test_a_secret_or_a_large_change_is_not_kept(project: Project, tmp_path: Path, name: str, text: str, reason: str) -> None:
    (project.root / name).parent.mkdir(exist_ok=True)
    with (project.root / name).open("a") as file:
        file.write(f"{text}\n")
    assert uncommitted.keep(project.root, tmp_path) == {"reason": reason} and not list(tmp_path.glob("*.patch"))


@pytest.mark.parametrize(
    "line",
    [
        "tokens = text.split()",
        'pattern = CountVectorizer(token_pattern="(?u)x+")',
        "password = read_password()",
        "max_tokens: 100000",
    ],
)
def test_a_word_for_secrets_without_one_is_kept(project: Project, tmp_path: Path, line: str) -> None:
    name = "src/use_cases/iris/new.py" if "=" in line else "config/new.yaml"
    (project.root / name).parent.mkdir(parents=True, exist_ok=True)
    (project.root / name).write_text(f"{line}\n")
    assert uncommitted.keep(project.root, tmp_path) == {"files": [name]}
