"""Starts all of it on loopback: Synapse, Countersign and the website.

    python start.py [--countersign countersign] [--free-ports] [--folder new] [--id user-123]
                    [--name "Ana Torres"]

Prints the page to open when everything answers. Ctrl-C ends it; keys, accounts and messages
are in a folder that is then gone, unless one is named. Needs what is in requirements.txt.
"""

import argparse
import base64
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import yaml

import website

HERE = Path(__file__).parent
PATIENCE = 120  # seconds for Synapse's first start on a busy machine; two or three are usual


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--countersign", default="countersign", help="the program")
    arguments.add_argument("--free-ports", action="store_true", help="any, not 8000, 8008, 8080")
    arguments.add_argument("--folder", type=Path, help="an empty one, kept; not one that goes")
    arguments.add_argument("--id", default="user-123", help="who is signed in to the website")
    arguments.add_argument("--name", default="Ana Torres")
    given = arguments.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    running = []
    with tempfile.TemporaryDirectory(prefix="countersign-synapse-") as folder:
        try:
            run(given, given.folder or Path(folder), running)
        except KeyboardInterrupt:
            pass
        finally:
            for process in reversed(running):
                process.terminate()
            for process in running:
                process.wait()


def run(given, folder: Path, running: list):
    """Starts the three, the last in here; returns when somebody ends it."""
    shown, chat, backend = free_ports() if given.free_ports else (8000, 8080, 8008)
    visitor = {"external_id": given.id, "name": given.name}
    zendesk_secret = prepare(folder, chat, backend)

    synapse = [sys.executable, "-m", "synapse.app.homeserver", "-c", "homeserver.yaml"]
    with open(folder / "synapse.log", "wb") as log:
        running.append(subprocess.Popen(synapse, cwd=folder, stdout=log, stderr=log))
    gateway = [given.countersign, "run", "--config", folder / "countersign.yaml"]
    running.append(subprocess.Popen(gateway))
    chat, backend = f"http://127.0.0.1:{chat}", f"http://127.0.0.1:{backend}"
    try:
        answers(f"{backend}/health", running)
        answers(f"{chat}/_matrix/client/versions", running)
    except RuntimeError as error:
        sys.exit(f"{error}\n{(folder / 'synapse.log').read_text()[-4000:]}")

    page = website.server(shown, visitor, zendesk_secret, chat)
    threading.Thread(target=page.serve_forever, daemon=True).start()
    print(f"Open this page  http://127.0.0.1:{shown}/", flush=True)
    print(f"Countersign     {chat}", flush=True)
    print(f"Synapse         {backend}", flush=True)
    print("Ctrl-C ends it.", flush=True)
    signal.pause()


def prepare(folder: Path, chat: int, backend: int) -> bytes:
    """Writes fresh keys and both configurations; returns the secret that the website signs with."""
    keys = folder / "keys"
    keys.mkdir()
    for name in ["zendesk.secret", "synapse.secret"]:
        (keys / name).write_text(secrets.token_hex(32))
        (keys / name).chmod(0o600)

    synapse = yaml.safe_load((HERE / "homeserver.yaml").read_text())
    synapse["listeners"][0]["port"] = backend
    synapse["jwt_config"]["secret"] = (keys / "synapse.secret").read_text()
    (folder / "homeserver.yaml").write_text(yaml.safe_dump(synapse))
    # As `--generate-keys` writes it, which takes Synapse as long as its start.
    seed = base64.b64encode(secrets.token_bytes(32)).decode().rstrip("=")
    (folder / synapse["signing_key_path"]).write_text(f"ed25519 a_1 {seed}\n")

    gateway = yaml.safe_load((HERE / "countersign.yaml").read_text())
    gateway["listeners"][0]["address"] = f"127.0.0.1:{chat}"
    gateway["sites"]["chat"]["upstream"] = f"http://127.0.0.1:{backend}"
    gateway["admin"] = "off"
    gateway["drain"] = {"delay": "0s", "spread": "0s", "timeout": "1s"}
    (folder / "countersign.yaml").write_text(yaml.safe_dump(gateway))
    return (keys / "zendesk.secret").read_bytes()


def free_ports() -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def answers(url: str, running: list):
    """Waits until `url` answers 200, while everything that was started still runs."""
    start = time.monotonic()
    while time.monotonic() - start < PATIENCE:
        for process in running:
            if process.poll() is not None:
                raise RuntimeError(f"{process.args[0]} ended ({process.returncode})")
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise RuntimeError(f"{url} does not answer")


if __name__ == "__main__":
    main()
