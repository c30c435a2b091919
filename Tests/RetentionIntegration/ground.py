"""What a proof stands on: a Hub on the loopback interface, disks, caches, the program under test, and a list of what went
wrong."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterable

from disks import Disk, NoDisk, tool
from hub_stand_in import Hub, Servers

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parent.parent
OWNER = 47110
"""A uid that belongs to nobody."""

ORG = f"acme{os.getpid()}"
"""The organisation of a proof's repos. No other process on this machine names it, whatever runs beside this."""

OVERLAY = "overlay"


class Skipped(Exception):
    """This machine lacks what the proof needs."""


@dataclass
class Run:
    """One run of the program."""

    arguments: list[str]
    status: int
    output: str
    errors: str
    seconds: float

    @property
    def json(self) -> dict[str, Any]:
        try:
            value: dict[str, Any] = json.loads(self.output)
            return value
        except ValueError as error:
            raise RuntimeError(f"no JSON in {self}") from error

    def __str__(self) -> str:
        words = " ".join(self.arguments)
        return f"`{words}` = {self.status}\n  stdout: {short(self.output)}\n  stderr: {short(self.errors)}"


def short(text: str, limit: int = 3000) -> str:
    text = text.strip()
    return text if len(text) <= limit else text[: limit // 2] + " … " + text[-limit // 2 :]


class Ground:
    """Everything of one proof; taken down at its end."""

    def __init__(self, name: str, program: Path) -> None:
        self.name = name
        self.is_root = os.geteuid() == 0
        self.failures: list[str] = []
        self.notes: list[str] = []
        self.client = ""
        self._given_program = program
        self._disks: list[Disk] = []
        self._processes: list[subprocess.Popen[Any]] = []
        self._binds: list[Path] = []
        self._place: Path | None = None

    def __enter__(self) -> Ground:
        # Root's may be used by another uid too, whatever the modes above this package are.
        place = "/var/tmp" if os.access("/var/tmp", os.W_OK) else None
        self.base = Path(tempfile.mkdtemp(prefix="hfjanitor-proof-", dir=place)).resolve()
        self.base.chmod(0o755)
        self.program = self._given_program
        self.python = Path(sys.executable)
        try:
            if self.is_root:
                self.program = self._seen_at("program", self._given_program.parent) / self._given_program.name
                environments = self._seen_at("python", self.python.parent.parent.parent)
                self.python = environments / self.python.parent.parent.name / "bin" / "python"
            self.scripts = self.base / "scripts"
            self.scripts.mkdir()
            for script in (*HERE.parent.glob("*Integration/script_*.py"), HERE.parent / "Integration" / "client_call.py"):
                shutil.copy(script, self.scripts / script.name)
            self.servers = Servers(Hub(resolve_cache=True))
            self.servers.__enter__()
            home = self.home(None)
            os.environ |= {
                "HOME": str(home),
                "HF_HOME": str(home / "huggingface"),
                "HF_ENDPOINT": self.servers.url,
                "HF_HUB_DISABLE_XET": "1",
            }
            import huggingface_hub  # its settings are those of now

            self.client = huggingface_hub.__version__
            self.is_newest = not self.client.startswith("0.")
        except NoDisk as error:
            self.__exit__()
            raise Skipped(str(error)) from error
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            if process.poll() is None:
                end(process)
        if hasattr(self, "servers"):
            self.servers.__exit__()
        for disk in self._disks:
            disk.remove()
        for bind in reversed(self._binds):
            tool(["umount", "--lazy", str(bind)])
        shutil.rmtree(self.base, ignore_errors=True)

    def _seen_at(self, name: str, folder: Path) -> Path:
        bind = self.base / name
        bind.mkdir()
        tool(["mount", "--bind", str(folder), str(bind)])
        self._binds.append(bind)
        return bind

    # Findings.

    def check(self, holds: Any, message: str | Callable[[], str]) -> bool:
        if not holds:
            self.failures.append(message if isinstance(message, str) else message())
        return bool(holds)

    def equal(self, actual: Any, expected: Any, what: str) -> bool:
        return self.check(actual == expected, f"{what}: {actual!r} instead of {expected!r}")

    def note(self, text: str) -> None:
        self.notes.append(text)

    # Places.

    @property
    def hub(self) -> Hub:
        return self.servers.hub

    def needs_root(self, why: str) -> None:
        if not self.is_root:
            raise Skipped(f"needs root: {why}")

    def disk(self, kind: str = "ext4", options: str = "relatime", mib: int = 340, block: int | None = None) -> Disk:
        self.needs_root("mounts a filesystem of its own")
        try:
            disk = Disk(self.base, f"disk{len(self._disks)}", kind, options, mib, block)
        except NoDisk as error:
            raise Skipped(str(error)) from error
        self._disks.append(disk)
        return disk

    def place(self) -> Path:
        """A folder where leases tell whether a file is in use: on a disk of its own for root, else under /var/tmp."""
        if self._place is None:
            if self.is_root:
                self._place = self.disk(mib=1500).path
            else:
                if filesystem_of(self.base) == OVERLAY:
                    raise Skipped(f"{self.base} is on overlayfs, where nothing can tell what is in use, and this is not root")
                self._place = self.base
        return self._place

    def home(self, uid: int | None) -> Path:
        home = self.base / f"home-{uid or 'own'}"
        if not home.exists():
            home.mkdir()
            if uid is not None:
                os.chown(home, uid, uid)
        return home

    def other_client(self, environment: str) -> Path:
        """The interpreter of another environment."""
        python = self.python.parent.parent.parent / environment / "bin" / "python"
        if not os.access(python, os.X_OK):
            raise Skipped(f"no environment {environment}; make it with Tests/Integration/environments")
        return python

    # Processes.

    def environment(self, uid: int | None = None, more: dict[str, str] | None = None) -> dict[str, str]:
        home = str(self.home(uid))
        return {
            **{"PATH": "/usr/sbin:/sbin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "NO_COLOR": "1", "HOME": home},
            **{"XDG_STATE_HOME": f"{home}/state", "XDG_CONFIG_HOME": f"{home}/config", "XDG_RUNTIME_DIR": f"{home}/run"},
            **{"HF_HOME": f"{home}/huggingface", "HF_ENDPOINT": self.servers.url, "HF_HUB_DISABLE_XET": "1"},
            **{"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_VERBOSITY": "error"},
            **{"HF_HUB_DISABLE_UPDATE_CHECK": "1", "PYTHONDONTWRITEBYTECODE": "1"},
            **(more or {}),
        }

    def command(self, arguments: Iterable[Any], uid: int | None = None) -> list[str]:
        words = [str(argument) for argument in arguments]
        if uid is None:
            return words
        prefix = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
        if words[0] == str(self.program):
            return [*prefix, "--inh-caps=-all", "--bounding-set=-all", *words]
        # An interpreter may be in a home that only its owner may enter; nothing under test is read with this.
        reading = "-all,+dac_read_search"
        return [*prefix, f"--inh-caps={reading}", f"--ambient-caps={reading}", *words]

    def start(
        self, arguments: Iterable[Any], uid: int | None = None, more: dict[str, str] | None = None, **how: Any
    ) -> subprocess.Popen[Any]:
        """Starts a command in a session of its own; what still runs at the end of the proof is ended."""
        environment = self.environment(uid, more)
        process = subprocess.Popen(
            self.command(arguments, uid), env=environment, cwd="/", start_new_session=True,
            **({"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL} | how),
        )  # fmt: skip
        self._processes.append(process)
        return process

    def script(
        self, name: str, *arguments: Any, uid: int | None = None, python: Path | None = None, **how: Any
    ) -> subprocess.Popen[Any]:
        """Starts one of the scripts beside this file; returns once it says it is ready."""
        process = self.start(
            [python or self.python, self.scripts / f"script_{name}.py", *arguments], uid, stdout=subprocess.PIPE, text=True, **how
        )
        self.await_line(process)
        return process

    @staticmethod
    def await_line(process: subprocess.Popen[Any]) -> str:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"a script ended early: {process.args}")
        return str(line).strip()

    def janitor(
        self, *arguments: Any, uid: int | None = None, more: dict[str, str] | None = None, timeout: float = 150,
        interrupt: float | None = None,
    ) -> Run:  # fmt: skip
        """Runs the program to its end; `interrupt` sends it SIGINT after so many seconds, which ends it in order."""
        words = [str(argument) for argument in arguments]
        started = time.monotonic()
        process = self.start(
            [self.program, *words], uid, more, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
        )
        try:
            if interrupt is not None:
                try:
                    process.wait(interrupt)  # what it prints fits into the pipes
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            stack = kernel_state(process.pid)
            end(process)
            output, errors = process.communicate()
            errors += f"\n(killed after {timeout} s; {stack})"
            self.failures.append(f"hangs: {Run(words, -9, output, errors, timeout)}")
        self._processes.remove(process)
        run = Run(words, process.returncode, output, errors, time.monotonic() - started)
        self.check(run.status >= 0 or "(killed after" in errors, lambda: f"ended by a signal: {run}")
        return run

    def policy(self, text: str, name: str = "policy.yaml", uid: int | None = None) -> Path:
        """A policy file as its owner would have it."""
        folder = self.base / f"policies-{uid or 'own'}"
        folder.mkdir(exist_ok=True)
        path = folder / name
        path.write_text(text)
        path.chmod(0o600)
        if uid is not None:
            os.chown(folder, uid, uid)
            os.chown(path, uid, uid)
        return path


def end(process: subprocess.Popen[Any]) -> None:
    """Ends a process and what it started, by its own session."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def kernel_state(pid: int) -> str:
    try:
        return f"wchan {Path(f'/proc/{pid}/wchan').read_text()}, syscall {Path(f'/proc/{pid}/syscall').read_text().strip()}"
    except OSError as error:
        return str(error)


def filesystem_of(path: Path) -> str:
    """The type of the filesystem that holds a path, from mountinfo."""
    best = ("", "")
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, rest = line.partition(" - ")
        place = mount.split()[4]
        if path.is_relative_to(place) and len(place) >= len(best[0]):
            best = (place, rest.split()[0])
    return best[1]
