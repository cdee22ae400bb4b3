"""What README and pages show: their fenced blocks, the commands in these, and the commands that prose names."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from checkouts import ROOT

DOCS = ROOT / "machinery" / "docs"
SKELETON = ROOT / "machinery" / "src" / "mlops" / "project" / "skeleton"
PAGES = {
    str(file.relative_to(ROOT)): file.read_text(encoding="utf-8")
    for file in [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "machinery/CONTRIBUTING.md", "AGENTS.md")),
        SKELETON / "README.md",
        *sorted(DOCS.glob("**/*.md")),
        *sorted((ROOT / "docs").glob("*.md")),
        *sorted((ROOT / "machinery" / "examples").glob("*/docs/*.md")),
    ]
    if "_build" not in file.parts
}
FENCE = re.compile(r"^(?P<indent> *)(?P<marks>```+)(?P<kind>[^\n`]*)\n(?P<body>.*?)^(?P=indent)(?P=marks) *$", re.M | re.S)
ENDS = {";", "&&", "||", "|", "&", "(", ")"}
HERE_DOCUMENT = re.compile(r"<<'(\w+)'\n.*?^\1$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; `kind` is the word after its marks."""

    page: str
    line: int
    kind: str
    body: str

    @property
    def scripts(self) -> list[str]:
        """What is typed, a shell script each: the whole block of kind `sh`, the lines after `$` of kind `console`."""
        if self.kind == "sh":
            return [self.body]
        return re.findall(r"^\$ (.*)", self.body, re.M) if self.kind == "console" else []

    @property
    def output(self) -> list[str]:
        """The lines that it shows as output."""
        if self.kind not in ("text", "console"):
            return []
        return [line for line in self.body.splitlines() if line.strip() and not line.startswith("$ ")]


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = PAGES[page]
    return [Block(page, text.count("\n", 0, m.start()) + 1, m["kind"].strip(), m["body"]) for m in FENCE.finditer(text)]


def calls(script: str) -> Iterator[list[str]]:
    """The words of each simple command of a shell script, without what is set before it and where its output goes."""
    for line in _lines(HERE_DOCUMENT.sub("", script).replace("\\\n", " ")):
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.wordchars += ":,@%+{}!…–"
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word not in ENDS:
                words.append(word)
                continue
            call = _bare(words)
            words = []
            if call:
                yield call


def _lines(script: str) -> Iterator[str]:
    """The lines of a script, those between two quotation marks as one."""
    line = ""
    for part in script.splitlines():
        line += part
        try:
            shlex.split(line, comments=True)
        except ValueError:
            line += "\n"
            continue
        yield line
        line = ""


def _bare(words: list[str]) -> list[str]:
    while words and re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    kept = []
    rest = iter(words)
    for word in rest:
        if word in (">", ">>", "<", "<<"):
            next(rest, None)
        else:
            kept.append(word)
    return kept


def named(page: str, program: str) -> list[str]:
    """What the prose of a page names in backticks that begins with a program."""
    prose = FENCE.sub("", PAGES[page])
    spans = (" ".join(span.split()) for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose))
    return [span for span in spans if span == program or span.startswith(f"{program} ")]
