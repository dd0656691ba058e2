"""The Python code of streamgauge.proto. Run this file to write it anew."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

from grpc_tools import protoc
from streamgauge.models.errors import InputError

FOLDER = Path(__file__).parent
PACKAGE = "streamgauge/jobs/service/rpc"  # as which the code imports itself
PROTO = "streamgauge.proto"


def stubs() -> dict[str, str]:
    """The text of each file that follows from the .proto, by name of the file.

    Raises
    ------
    InputError
        The .proto has a mistake; the compiler has said on standard error which one.
    """
    with TemporaryDirectory() as made:
        paths = [f"-I{PACKAGE}={FOLDER}", f"-I{files('grpc_tools') / '_proto'}"]
        wanted = [f"--{kind}_out={made}" for kind in ("python", "pyi", "grpc_python")]
        if protoc.main(["protoc", *paths, *wanted, f"{PACKAGE}/{PROTO}"]):
            raise InputError(f"{PROTO} cannot be compiled; the lines above say why")
        return {file.name: file.read_text(encoding="utf-8") for file in (Path(made) / PACKAGE).iterdir()}


if __name__ == "__main__":
    for name, text in stubs().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
