"""The command line as a test calls it: in this process, as a user would from a shell."""

import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any
from unittest.mock import patch

from mlops import cli


@dataclass(frozen=True)
class Done:
    """What a command ended with."""

    code: int
    out: str
    err: str

    @property
    def value(self) -> Any:
        """The result that it printed as JSON."""
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """Its one line of error; fails where there is none, or more than it."""
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1 and self.err.splitlines()[-1] == lines[0], self.err
        return lines[0].removeprefix("error: ")


def mlops(*arguments: object) -> Done:
    """Run `mlops <arguments>`."""
    out, err, code = StringIO(), StringIO(), 0
    with redirect_stdout(out), redirect_stderr(err), patch.object(sys, "argv", ["mlops", *map(str, arguments)]):
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
    return Done(code, out.getvalue(), err.getvalue())
