"""The notes of a release and the summary of a deployment."""

from __future__ import annotations

from mlops.config import Metric
from mlops.registry.deployment_log import DEPLOYED, RETURNED, VERIFIED, Deployment
from mlops.release import notes

from .samples import DIGEST, model, release

RULES = {
    "iris": {
        "accuracy": Metric(direction="higher", limit=0.9, primary=True),
        "log_loss": Metric(direction="lower", limit=0.1),
        "bias": Metric(direction="zero"),
    }
}
IMAGE = f"ghcr.io/ada/demo/iris@sha256:{DIGEST}"


def test_the_notes_are_the_changelog_and_each_model_in_numbers() -> None:
    released = release("v1.0.0", iris=model(metrics={"accuracy": 0.97, "log_loss": 0.12, "bias": 0.001}))
    text = notes.markdown(released, "### Added\n\n- Smaller flowers.", RULES, "ada/demo", {"iris": "https://x"})
    assert text.startswith("### Added\n\n- Smaller flowers.\n")
    assert (
        "| iris | 1.0.0 | ✅ accuracy 0.97 (≥ 0.9)<br>bias 0.001<br>❌ log_loss 0.12 (≤ 0.1) | `sha256:bbbbbbbbbbbb` |" in text
    )
    assert f"- iris: `{IMAGE}`\n" in text
    assert f"gh attestation verify oci://{IMAGE} --repo ada/demo" in text
    assert "taken over" not in text


def test_they_say_what_was_taken_over_and_what_is_not_attested() -> None:
    text = notes.markdown(release("v1.0.0", iris=model(promoted="v1.0.0-rc.2")), "", {}, "ada/demo", {})
    assert f"- iris: `{IMAGE}`, the image of v1.0.0-rc.2, taken over unchanged\n" in text
    assert "carry no attestation" in text and "gh attestation" not in text
    assert text.startswith("No entry in the changelog.")


def deployment(**differs: object) -> Deployment:
    fields = {
        "use_case": "iris",
        "environment": "production",
        "action": "deploy",
        "result": DEPLOYED,
        "number": "1.1.0",
        "image": IMAGE,
        "bundle": "e" * 64,
        "tag": "v1.1.0",
        "before": "1.0.0",
        "who": "ada",
        "why": "better",
        "alias": "production",
    }
    return Deployment(**(fields | differs))  # type: ignore[arg-type]


def test_the_summary_says_what_ran_before_and_what_runs_now() -> None:
    text = notes.deployments([deployment()])
    assert "| iris | production | ✅ deployed | 1.0.0 | 1.1.0 | ada | better |" in text and "No target" not in text


def test_the_summary_of_a_failed_one_says_that_the_old_one_runs_and_why() -> None:
    text = notes.deployments([deployment(result=RETURNED, alias="", message="the container | ended\nwith 1", why="a|b")])
    assert "| iris | production | ❌ returned to the old one | 1.0.0 | 1.0.0 | ada | a\\|b |" in text
    assert "iris 1.1.0: the container \\| ended with 1" in text


def test_the_summary_without_a_target_says_how_to_have_one() -> None:
    text = notes.deployments([deployment(result=VERIFIED, alias="", before=None)])
    assert "| ✅ verified, not deployed | – | – |" in text
    assert "no alias moved" in text and "`deploy.production` in `config/project.yaml`" in text
