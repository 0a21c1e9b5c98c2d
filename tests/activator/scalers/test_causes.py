from __future__ import annotations

import errno

import pytest

from activator.scalers.causes import exec_sentence, exit_sentence, last_words


def test_the_last_words_are_the_last_line_that_is_not_blank() -> None:
    assert last_words("Traceback\n  File x\nValueError: no\n\n  \n") == "ValueError: no"


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("RuntimeError: CUDA\n======\n", "RuntimeError: CUDA"),
        ("keine Gewichte: ä\n\x1b[0m\n--\n", "keine Gewichte: ä"),
        ("--\n==\n", "=="),
    ],
)
def test_a_line_that_is_only_drawn_is_not_the_last_words_unless_there_are_no_others(output: str, words: str) -> None:
    assert last_words(output) == words


def test_colours_and_control_characters_are_left_out() -> None:
    assert last_words("\x1b[31mCUDA\x1b[0m error\x07\r\n") == "CUDA error"


def test_long_last_words_are_cut() -> None:
    words = last_words("x" * 1000)
    assert len(words) == 300
    assert words.endswith("…")


def test_no_output_is_no_words() -> None:
    assert last_words(" \n") == ""


def test_an_exit_is_told_with_its_code() -> None:
    assert exit_sentence("m-1", 3, "bad\n") == "m-1 exited with code 3; its last words: bad"
    assert exit_sentence("m-1", 0, "") == "m-1 exited with code 0; it printed nothing"


def test_a_kill_is_told_with_its_usual_cause() -> None:
    assert exit_sentence("m-1", -9, "").startswith("m-1 was killed by SIGKILL (signal 9), as the kernel does")


def test_an_unnamed_signal_is_told_by_its_number() -> None:
    assert "killed by signal 40" in exit_sentence("m-1", -40, "")


@pytest.mark.parametrize(
    ("error", "words", "doomed"),
    [
        ((errno.ENOENT, "model", "No such file"), "command 'model' was not found", True),
        ((errno.ENOENT, "/d", "No such file"), "directory '/d' cannot be entered", True),
        ((errno.EACCES, "model", "Permission denied"), "chmod +x", True),
        ((errno.ENOEXEC, "model", "Exec format error"), "begin a script with #!", True),
        ((errno.E2BIG, "model", "Argument list too long"), "Argument list too long", True),
        ((errno.EAGAIN, "", "try again"), "try again", False),
        ((errno.ENOMEM, "", "no memory"), "no memory", False),
        ((None, "", "embedded null byte"), "embedded null byte", True),
    ],
)
def test_an_error_of_exec_says_what_to_do(error: tuple[int | None, str, str], words: str, doomed: bool) -> None:
    sentence, hopeless = exec_sentence("model", "/d", error)
    assert words in sentence
    assert hopeless is doomed


def test_no_command_is_said_to_be_none() -> None:
    assert exec_sentence("", ".", (None, "", "")) == ("no command is given", True)
