"""What every workflow here keeps to, as functions from a workflow to the findings, one line each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

PIN = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
WRITES = {
    ("train.yml", "register", "actions"),
    ("train.yml", "register", "contents"),
    ("train.yml", "register", "statuses"),
    ("backmerge.yml", "backmerge", "contents"),
    ("backmerge.yml", "backmerge", "issues"),
    ("backmerge.yml", "backmerge", "pull-requests"),
    ("bootstrap.yml", "bootstrap", "contents"),
    ("bootstrap.yml", "bootstrap", "pull-requests"),
    ("audit.yml", "machinery", "issues"),
    ("report-comment.yml", "comment", "pull-requests"),
    ("monitor.yml", "monitor", "issues"),
    ("monitor.yml", "propose", "contents"),
    ("monitor.yml", "propose", "issues"),
    ("monitor.yml", "propose", "pull-requests"),
    ("codeql.yml", "analyze", "security-events"),
    ("release.yml", "image", "attestations"),
    ("release.yml", "image", "id-token"),
    ("release.yml", "image", "packages"),
    ("release.yml", "publish", "contents"),
    ("release.yml", "deploy", "contents"),
    ("deploy.yml", "record", "contents"),
    ("pages.yml", "deploy", "id-token"),
    ("pages.yml", "deploy", "pages"),
    ("template.yml", "wheel", "contents"),
}


def findings(name: str, workflow: dict[str, Any], text: str) -> list[str]:
    """Return everything that a workflow does not keep to."""
    faults = list(_of_workflow(workflow))
    for job_id, job in workflow["jobs"].items():
        faults += [f"{job_id}: {finding}" for finding in _of_job(name, job_id, job)]
        for step in job.get("steps", []):
            faults += [f"{job_id}: {finding}" for finding in _of_step(step)]
    return faults + list(_of_text(text))


def pins(texts: Iterable[str]) -> dict[str, set[tuple[str, str]]]:
    """Return action → its (commit, version) pairs; each action is to have exactly one."""
    pinned: dict[str, set[tuple[str, str]]] = {}
    for text in texts:
        for action, sha, version in re.findall(r"uses: ([\w.-]+/[\w.-]+)[\w./-]*@([0-9a-f]{40}) # (v\S+)", text):
            pinned.setdefault(action, set()).add((sha, version))
    return pinned


def _of_workflow(workflow: dict[str, Any]) -> Iterator[str]:
    if workflow.get("permissions") != {}:
        yield "permissions: {} does not come first"
    if "message" in workflow.get("run-name", ""):
        yield "run-name: a message has several lines"
    if "concurrency" not in workflow:
        yield "no concurrency"
    for event in workflow["on"].values() if isinstance(workflow["on"], dict) else []:
        if isinstance(event, dict) and {"paths", "paths-ignore"} & set(event):
            yield "paths: filters would leave a required check waiting for ever"


def _of_job(name: str, job_id: str, job: dict[str, Any]) -> Iterator[str]:
    # A job that calls a workflow has no time of its own: the jobs that it calls have.
    if "timeout-minutes" not in job and "uses" not in job:
        yield "no timeout-minutes"
    if not job.get("uses", "./").startswith("./"):
        yield f"calls a workflow of another repository: {job['uses']}"
    if "permissions" not in job:
        yield "no permissions of its own"
    for scope, level in (job.get("permissions") or {}).items():
        if level == "write" and (name, job_id, scope) not in WRITES:
            yield f"writes {scope}"
    for secret in re.findall(r"secrets\.(\w+)", str(job)):
        if name == "pull-request.yml" and "READER" not in secret:
            yield f"gives {secret} to a pull request"


def _of_step(step: dict[str, Any]) -> Iterator[str]:
    uses, run = step.get("uses", ""), step.get("run", "")
    if uses and not uses.startswith("./") and not PIN.fullmatch(uses):
        yield f"{uses} is not pinned to a commit"
    if uses.startswith("actions/checkout@") and (step.get("with") or {}).get("persist-credentials") is not False:
        yield "the checkout keeps the credentials"
    if "${{" in run:
        yield f"an expression inside run: {run.strip()}"
    if uses.startswith("actions/upload-artifact@") and not 0 < int(step["with"].get("retention-days", 0)) <= 90:
        yield f"{step['with']['name']} is kept for as long as the repository says: give it retention-days"
    if run and (len(run.strip().splitlines()) > 1 or not re.match(r"(make|mlops|exit 1)\b", run)):
        yield f"logic in a step: {run.strip()}"


def _of_text(text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), 1):
        if re.search(r"python[\w-]*:\s*\[?\s*3\.\d+\b", line):
            yield f"line {number}: an unquoted version, which YAML reads as a number"
        if re.search(r"\buses: [^.]", line) and not re.search(r"@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line):
            yield f"line {number}: a pin without its version as comment"


def uses(content: dict[str, Any]) -> Iterator[tuple[str, set[str]]]:
    """Yield (action@commit, names of the inputs given) of every step of a workflow or a composite action."""
    for step in steps(content):
        if "uses" in step:
            yield step["uses"], set(step.get("with") or {})


def steps(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every step of a workflow or a composite action."""
    jobs = content.get("jobs", {"": content.get("runs", {})})
    return [step for job in jobs.values() for step in job.get("steps", [])]
