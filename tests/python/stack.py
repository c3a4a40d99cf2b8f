"""A control plane of the Python suites: `kybern up` on a free port, with a static token and its PKI on disk."""
import os
import pathlib
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request

TOKEN = "reference-token"
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BINARIES = pathlib.Path(os.environ.get("KYBERN_BIN_DIR", ROOT / "target/debug"))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Stack:
    """A control plane, by default without nodes, as the reference server was; it ends with the `with` block."""

    def __init__(self, store="embedded", binaries=BINARIES, nodes=0):
        self.store, self.binaries, self.nodes, self.processes = store, binaries, nodes, []

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="kybern-reference-")
        root = self.root = pathlib.Path(self.directory.name)
        port = free_port()
        self.url = f"https://127.0.0.1:{port}"
        tokens = root / "tokens.csv"
        tokens.write_text(f'{TOKEN},reference,reference,"system:masters"\n')
        arguments = [
            str(self.binaries / "kybern"), "up", f"--data-dir={root / 'data'}", f"--secure-port={port}",
            f"--nodes={self.nodes}", f"--token-auth-file={tokens}",
        ]
        if self.store == "etcd":
            arguments.append(f"--etcd-servers={self.etcd(root)}")
        self.log = root / "kybern.log"
        self.server = self.start(arguments, self.log)
        self.wait()
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.kill()
            process.wait()
        self.directory.cleanup()

    def start(self, arguments, log):
        with open(log, "wb") as out:
            process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        self.processes.append(process)
        return process

    def etcd(self, root):
        client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        self.start(
            [
                "etcd", "--name=kybern", f"--data-dir={root / 'etcd'}", "--log-level=error",
                f"--listen-client-urls={client}", f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=kybern={peer}",
            ],
            root / "etcd.log",
        )
        return client

    def wait(self):
        context = ssl._create_unverified_context()
        deadline = time.time() + 60
        while True:
            if self.server.poll() is not None:
                sys.exit(f"kybern ended with {self.server.returncode}:\n{self.log.read_text()}")
            try:
                request = urllib.request.Request(self.url + "/readyz", headers={"Authorization": "Bearer " + TOKEN})
                with urllib.request.urlopen(request, context=context, timeout=5):
                    return
            except OSError as error:
                if time.time() > deadline:
                    sys.exit(f"kybern is not ready: {error}\n{self.log.read_text()}")
                time.sleep(0.05)
