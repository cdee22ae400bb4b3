"""The page of cases: what is refused or right, in the words of the tests that hold it.

python machinery/tests/cases.py writes machinery/docs/cases.md
"""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parent
PAGE = TESTS.parent / "docs" / "cases.md"
HEAD = """# What is refused, and what is right

Each line is the claim of a test, in its words; the file that holds it stands beside. Written by
`python machinery/tests/cases.py` from the names of the tests; one that is renamed or removed makes the page stale, and
`make test` says so.
"""
# Title of a part → file below machinery/tests → a pattern of names, after `test_`, whose claims belong there.
PARTS: dict[str, dict[str, str]] = {
    "Labels": {"training/test_unknown_labels.py": ""},
    "Whole numbers beyond 2^53": {"serving/test_whole_numbers.py": ""},
    "A store on a full, locked or damaged disk": {"registry/test_store_faults.py": "", "registry/test_read_only_store.py": ""},
    "What an image installs": {"serving/test_contents.py": ""},
    "The saved artifact is judged": {
        "training/test_judgement.py": "a_saved|a_model_whose|the_last|the_folder",
        "registry/test_damage.py": "a_model_",
        "registry/test_refused_candidates.py": "",
    },
    "The champion's law": {
        "training/test_judgement.py": "a_looser|a_stricter|the_law|a_metric|another|rules|a_decision|an_own",
        "training/test_gate.py": "",
    },
    "The holdout": {"training/test_judgement.py": "holdout|a_holdout|few"},
    "Leaks and seeds": {"training/test_leaks.py": "", "training/test_judgement.py": "a_new_input"},
    "Trust": {
        "test_trust.py": "an_altered|a_server|a_type|a_model|what_computes|a_transformer|every_est|an_honest|boosting",
        "registry/test_hostile_store.py": "",
        "registry/test_signatures.py": "",
        "serving/test_hostile_graphs.py": "",
    },
    "A champion whose files are damaged": {"registry/test_damage.py": "a_damaged|the_next"},
    "Probabilities": {"training/test_probabilities.py": "", "serving/test_probabilities.py": ""},
    "Intervals, sets, slices, explanations": {"training/test_coverage.py": "", "training/test_importance.py": ""},
    "Served as trained": {"serving/test_parity.py": ""},
    "Parameters and tuning": {"training/test_parameters.py": "", "training/test_folds.py": ""},
    "The server": {
        "serving/test_categories.py": "",
        "serving/test_gaps.py": "",
        "serving/test_open_inference.py": "",
        "serving/test_client.py": "",
        "registry/test_ui.py": "",
    },
    "Stores": {
        "registry/test_pull_killed.py": "",
        "registry/test_crashes.py": "",
        "registry/test_many_versions.py": "",
        "test_folders.py": "the_folder|what_a_killed",
        "data/test_meaning.py": "local|a_schema",
        "test_copied_project.py": "",
    },
}


def claims(file: str, pattern: str) -> list[str]:
    """The claims of a file of tests whose names begin with a pattern, in their order, as sentences."""
    names = re.findall(r"^(?:async )?def test_(\w+)", (TESTS / file).read_text(encoding="utf-8"), re.MULTILINE)
    return [name.replace("_", " ").capitalize() for name in names if re.match(pattern, name)]


def page() -> str:
    """The page as it follows from the tests that are there."""
    lines = [HEAD]
    for title, files in PARTS.items():
        rows = [f"| {claim} | `{file}` |" for file, pattern in files.items() for claim in claims(file, pattern)]
        lines += [f"## {title}\n", "| what happens | held by |", "|:--|:--|", *rows, ""]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
