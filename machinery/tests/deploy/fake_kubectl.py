"""A kubectl that keeps its cluster in a folder, renders by the real one, and fails where it is set to.

state.json    objects by "kind/name", revisions of each Deployment, calls
fails.json    verb, or "verb kind/name" → message: the call fails with it, once for each entry of a list
images.json   image → {"bundle": file that `cat` gives, "port": where port-forward leads, "ready": whether its pods get ready}
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(os.environ["FAKE_CLUSTER"])
REVISION = "deployment.kubernetes.io/revision"


def main() -> None:
    arguments = [item for item in sys.argv[1:] if not item.startswith(("--namespace=", "--context=", "--address="))]
    if arguments[0] == "kustomize":
        sys.exit(subprocess.run([os.environ["REAL_KUBECTL"], *arguments]).returncode)
    state = read("state.json")
    stdin = json.load(sys.stdin)["items"] if "--filename=-" in arguments else []
    named = [key(item) for item in stdin] or arguments[1:2]
    if arguments[0] == "rollout":
        named = arguments[2:3]
    state["calls"].append([arguments[0], *([arguments[1]] if arguments[0] == "rollout" else []), *named])
    write("state.json", state)
    fail(arguments, named)
    verb = {"apply": apply, "delete": delete, "get": get, "rollout": rollout, "exec": execute, "port-forward": forward}
    verb[arguments[0]](state, arguments, stdin)
    write("state.json", state)


def apply(state: dict, arguments: list[str], stdin: list[dict]) -> None:
    for item in stdin:
        before = state["objects"].get(key(item))
        if item["kind"] == "Deployment":
            past = state["revisions"].setdefault(key(item), [])
            if not past or past[-1]["template"] != item["spec"]["template"]:
                past.append({"number": len(past) + 1, "template": item["spec"]["template"]})
            item["metadata"].setdefault("annotations", {})[REVISION] = str(past[-1]["number"])
        state["objects"][key(item)] = item
        print(f"{key(item)} {'configured' if before else 'created'}")


def delete(state: dict, arguments: list[str], stdin: list[dict]) -> None:
    for name in [key(item) for item in stdin] or [arguments[1]]:
        state["objects"].pop(name, None)
        state["revisions"].pop(name, None)


def get(state: dict, arguments: list[str], stdin: list[dict]) -> None:
    if arguments[1] == "pods":
        labels = dict(pair.split("=", 1) for pair in arguments[2].removeprefix("--selector=").split(","))
        print(json.dumps({"items": [pod for pod in pods(state) if labels.items() <= pod["metadata"]["labels"].items()]}))
    elif arguments[1] in state["objects"]:
        print(json.dumps(state["objects"][arguments[1]]))


def rollout(state: dict, arguments: list[str], stdin: list[dict]) -> None:
    name = arguments[2]
    if arguments[1] == "undo":
        wanted = next(item.split("=")[1] for item in arguments if item.startswith("--to-revision="))
        past = next(item for item in state["revisions"][name] if str(item["number"]) == wanted)
        state["objects"][name]["spec"]["template"] = past["template"]
        state["revisions"][name].append({"number": len(state["revisions"][name]) + 1, "template": past["template"]})
    elif not all(pod["ready"] for pod in pods(state) if pod["of"] == name):
        sys.exit("error: timed out waiting for the condition")


def execute(state: dict, arguments: list[str], stdin: list[dict]) -> None:
    pod = next(pod for pod in pods(state) if f"pod/{pod['metadata']['name']}" == arguments[1])
    assert arguments[2:] == ["--", "cat", "/srv/bundle/manifest.json"]
    sys.stdout.buffer.write(Path(image(pod["image"])["bundle"]).read_bytes())


def forward(state: dict, arguments: list[str], stdin: list[dict]) -> None:
    pod = next(pod for pod in pods(state) if f"pod/{pod['metadata']['name']}" == arguments[1])
    assert arguments[2] == ":8080" and not pod["metadata"].get("deletionTimestamp")
    print(f"Forwarding from 127.0.0.1:{image(pod['image'])['port']} -> 8080", flush=True)
    time.sleep(60)


def pods(state: dict) -> list[dict[str, Any]]:
    """One pod for each Deployment, and one of the template before that has yet to go."""
    pods_of = []
    for name, item in state["objects"].items():
        if item["kind"] != "Deployment":
            continue
        past = [each["template"] for each in state["revisions"][name][:-1][-1:]]
        for index, template in enumerate([*past, item["spec"]["template"]]):
            leaving = index < len(past)
            used = template["spec"]["containers"][0]["image"]
            ready = image(used)["ready"]
            waiting = {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container\nmore"}
            pods_of.append(
                {
                    "of": name,
                    "image": used,
                    "ready": ready or leaving,
                    "metadata": {
                        "name": f"{item['metadata']['name']}-{index}",
                        "labels": template["metadata"]["labels"],
                        "annotations": template["metadata"].get("annotations", {}),
                        **({"deletionTimestamp": "2024-01-01T00:00:00Z"} if leaving else {}),
                    },
                    "status": {"containerStatuses": [{"state": {"running": {}} if ready else {"waiting": waiting}}]},
                }
            )
    return pods_of


def image(name: str) -> dict[str, Any]:
    return read("images.json")[name]


def fail(arguments: list[str], named: list[str]) -> None:
    fails = read("fails.json")
    verb = " ".join(arguments[:2]) if arguments[0] == "rollout" else arguments[0]
    for pattern in [verb, *(f"{verb} {name}" for name in named)]:
        if fails.get(pattern):
            message = fails[pattern].pop(0)
            write("fails.json", fails)
            if message:
                sys.exit(message)


def key(item: dict) -> str:
    return f"{item['kind'].lower()}/{item['metadata']['name']}"


def read(name: str) -> dict[str, Any]:
    return json.loads((HERE / name).read_text())


def write(name: str, value: dict) -> None:
    (HERE / name).write_text(json.dumps(value))


if __name__ == "__main__":
    main()
