"""Kernels: which one a notebook runs on, how it is spoken to, and the parameters of a run; with papermill."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops import folders
from mlops.errors import UserError
from mlops.notebooks import content
from mlops.notebooks.content import Notebook

if TYPE_CHECKING:
    from traitlets.config import Config

# Bytes of a socket's path that every system takes, without the kernel's number at its end.
SOCKET_PATH = 100
PARAMETERS = "parameters"
# How the kernels of other languages come; https://github.com/jupyter/jupyter/wiki/Jupyter-kernels lists more.
INSTALL = {
    "r": "in R: install.packages('IRkernel'); IRkernel::installspec()",
    "julia": 'in Julia: using Pkg; Pkg.add("IJulia")',
}


def execute(path: Path, copy: Path, kernel: str, timeout: int, parameters: Mapping[str, Any]) -> None:
    """Run a notebook in its folder on a fresh kernel and write the executed copy; raises what papermill and nbclient do."""
    import papermill

    with folders.work_folder() as sockets:
        papermill.execute_notebook(
            str(path.resolve()),
            str(copy.resolve()),
            parameters=dict(parameters),
            cwd=str(path.parent.resolve()),
            kernel_name=kernel,
            execution_timeout=timeout,
            progress_bar=False,
            log_output=False,
            extra_arguments=["--IPKernelApp.log_level=CRITICAL"] if kernel == "python3" else [],
            config=_connection(Path(sockets)),
        )


def name(notebook: Notebook) -> str:
    """Return the kernel that a notebook runs on: this environment's for Python, whatever the writer's was called.

    Raises UserError where the notebook names none, or one that is not installed.
    """
    from jupyter_client.kernelspec import KernelSpecManager

    language = content.script_language(notebook)
    if language == "python":
        return "python3"
    kernel = notebook["metadata"].get("kernelspec", {}).get("name")
    if not kernel:
        raise UserError("the notebook names no kernel; choose one in JupyterLab and save it")
    installed = KernelSpecManager().find_kernel_specs()
    if kernel not in installed:
        there = ", ".join(sorted(installed)) or "none"
        how = INSTALL.get(language, f"install a kernel for {language}")
        raise UserError(f"it needs the kernel {kernel} ({language}), which is not installed (there: {there}); {how}")
    return str(kernel)


def check_parameters(path: Path, notebook: Notebook, parameters: Mapping[str, Any]) -> None:
    """Raise UserError for parameters that the notebook does not have: papermill would set them and nothing would read them."""
    if not parameters:
        return
    if not any(PARAMETERS in cell["metadata"].get("tags", []) for cell in notebook["cells"]):
        raise UserError(f"no cell has the tag `{PARAMETERS}`; put the defaults into one cell and tag it so in JupyterLab")
    import papermill

    known = papermill.inspect_notebook(str(path))
    if unknown := sorted(set(parameters) - set(known)):
        raise UserError(f"no parameter {', '.join(unknown)}; its cell `{PARAMETERS}` has: {', '.join(known) or 'none'}")


def _connection(folder: Path) -> Config:
    """Return how to talk to the kernel: by sockets in a folder. A port is chosen seconds before the kernel takes it, and on a
    busy machine another process may have it by then; it serves where the folder's path is too long for a socket.
    """
    from traitlets.config import Config

    address = str(folder / "k")
    if len(os.fsencode(address)) > SOCKET_PATH:
        return Config()
    return Config({"KernelManager": {"transport": "ipc", "ip": address}})
