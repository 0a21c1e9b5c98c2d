from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from activator.scalers.keeper.family import descendants, group_of, parent_of, reap, send_signal

NOBODY = 2**22 + 1  # beyond the kernel's largest process id


def test_descendants_are_children_and_theirs() -> None:
    script = "sleep 1000 & echo $!; wait"
    with subprocess.Popen(["/bin/sh", "-c", script], stdout=subprocess.PIPE, process_group=0) as shell:
        assert shell.stdout
        grandchild = int(shell.stdout.readline())
        assert set(descendants(os.getpid())) >= {shell.pid, grandchild}
        assert not {shell.pid, grandchild} & set(descendants(os.getpid(), keep={shell.pid}))
        assert descendants(shell.pid) == [grandchild]
        os.killpg(shell.pid, signal.SIGKILL)


def test_a_name_with_spaces_and_brackets_does_not_hide_a_parent(tmp_path: Path) -> None:
    program = tmp_path / "a) R 1 (b"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "1000"]) as process:
        assert parent_of(Path("/proc", str(process.pid))) == os.getpid()
        process.kill()


def test_a_process_that_has_gone_is_no_error() -> None:
    assert parent_of(Path("/proc", str(NOBODY))) is None
    assert group_of(NOBODY) == 0
    send_signal(NOBODY, signal.SIGKILL)
    reap(NOBODY)


def test_end_family_leaves_no_descendant_but_those_to_keep() -> None:
    script = """
import os, subprocess, sys
sys.path.append(sys.argv[1])
from activator.scalers.keeper.family import adopt_orphans, descendants, end_family
adopt_orphans()
kept = subprocess.Popen(["sleep", "1000"])
subprocess.Popen(["/bin/sh", "-c", "(setsid sleep 1000 &) ; exec sleep 1000"])
while len(descendants(os.getpid())) < 3:
    pass
end_family(keep={kept.pid})
print(descendants(os.getpid()) == [kept.pid])
end_family()
print(descendants(os.getpid()))
"""
    root = str(Path(__file__).parents[4])
    answer = subprocess.run(
        [sys.executable, "-c", script, root], capture_output=True, text=True, timeout=20, check=True
    )
    assert answer.stdout == "True\n[]\n"
