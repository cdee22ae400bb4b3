"""What a release has to do, from facts: tables of cases."""

from __future__ import annotations

import pytest

from mlops.errors import UserError
from mlops.release import manifest, plan

from .samples import DIGEST, model, release


@pytest.mark.parametrize(
    ("record", "images", "expected"),
    [
        ({"iris": "1.0.0", "taxi": "2.0.1"}, {"iris": True, "taxi": True}, {"iris": "1.0.0", "taxi": "2.0.1"}),
        ({"iris": "1.0.0", "taxi": "2.0.1"}, {"iris": True, "taxi": False}, {"iris": "1.0.0"}),
        ({"iris": "1.0.0", "gone": "1.0.0"}, {"iris": True}, {"iris": "1.0.0"}),
        ({}, {"iris": False}, {}),
    ],
)
def test_what_is_recorded_and_served_gets_an_image(
    record: dict[str, str], images: dict[str, bool], expected: dict[str, str]
) -> None:
    assert plan.served(record, images) == expected


def test_a_use_case_that_the_record_lacks_is_refused_naming_the_workflow() -> None:
    with pytest.raises(UserError, match="lacks taxi: run the workflow `train`"):
        plan.served({"iris": "1.0.0"}, {"iris": True, "taxi": True})


@pytest.mark.parametrize(
    ("tag", "known", "expected"),
    [
        ("v1.0.0", [], ["v1.0.0"]),
        ("v1.0.0-rc.2", ["v1.0.0-rc.1", "v1.0.0-rc.2"], ["v1.0.0-rc.2"]),
        (
            "v1.0.0",
            ["v1.0.0-rc.2", "v1.0.0", "v1.0.0-rc.10", "v1.0.1-rc.3", "other", "v0.9.0"],
            ["v1.0.0", "v1.0.0-rc.10", "v1.0.0-rc.2"],
        ),
    ],
)
def test_the_newest_candidate_of_the_version_is_asked_first(tag: str, known: list[str], expected: list[str]) -> None:
    assert plan.candidates(tag, known) == expected


IMAGE = f"ghcr.io/ada/demo/iris@sha256:{DIGEST}"


@pytest.mark.parametrize(
    ("differs", "expected"),
    [
        ({}, ("v1.0.0-rc.2", IMAGE)),
        ({"number": "1.0.1"}, None),
        ({"key": "1" * 64}, None),
        ({"server": "1" * 64}, None),
        ({"metrics": {"accuracy": 0.1}}, ("v1.0.0-rc.2", IMAGE)),
        ({"promoted": "v1.0.0-rc.1"}, ("v1.0.0-rc.1", IMAGE)),
    ],
)
def test_an_image_is_promoted_only_for_the_same_version_key_and_server(
    differs: dict[str, object], expected: tuple[str, str] | None
) -> None:
    earlier = release("v1.0.0-rc.2", iris=model(**differs))
    this = model()
    promoted = plan.promotion("iris", str(this["number"]), str(this["key"]), str(this["server"]), [earlier])
    assert promoted == (expected and (*expected, earlier.models["iris"].bundle))
    assert plan.promotion("taxi", "1.0.0", "0" * 64, "0" * 64, [earlier]) is None


def test_the_first_that_fits_is_taken() -> None:
    other = f"ghcr.io/ada/demo/iris@sha256:{'9' * 64}"
    earlier = [release("v1.0.0-rc.3", iris=model(key="1" * 64)), release("v1.0.0-rc.2", iris=model(image=other))]
    this = model()
    promoted = plan.promotion(
        "iris", str(this["number"]), str(this["key"]), str(this["server"]), [*earlier, release("v1.0.0-rc.1")]
    )
    assert promoted == ("v1.0.0-rc.2", other, model()["bundle"])


@pytest.mark.parametrize(
    ("registry", "project", "expected"),
    [
        ("", "Ada/Demo", "ghcr.io/ada/demo/iris"),
        ("127.0.0.1:5000", "ada/demo", "127.0.0.1:5000/ada/demo/iris"),
        ("https://registry.example.org/team/", "ada/demo", "registry.example.org/team/ada/demo/iris"),
    ],
)
def test_an_image_is_named_after_registry_repository_and_use_case(
    registry: str, project: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_REGISTRY", registry)
    assert plan.repository("iris", project) == expected
    with pytest.raises(UserError, match="GITHUB_REPOSITORY"):
        plan.repository("iris", "")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"GITHUB_TOKEN": "t", "GITHUB_ACTOR": "ada"}, ("ghcr.io", "ada", "t")),
        ({"GITHUB_ACTOR": "ada"}, None),
        ({"GITHUB_TOKEN": "t", "MLOPS_REGISTRY": "registry.example.org/x"}, None),
        (
            {"GITHUB_TOKEN": "t", "MLOPS_REGISTRY": "registry.example.org/x", "MLOPS_REGISTRY_PASSWORD": "p"},
            ("registry.example.org", "mlops", "p"),
        ),
        ({"MLOPS_REGISTRY_USERNAME": "bot", "MLOPS_REGISTRY_PASSWORD": "p", "GITHUB_TOKEN": "t"}, ("ghcr.io", "bot", "p")),
    ],
)
def test_the_token_of_the_workflow_is_shown_to_the_registry_of_github_alone(
    variables: dict[str, str], expected: tuple[str, str, str] | None, environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert plan.credentials() == expected


def test_a_candidate_goes_to_staging_only() -> None:
    candidate, final = release("v1.0.0-rc.2"), release("v1.0.0")
    manifest.refuse_wrong_environment(candidate, "staging")
    manifest.refuse_wrong_environment(final, "production")
    manifest.refuse_wrong_environment(final, "staging")
    with pytest.raises(UserError, match="it goes to staging only"):
        manifest.refuse_wrong_environment(candidate, "production")
