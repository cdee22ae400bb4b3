"""Every error that a user can meet, and the exit code it ends the command with (70 is a defect, with its traceback).

MlopsError                  2   base: one line that says what, where, how to fix
├── UserError               2   wrong argument, unknown name, missing tool
│   ├── ConfigError         2   a configuration file or variable is wrong
│   └── DataError           2   a data set breaks its schema, its digest or its immutability
├── GateRefused             1   the gate refused; the reasons are in the message
└── StoreUnreachable        3   the tracking store does not answer or is damaged
"""


class MlopsError(Exception):
    """What is wrong, where, and how to fix it, in one line."""

    exit_code = 2


class UserError(MlopsError):
    """Raised for a wrong argument, an unknown name or a missing tool."""


class ConfigError(UserError):
    """Raised for a configuration that cannot be read, naming file, line, key and the nearest right key."""


class DataError(UserError):
    """Raised for data that break their schema, naming file, column, row and rule."""


class GateRefused(MlopsError):
    """Raised when a candidate may not be registered, naming each reason."""

    exit_code = 1


class StoreUnreachable(MlopsError):
    """Raised when the tracking store does not answer, or its database is damaged."""

    exit_code = 3


def first_line(error: BaseException) -> str:
    """What an error of another library says, in one line; its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
