"""Why a replica is gone, in one sentence for whoever has to mend it."""

from __future__ import annotations

import errno
import re
import signal

LONGEST_WORDS = 300

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")
_TRANSIENT = {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EINTR, errno.EIO, errno.ETXTBSY}


def last_words(output: str) -> str:
    """Return the last line of `output` with a letter or digit, else the last that is not blank, without control
    characters, at most 300 characters. Loggers and torchrun end what they tell of an error with a drawn line."""
    lines = [words for line in reversed(output.splitlines()) if (words := _ESCAPES.sub("", line).strip())]
    words = next((each for each in lines if any(map(str.isalnum, each))), lines[0] if lines else "")
    return words if len(words) <= LONGEST_WORDS else words[: LONGEST_WORDS - 1] + "…"


def exit_sentence(replica: str, code: int, output: str) -> str:
    """Tell how a process ended. `code` is negative for a signal, as in `subprocess`; `output` is the end of
    its output.
    """
    words = last_words(output)
    said = f"; its last words: {words}" if words else "; it printed nothing"
    return f"{replica} {ending(code)}{said}"


def ending(code: int) -> str:
    """Tell how a process ended, without its name: `code` is negative for a signal."""
    if code >= 0:
        return f"exited with code {code}"
    try:
        name = f"{signal.Signals(-code).name} (signal {-code})"
    except ValueError:
        name = f"signal {-code}"
    hint = ", as the kernel does when memory runs out" if -code == signal.SIGKILL else ""
    return f"was killed by {name}{hint}"


def exec_sentence(command: str, directory: str, error: tuple[int | None, str, str]) -> tuple[str, bool]:
    """Tell why `command` could not be executed, and whether trying again is in vain.

    `error` is the error's number (None when there is none), the file it names and its text.
    """
    number, culprit, text = error
    if not command:
        return "no command is given", True
    doomed = number not in _TRANSIENT
    if culprit == directory and number in {errno.ENOENT, errno.ENOTDIR, errno.EACCES}:
        return f"directory {directory!r} cannot be entered ({text}); create it or correct `directory`", doomed
    if number == errno.ENOENT:
        remedy = "install it, or give its full path; of a script, check the interpreter in its first line"
        return f"command {command!r} was not found: {remedy}", doomed
    if number == errno.EACCES:
        return f"command {command!r} may not be executed: give it the permission with chmod +x", doomed
    if number == errno.ENOEXEC:
        return f"command {command!r} is no program: begin a script with #! and its interpreter", doomed
    return f"command {command!r} could not be started: {text}", doomed
