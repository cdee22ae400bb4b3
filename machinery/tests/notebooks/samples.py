"""Notebooks as values, for the tests."""

import json
import time

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def code(source, outputs=(), count=None, number=0, **metadata):
    return {
        "cell_type": "code",
        "id": f"c{number}",
        "metadata": metadata,
        "source": source,
        "outputs": list(outputs),
        "execution_count": count,
    }


def text(source, number=0):
    return {"cell_type": "markdown", "id": f"m{number}", "metadata": {}, "source": source}


def stream(words):
    return {"output_type": "stream", "name": "stdout", "text": words}


def shown(**data):
    data = {kind.replace("_", "/", 1).replace("_", "-"): value for kind, value in data.items()}
    return {"output_type": "display_data", "metadata": {}, "data": data}


def notebook(*cells, **metadata):
    python = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    numbered = [dict(cell, id=f"{cell['cell_type'][0]}{number}") for number, cell in enumerate(cells)]
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {**python, **metadata}, "cells": numbered}


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def eventually(condition, seconds=30):
    """Wait until the condition holds; fails with what it said last."""
    end = time.monotonic() + seconds
    outcome = None
    while time.monotonic() < end:
        try:
            if outcome := condition():
                return outcome
        except (OSError, AssertionError) as error:
            outcome = error
        time.sleep(0.1)
    raise AssertionError(f"did not come true within {seconds} s: {outcome!r}")
