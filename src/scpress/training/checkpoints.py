"""Where an unfinished training is kept, so that the same command goes on from there."""

import fcntl
import hashlib
import json
import logging
import os
import platform
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from scpress.counts.digests import digest_of
from scpress.errors import InputError, InterruptedTrainingError, require_format

log = logging.getLogger("scpress")

FORMAT_VERSION = 1
# safetensors writes its metadata in random order: one key keeps the file reproducible.
_HEADER_KEY = "scpress-checkpoint"
_CURRENT, _PREVIOUS, _LOCK = "current.safetensors", "previous.safetensors", "lock"
_LAST = (signal.SIGTERM, signal.SIGINT)


class Checkpoint:
    """One training's folder, named by a digest of all that its result depends on.

    Within `claim` it holds the lock and catches the signals. SIGTERM and SIGINT save and end the
    training, SIGUSR1 saves and goes on. The last two states are kept; each is written under
    another name and then renamed, so a process that is killed leaves a whole one.

    Parameters
    ----------
    parent
        Folder of all checkpoints; this one's is `parent/digest`.
    minutes
        Time between two saves.
    """

    def __init__(self, parent: Path, *, minutes: float):
        self.parent, self.minutes = Path(parent), minutes
        self.identity, self.folder = "", self.parent
        self._signal: int | None = None
        self._is_whole = False

    # lock and signals -----------------------------------------------------------------------

    @contextmanager
    def claim(self, identity: Mapping[str, Any]) -> Iterator[None]:
        """Hold the folder of the training that `identity`, a JSON-able description, is of.

        Raises
        ------
        InputError
            Another process holds it, or the folder cannot be written.
        """
        self.identity = json.dumps(identity, sort_keys=True)
        digest = hashlib.sha256(self.identity.encode()).hexdigest()[:16]
        self.folder = self.parent / digest
        self._saved = time.monotonic()
        self._lock()
        handlers: dict[int, Any] = {}
        # Python runs handlers in the main thread only, and lets no other install them.
        if threading.current_thread() is threading.main_thread():
            for one in (*_LAST, signal.SIGUSR1):
                handlers[one] = signal.signal(one, self._note)
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            self._locked.close()
            if self._signal in _LAST:
                # It came after the last look.
                last, self._signal = self._signal, None
                assert last is not None
                signal.raise_signal(last)

    def _lock(self) -> None:
        while True:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._locked = (self.folder / _LOCK).open("a+")
            except FileNotFoundError:
                continue  # another training that ended has just removed the empty parent
            except OSError as error:
                raise InputError(
                    f"no checkpoints can be kept in '{self.folder}': {error.strerror}. "
                    "Name another folder with --checkpoints."
                ) from error
            self._hold()
            if self._is_in_place():
                return
            self._locked.close()  # its last holder removed it between opening and locking

    def _is_in_place(self) -> bool:
        try:
            found = (self.folder / _LOCK).stat()
        except FileNotFoundError:
            return False
        return found.st_ino == os.fstat(self._locked.fileno()).st_ino

    def _hold(self) -> None:
        try:
            fcntl.flock(self._locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._locked.seek(0)
            owner = self._locked.read().strip() or "another process"
            self._locked.close()
            raise InputError(
                f"{owner} is training this very model (it holds '{self.folder / _LOCK}'). "
                "Wait for it, or stop it."
            ) from None
        except OSError as error:
            log.warning("this file system has no locks (%s): start no second training", error)
        with suppress(OSError):  # a full disk is said when there is something to save
            self._locked.truncate(0)
            self._locked.write(f"process {os.getpid()} on {socket.gethostname()}")
            self._locked.flush()

    def _note(self, number: int, _: FrameType | None) -> None:
        # A second signal of those that end must not be lost to a SIGUSR1.
        if self._signal not in _LAST:
            self._signal = number

    @property
    def is_due(self) -> bool:
        """Whether to save now: a signal came, or the time has passed."""
        return self._signal is not None or time.monotonic() - self._saved >= 60 * self.minutes

    def end_if_asked(self, step: int) -> None:
        """After a save: end the training if that is what the signal was for.

        Raises
        ------
        InterruptedTrainingError
            SIGTERM or SIGINT was received.
        """
        number, self._signal = self._signal, None
        if number in _LAST:
            assert number is not None
            end = "saved" if self._is_whole else "could not be saved; what there is, is"
            raise InterruptedTrainingError(
                number,
                f"{signal.Signals(number).name} at step {step}: {end} in '{self.folder}'; "
                "the same command goes on from there.",
            )

    # states ---------------------------------------------------------------------------------

    def save(self, tensors: Mapping[str, torch.Tensor], state: Mapping[str, Any]) -> None:
        """Write a state; the one before it is kept.

        A disk that is full costs the state and not the training, unless a signal ends that.
        """
        # Copies: a safetensors file has no two tensors in one memory, as a GPU's step counts are.
        plain = {
            k: value.detach().to("cpu", copy=True).contiguous() for k, value in tensors.items()
        }
        header = {
            "format_version": FORMAT_VERSION,
            "identity": self.identity,
            "cpu": cpu_kind(),
            "digest": _digest(plain, self.identity, state),
            "state": state,
        }
        content = save(plain, metadata={_HEADER_KEY: json.dumps(header)})
        temporary = self.folder / f".{_CURRENT}.tmp"
        self._is_whole = False
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if (self.folder / _CURRENT).exists():
                os.replace(self.folder / _CURRENT, self.folder / _PREVIOUS)
            os.replace(temporary, self.folder / _CURRENT)
            self._is_whole = True
        except OSError as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            log.warning(
                "no checkpoint was written to '%s': %s. Training goes on.",
                self.folder,
                error.strerror,
            )
        self._saved = time.monotonic()

    def load(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """The newest state that can be gone on from, or None; why another cannot is said."""
        for name in (_CURRENT, _PREVIOUS):
            path = self.folder / name
            if not path.exists():
                continue
            try:
                return self._read(path)
            except InputError as error:
                log.warning("%s It is not used.", error)
            except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
                log.warning("checkpoint '%s' is damaged (%s) and is not used", path, error)
        return None

    def _read(self, path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        content = path.read_bytes()
        tensors = load(content)
        header = json.loads(_metadata(content)[_HEADER_KEY])
        # The state of another version is another method's: it would not end with the same bits.
        require_format(
            header["format_version"],
            oldest=FORMAT_VERSION,
            newest=FORMAT_VERSION,
            what=f"checkpoint '{path}'",
        )
        if header["digest"] != _digest(tensors, header["identity"], header["state"]):
            raise ValueError("its content does not match its digest")
        if header["identity"] != self.identity:
            other = _first_difference(json.loads(header["identity"]), json.loads(self.identity))
            raise InputError(f"checkpoint '{path}' is of another training: {other}.")
        if header["cpu"] != cpu_kind():
            log.warning(
                "the training began on another kind of CPU (%s): the result will be close to, but "
                "not the same bits as, one of a single kind",
                header["cpu"],
            )
        return tensors, header["state"]

    def remove(self) -> None:
        """Delete this training's folder, as its result is written, unless another has taken it."""
        if not self.identity:
            return  # no engine of ours trained
        try:
            self._lock()
        except InputError:
            return
        for name in (_CURRENT, _PREVIOUS, f".{_CURRENT}.tmp", _LOCK):
            (self.folder / name).unlink(missing_ok=True)
        with suppress(OSError):  # somebody else's files are in it
            self.folder.rmdir()
            self.parent.rmdir()
        self._locked.close()


class Checkpoints:
    """Those of several trainings of one result, which all stay until it is written.

    Parameters
    ----------
    parent, minutes
        As for `Checkpoint`.
    """

    def __init__(self, parent: Path, *, minutes: float):
        self.parent, self.minutes = parent, minutes
        self._made: list[Checkpoint] = []

    def next(self) -> Checkpoint:
        """The checkpoint of one more training."""
        self._made.append(Checkpoint(self.parent, minutes=self.minutes))
        return self._made[-1]

    def remove(self) -> None:
        """Delete all of them, as the result is written."""
        for one in self._made:
            one.remove()


def cpu_kind() -> str:
    """What decides which vector instructions are used, and so the bits."""
    import llvmlite.binding as llvm

    return f"{platform.machine()} {llvm.get_host_cpu_name()}"


def _digest(tensors: Mapping[str, torch.Tensor], identity: str, state: Mapping[str, Any]) -> str:
    names = sorted(tensors)
    words = np.array([identity, json.dumps(state, sort_keys=True), *names])
    return digest_of(words, *(tensors[name].numpy() for name in names))


def _first_difference(theirs: Any, ours: Any, name: str = "") -> str:
    """The first value in which two descriptions of a training differ, and both of them."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in sorted(theirs.keys() | ours.keys()):
            if theirs.get(key) != ours.get(key):
                return _first_difference(theirs.get(key), ours.get(key), f"{name}.{key}".strip("."))
    return f"{name} is {theirs!r} there and {ours!r} here"


def _metadata(content: bytes) -> dict[str, str]:
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size])["__metadata__"]
