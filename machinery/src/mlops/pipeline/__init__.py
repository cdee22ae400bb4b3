"""The main job, in the order in which the data flow:

raw → interim → processed → split → fit → candidate → gate → version → alias → report
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops.config import Project
    from mlops.registry.register import Outcome
    from mlops.use_case import UseCase


def run(project: Project, use_case: UseCase, alias: str | None = None, why: str = "", again: bool = False) -> Outcome:
    """Train and register a use case as code, configuration and data stand now.

    alias: the alias that moves; None takes the one of the branch. again: train even where the candidate is there.
    A refusal by the gate is in the outcome; everything else raises.
    """
    from mlops import git
    from mlops.console import note, phase
    from mlops.registry.register import register, sentence
    from mlops.training.train import train

    branch = git.commit(project.root).branch
    candidate, created = train(project, use_case, again)
    note(f"{use_case.name}: {'trained' if created else f'trained before, candidate {candidate.key[:16]} is taken'}")
    with phase(f"{use_case.name}: gate, registration, report"):
        outcome = register(project, use_case, candidate, alias or project.alias_of(branch), why or f"mlops run on {branch}")
    if outcome.accepted:
        note(f"{use_case.name}: {sentence(outcome)}")
    return outcome


def try_out(project: Project, use_case: UseCase, again: bool = False) -> Outcome:
    """Train a use case and ask the gate; the report is made, nothing is registered and no alias moves."""
    from mlops.registry.register import Outcome, judge
    from mlops.training.train import train

    candidate, _ = train(project, use_case, again)
    evaluation, written = judge(project, use_case, candidate)
    return Outcome(use_case.name, evaluation.verdict.passed, None, False, "", None, evaluation, written)
