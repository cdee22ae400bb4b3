"""The picture of the dashboard: its queries, answered by a Prometheus that watched two services in use.

    python machinery/docs/dashboard.py PROJECT machinery/docs/dashboard.svg

PROJECT is this repository or a new project, set up and with a version of iris and of ridership; Prometheus is Debian's own.
It takes five minutes of traffic: requests that come and go in waves, some of which are refused.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from mlops.deploy import dashboards

NAMES, MINUTES, EVERY = ("iris", "ridership"), 5, "15s"
PAPER, PANEL, INK, SOFT = "#111217", "#181b1f", "#d8d9da", "#8e8e92"
COLOURS = ("#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#f2495c", "#b877d9")


@contextmanager
def running(*command: str, cwd: Path, log: Path, says: str) -> Iterator[str]:
    """Run a program until the block ends; what the group of the pattern `says` is in its log."""
    with log.open("w") as file, subprocess.Popen(command, cwd=cwd, stdout=file, stderr=file) as process:
        try:
            while not (found := re.search(says, log.read_text())):
                if process.poll() is not None:
                    sys.exit(f"{command[0]} ended: {log.read_text()}")
                time.sleep(0.2)
            yield found[1]
        finally:
            process.terminate()


def traffic(addresses: list[str], seconds: float) -> None:
    """Ask each service for the example of its own documentation, four clients each."""
    with ThreadPoolExecutor(4 * len(addresses)) as pool:
        for done in [pool.submit(client, address, place, seconds) for place in range(4) for address in addresses]:
            done.result()


def client(address: str, place: int, seconds: float) -> None:
    """Ask in waves; in one request of forty the row has no columns."""
    document = httpx.get(f"{address}/openapi.json").json()
    body = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["example"]
    begun, count = time.monotonic(), place * 10
    with httpx.Client() as session:
        while (passed := time.monotonic() - begun) < seconds:
            count += 1
            session.post(f"{address}/predict", json={"rows": [{}]} if count % 40 == 0 else body)
            time.sleep(0.02 + 0.06 * (1 + math.sin(2 * math.pi * (passed / 100 + len(document["info"]["title"]) / 9))))


def ask(prometheus: str, query: str, start: float, end: float) -> list[dict[str, Any]]:
    """The series of a query between two moments, a value every two seconds."""
    filled = query.replace("$__rate_interval", EVERY).replace("$__range", f"{MINUTES}m").replace("$job", ".*")
    times = {"query": filled, "start": f"{start}", "end": f"{end}", "step": "2"}
    answer = httpx.get(f"{prometheus}/api/v1/query_range", params=times).json()
    if answer["status"] != "success" or not answer["data"]["result"]:
        sys.exit(f"no figures for {filled}: {answer}")
    return list(answer["data"]["result"])


def draw(board: dict[str, Any], prometheus: str, start: float, end: float) -> Figure:
    """Each panel where the dashboard has it, with the figures that its queries gave."""
    high = max(item["gridPos"]["y"] + item["gridPos"]["h"] for item in board["panels"])
    figure = plt.figure(figsize=(12, high * 0.36), facecolor=PAPER)
    for panel in board["panels"]:
        place = panel["gridPos"]
        left, bottom = place["x"] / 24, 1 - (place["y"] + place["h"]) / high
        box = (left + 0.004, bottom + 0.006, place["w"] / 24 - 0.008, place["h"] / high - 0.012)
        figure.add_artist(plt.Rectangle(box[:2], *box[2:], color=PANEL, transform=figure.transFigure, zorder=-1))
        figure.text(
            box[0] + 0.01,
            box[1] + box[3] - 0.012,
            textwrap.fill(panel["title"], 5 * place["w"]),
            color=INK,
            size=10,
            weight="bold",
            va="top",
        )
        series = [
            (target["legendFormat"], item)
            for target in panel["targets"]
            for item in ask(prometheus, target["expr"], start, end)
        ]
        inner = (box[0] + 0.045, box[1] + 0.065, box[2] - 0.065, box[3] - 0.11)
        {"timeseries": lines, "stat": stat, "table": table}[panel["type"]](figure.add_axes(inner), panel, series, start)
    return figure


def lines(axes: Axes, panel: dict[str, Any], series: list[tuple[str, dict[str, Any]]], start: float) -> None:
    """Time series in the panel's unit, their names below."""
    named = {
        re.sub(r"{{(\w+)}}", lambda match, labels=item["metric"]: labels.get(match[1], ""), form): item
        for form, item in series
    }
    for name, colour in zip(sorted(named), COLOURS, strict=False):
        times, values = np.array(named[name]["values"], dtype=float).T
        axes.plot((times - start) / 60, values, color=colour, lw=1.4, label=name)
    unit = {"s": "s", "bytes": "B"}.get(panel["fieldConfig"]["defaults"]["unit"])
    axes.yaxis.set_major_formatter(EngFormatter(unit, sep="") if unit else "{x:g}")
    axes.set(facecolor=PANEL, xlim=(0, MINUTES), ylim=(0, None))
    axes.tick_params(colors=SOFT, length=0, labelsize=8)
    axes.xaxis.set_major_formatter(lambda minute, _: f"{minute:g} min")
    axes.grid(color="#2c3235", lw=0.6)
    axes.set_frame_on(False)
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(-0.05, -0.1),
        ncols=3 if panel["gridPos"]["w"] > 8 else 1,
        frameon=False,
        labelcolor=SOFT,
        fontsize=7.5,
        columnspacing=1,
    )


def stat(axes: Axes, panel: dict[str, Any], series: list[tuple[str, dict[str, Any]]], start: float) -> None:
    """The last value, large."""
    value = float(series[0][1]["values"][-1][1])
    text = f"{value:.1%}" if panel["fieldConfig"]["defaults"]["unit"] == "percentunit" else f"{value:g}"
    axes.text(0.4, 0.45, text, color=COLOURS[0], size=26, weight="bold", ha="center", va="center")
    axes.set_axis_off()


def table(axes: Axes, panel: dict[str, Any], series: list[tuple[str, dict[str, Any]]], start: float) -> None:
    """The labels of each series."""
    names = ("job", "use_case", "version", "format")
    for row, labels in enumerate([dict(zip(names, names, strict=True)), *(item["metric"] for _, item in series)]):
        for column, name in enumerate(names):
            axes.text(column / 4, 0.9 - row * 0.3, labels[name], color=SOFT if row == 0 else INK, size=10, va="center")
    axes.set_axis_off()


def main(project: Path, target: Path) -> None:
    """Serve, watch, ask, draw."""
    mlops = str(Path(sys.executable).with_name("mlops"))
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        folder = Path(scratch)
        serving = [
            running(mlops, "serve", name, "--port", "0", cwd=project, log=folder / name, says=r"listening on (\S+)\n")
            for name in NAMES
        ]
        addresses = [stack.enter_context(each) for each in serving]
        dashboards.write(folder)
        jobs = [
            {"job_name": f"mlops-{name}", "static_configs": [{"targets": [address.removeprefix("http://")]}]}
            for name, address in zip(NAMES, addresses, strict=True)
        ]
        every = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        settings = {"global": every, "rule_files": ["alerts.yaml"], "scrape_configs": jobs}
        (folder / "prometheus.yml").write_text(json.dumps(settings), encoding="utf-8")
        watch = ("prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address=127.0.0.1:0")
        watching = running(*watch, cwd=folder, log=folder / "log", says=r"Listening on.* address=(\S+)\n")
        prometheus = f"http://{stack.enter_context(watching)}"
        start = time.time()
        traffic(addresses, MINUTES * 60)
        board = json.loads((folder / "grafana.json").read_text(encoding="utf-8"))
        plt.rcParams["svg.fonttype"] = "none"
        draw(board, prometheus, start, time.time()).savefig(target, facecolor=PAPER, metadata={"Date": None})


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
