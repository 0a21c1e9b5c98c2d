from __future__ import annotations

import asyncio
import gzip
import json
import os
import subprocess
import sys
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from typer.testing import CliRunner

from activator.admin import Admin
from activator.cli import app
from activator.client import quoted
from activator.scalers.memory import Start
from tests.activator.parts import CANARY, all_parts
from tests.activator.settings.files import small, written
from tests.certificates import pair

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from typer.testing import Result

    from activator.catalog.model import Canary

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "inferenceservices"
COUNTS = "(1 application, 2 services, 2 revisions)"
GOLDEN = ROOT / "tests" / "data" / "kpa-decisions.jsonl.gz"
NOBODY = ("--admin", "127.0.0.1:1")


def run(*arguments: str, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(app, arguments, input=stdin)


@asynccontextmanager
async def an_edge(*canaries: Canary) -> AsyncIterator[str]:
    """Yield the admin address of an edge with a model that is waking for one held request."""
    async with all_parts() as parts:
        parts.configure(canaries=canaries)
        parts.scaler.script("m-1", [Start(delay=60)])
        await parts.ask()
        parts.ledger.add(("m", "m-1"), (2, 1), 60.0, parts.wall() + 60)
        admin = Admin(parts.insight, parts.wall, parts.kept)
        yield f"127.0.0.1:{await admin.open('127.0.0.1', 0)}"
        await admin.close()


async def asked(*arguments: str, canaries: tuple[Canary, ...] = ()) -> str:
    """Return what a command prints of such an edge."""
    async with an_edge(*canaries) as address:
        result = await asyncio.to_thread(run, *arguments, "--admin", address)
    assert result.exit_code == 0, result.output
    return result.stdout


class TestCheck:
    def test_a_good_file_is_called_good(self, tmp_path: Path) -> None:
        file = tmp_path / "good.yaml"
        file.write_text(written(small()))
        result = run("check", str(file))
        assert (result.exit_code, result.stdout) == (0, f"{file}: good (1 service, 1 revision)\n")

    def test_every_problem_is_told_and_the_exit_code_is_2(self, tmp_path: Path) -> None:
        file = tmp_path / "bad.yaml"
        file.write_text(written(small(autoscaling={"max-scale-up-rate": 0.5, "min-scal": 1}, listen="nowhere")))
        result = run("check", str(file))
        assert result.exit_code == 2
        assert result.stdout == ""
        lines = result.stderr.splitlines()
        assert len(lines) == 3
        assert all(line.startswith(f"{file}:") for line in lines)
        for word in ("max-scale-up-rate", "min-scal", "listen"):
            assert word in result.stderr

    def test_a_file_that_does_not_exist_is_a_problem_too(self, tmp_path: Path) -> None:
        result = run("check", str(tmp_path / "none.yaml"))
        assert result.exit_code == 2
        assert "none.yaml" in result.stderr

    @pytest.mark.parametrize("text", [written(small()), (EXAMPLES / "basnet.yaml").read_text()])
    def test_what_comes_by_a_pipe_is_checked_too(self, text: str) -> None:
        result = run("check", "-", stdin=text)
        assert (result.exit_code, result.stdout.startswith("-: good (1 ")) == (0, True)
        reader, writer = os.pipe()
        with os.fdopen(writer, "w") as file:
            file.write(text)
        result = run("check", f"/dev/fd/{reader}")
        os.close(reader)
        assert (result.exit_code, result.stdout.startswith(f"/dev/fd/{reader}: good (1 ")) == (0, True)

    def test_paths_in_what_comes_by_a_pipe_are_relative_to_the_working_directory(self) -> None:
        text = written(small(tls=[{"certificate": "none.pem", "key": "none.key"}]))
        assert f"{Path.cwd() / 'none.pem'}" in run("check", "-", stdin=text).stderr
        reader, writer = os.pipe()
        with os.fdopen(writer, "w") as file:
            file.write(text)
        rendered = run("render", str(EXAMPLES / "basnet.yaml"), "--config", f"/dev/fd/{reader}")
        os.close(reader)
        assert f"{Path.cwd() / 'none.pem'}" in rendered.stderr

    def test_a_command_that_will_not_work_is_a_warning(self, tmp_path: Path) -> None:
        file = tmp_path / "typo.yaml"
        file.write_text(written(small()).replace("- model", "- no-such-model"))
        result = run("check", str(file))
        assert (result.exit_code, result.stdout) == (0, f"{file}: good (1 service, 1 revision)\n")
        assert result.stderr == f"{file}: warning: the command of m-1 names 'no-such-model', which is not found here\n"

    def test_an_expired_certificate_is_a_warning(self, tmp_path: Path) -> None:
        file = tmp_path / "tls.yaml"
        certificate, key = map(str, pair("expired"))
        tls = [{"certificate": certificate, "key": key, "hosts": ["m.localhost"]}]
        file.write_text(written(small(tls=tls, scaler="memory")))
        result = run("check", str(file))
        assert (result.exit_code, result.stdout) == (0, f"{file}: good (1 service, 1 revision)\n")
        assert result.stderr == f"{file}: warning: the certificate {certificate} has expired\n"

    @pytest.mark.parametrize("name", ["local.yaml", "demo.yaml", "models.yaml"])
    def test_the_shipped_files_are_good(self, name: str) -> None:
        assert run("check", str(ROOT / "config" / name)).exit_code == 0


LABELLED = """apiVersion: apps/v1
kind: Deployment
metadata:
  name: m-1
  labels: {gpu-activator/service: m}
  annotations:
    gpu-activator/hosts: m.example
"""


class TestManifests:
    def test_a_manifest_is_checked_and_what_will_hurt_is_told(self) -> None:
        result = run("check", str(EXAMPLES / "gpt2.yaml"))
        assert (result.exit_code, result.stdout) == (0, f"{EXAMPLES / 'gpt2.yaml'}: good {COUNTS}\n")
        assert "gpt2.yaml:13: spec.default.predictor (gpt2): warning: may sleep, and fetches 's3://" in result.stderr

    def test_a_deployment_with_our_label_is_checked_as_an_edge_reads_it(self, tmp_path: Path) -> None:
        file = tmp_path / "model.yaml"
        file.write_text(LABELLED)
        assert run("check", str(file)).stdout == f"{file}: good (1 Deployment)\n"
        rendered = run("render", str(file))
        assert (rendered.exit_code, rendered.stdout) == (0, "")
        assert "1 Deployment left out, since the label makes models of them already" in rendered.stderr
        file.write_text(
            LABELLED.replace("service: m", "service: M").replace("hosts", "hots") + "    gpu-activator/tag: 1\n"
        )
        result = run("check", str(file))
        assert (result.exit_code, result.stdout) == (2, "")
        for told in (
            f"{file}:5: metadata.labels.gpu-activator/service (m-1): is no valid name (got 'M';",
            f"{file}:7: metadata.annotations.gpu-activator/hots (m-1): unknown annotation (did you mean",
            f"{file}:8: metadata.annotations.gpu-activator/tag (m-1): must be in quotes: annotations are text (got 1)",
        ):
            assert told in result.stderr

    @pytest.mark.parametrize("value", ["[a]", "3", "a", "{a: [1]}", "{a: {b: c}}", "{gpu-activator/hosts: [a]}"])
    def test_annotations_that_no_api_server_takes_are_told(self, tmp_path: Path, value: str) -> None:
        file = tmp_path / "model.yaml"
        file.write_text(LABELLED.partition("  annotations")[0] + f"  annotations: {value}\n")
        result = run("check", str(file))
        assert (result.exit_code, result.stdout) == (2, "")
        assert "metadata.annotations" in result.stderr

    def test_a_bad_manifest_is_told_and_the_exit_code_is_2(self, tmp_path: Path) -> None:
        file = tmp_path / "bad.yaml"
        file.write_text((EXAMPLES / "sentiment.yaml").read_text().replace("minReplicas: 0", "minReplicas: -1"))
        for command in ("check", "render"):
            result = run(command, str(file))
            assert (result.exit_code, result.stdout) == (2, "")
            assert f"{file}:11: spec.predictor.minReplicas (sentiment): is too small" in result.stderr

    def test_rendering_prints_objects_and_warnings_beside_them(self, tmp_path: Path) -> None:
        file = tmp_path / "m.yaml"
        file.write_text((EXAMPLES / "sentiment.yaml").read_text() + "    unknown: 1\n")
        result = run("render", str(file), "--namespace", "models")
        assert result.exit_code == 0
        kinds = [each["kind"] for each in yaml.safe_load_all(result.stdout)]
        assert kinds == ["Deployment", "Service", "Service", "Service"]
        assert "namespace: models" in result.stdout
        assert "spec.predictor.affinity.unknown" not in result.stderr

    def test_a_namespace_that_can_only_be_guessed_is_told(self) -> None:
        assert "names no namespace: its hosts are those of default" in run("render", str(EXAMPLES / "gpt2.yaml")).stderr
        assert run("render", str(EXAMPLES / "basnet.yaml"), "-n", "models").stderr == ""

    def test_what_no_namespace_can_be_called_is_refused(self) -> None:
        result = run("render", str(EXAMPLES / "basnet.yaml"), "-n", "My Models")
        assert (result.exit_code, result.stdout) == (2, "")
        assert "--namespace: must be" in result.stderr or "--namespace: is" in result.stderr

    def test_standard_input_that_is_no_text_is_refused(self) -> None:
        result = run("render", "-", stdin=(EXAMPLES / "basnet.yaml").read_bytes() + b"# caf\xe9\n")
        assert (result.exit_code, result.stdout) == (2, "")
        assert "-: is not UTF-8 text (byte" in result.stderr

    def test_several_files_and_standard_input_are_rendered(self) -> None:
        names = [str(EXAMPLES / f"{name}.yaml") for name in ("basnet", "sentiment")]
        both = run("render", *names)
        piped = run("render", "-", stdin="---\n".join(Path(name).read_text() for name in names))
        assert (both.exit_code, both.stdout) == (0, piped.stdout)

    def test_a_previous_file_is_kept_beside(self, tmp_path: Path) -> None:
        before = tmp_path / "before.yaml"
        before.write_text((EXAMPLES / "sentiment.yaml").read_text().replace("sentiment:4", "sentiment:3"))
        result = run("render", str(EXAMPLES / "sentiment.yaml"), "--previous", str(before))
        assert (result.stdout.count("kind: Deployment"), result.stdout.count("gpu-activator/tag: prev")) == (2, 1)

    def test_a_local_configuration_is_checked_by_the_same_command(self, tmp_path: Path) -> None:
        result = run("render", "--local", str(EXAMPLES / "classifier.yaml"), "--command", "classifier=python model.py")
        file = tmp_path / "local.yaml"
        file.write_text(result.stdout)
        assert run("check", str(file)).stdout == f"{file}: good (2 services, 2 revisions)\n"

    def test_a_configuration_that_comes_by_a_pipe_is_read_once(self) -> None:
        reader, writer = os.pipe()
        with os.fdopen(writer, "w") as file:
            file.write(written(small(**{"drain-timeout": "7s"})))
        options = ("--command", "basnet=python model.py", "--config", f"/dev/fd/{reader}")
        result = run("render", "--local", str(EXAMPLES / "basnet.yaml"), *options)
        os.close(reader)
        assert result.exit_code == 0
        assert 'drain-timeout: "7s"' in result.stdout

    def test_a_missing_command_is_told(self) -> None:
        result = run("render", "--local", str(EXAMPLES / "basnet.yaml"))
        assert (result.exit_code, result.stdout) == (2, "")
        assert "--command 'basnet=python my_model.py'" in result.stderr

    def test_the_settings_are_those_of_a_configuration_file(self, tmp_path: Path) -> None:
        config = tmp_path / "edge.yaml"
        config.write_text(written(small(manifests={"storage-initializer": "mine:1", "domain": "models.example"})))
        result = run("render", str(EXAMPLES / "gpt2.yaml"), "--config", str(config))
        assert "image: mine:1" in result.stdout
        assert "gpt2.default.models.example" in result.stdout


class TestSchema:
    def test_it_is_json_schema(self) -> None:
        data = json.loads(run("schema").stdout)
        assert data["$schema"].startswith("https://json-schema.org/")
        assert "services" in data["properties"]


class TestDecide:
    def test_recorded_decisions_come_out_equal(self) -> None:
        with gzip.open(GOLDEN, "rt") as file:
            recorded = [json.loads(line) for line in islice(file, 5)]
        bare = [trace | {"steps": [step[:2] for step in trace["steps"]]} for trace in recorded]
        result = run("decide", stdin="".join(f"{json.dumps(trace)}\n" for trace in bare))
        assert result.exit_code == 0
        made = [json.loads(line) for line in result.stdout.splitlines()]
        assert made == [{"id": trace["id"], "steps": trace["steps"]} for trace in recorded]

    def test_nothing_in_is_nothing_out(self) -> None:
        result = run("decide", stdin="\n\n")
        assert (result.exit_code, result.stdout) == (0, "")

    @pytest.mark.parametrize(
        "line", ["{", "[]", "null", '{"id": 1}', "\udcff", "[" * 100_000, '{"id": 1, "spec": {"tick_s": NaN}}']
    )
    def test_a_bad_line_is_named_by_its_number(self, line: str) -> None:
        with gzip.open(GOLDEN, "rt") as file:
            good = file.readline()
        result = run("decide", stdin=f"{good}\n{line}\n{good}".encode(errors="surrogateescape"))
        assert result.exit_code == 2
        assert len(result.stdout.splitlines()) == 1
        assert result.stderr.startswith("activator: line 3: ")
        assert len(result.stderr.splitlines()) == 1


class TestAsking:
    async def test_status_shows_all_services(self) -> None:
        lines = (await asked("status")).splitlines()
        assert lines[1].split() == ["m", "m-1", "90", "%", "(stable)", "starting", "0/1", "1", "1", "-"]
        assert [line.split()[1] for line in lines[2:]] == ["m-2", "n-1"]

    async def test_status_in_json_is_what_the_admin_listener_says(self) -> None:
        data = json.loads(await asked("status", "--json"))
        assert [service["name"] for service in data["services"]] == ["m", "n"]

    async def test_explain_tells_why(self) -> None:
        assert await asked("explain", "m") == (
            "2026-01-02 (UTC)\n"
            "00:00:00  m-1  -> 1 (at once)  Wants 1 because 1 request on average over the stable window asks for 1 "
            "at a target of 1 per replica.\n"
        )

    async def test_explain_of_an_unknown_service_names_the_known(self) -> None:
        async with an_edge() as address:
            result = await asyncio.to_thread(run, "explain", "nobody", "--admin", address)
        assert result.exit_code == 1
        assert result.stderr == "activator: There is no service 'nobody'. Known: m, n.\n"

    async def test_usage_is_a_table_or_csv_or_json(self) -> None:
        assert (await asked("usage")).splitlines()[1].split() == ["2026-01-02", "m", "m-1", "2.00", "1.00"]
        assert (await asked("usage", "--csv")).splitlines()[1] == "2026-01-02,m,m-1,2.0,1.0"
        assert json.loads(await asked("usage", "--json"))["usage"][0]["replica_minutes"] == 2.0

    @pytest.mark.parametrize("command", [("status",), ("explain", "m"), ("usage",), ("usage", "--csv")])
    def test_where_no_edge_runs_one_line_says_so(self, command: tuple[str, ...]) -> None:
        result = run(*command, *NOBODY)
        assert result.exit_code == 1
        assert result.stdout == ""
        (line,) = result.stderr.splitlines()
        assert line.startswith("activator: no edge answers on 127.0.0.1:1 ")

    def test_a_number_of_decisions_out_of_range_is_refused(self) -> None:
        assert run("explain", "m", "--last", "0").exit_code == 2


class TestServe:
    def test_a_bad_file_is_told_before_anything_is_opened(self, tmp_path: Path) -> None:
        file = tmp_path / "bad.yaml"
        file.write_text("services: 3\n")
        result = run("serve", "--config", str(file))
        assert result.exit_code == 2
        assert result.stderr.startswith(f"{file}:")


class TestMoves:
    @pytest.mark.parametrize(
        ("move", "told"),
        [
            ("promote", "m-2 was promoted by hand. Now m-2 has 100 %, m-1 0 %."),
            ("rollback", "m-2 was rolled back by hand. Now m-2 has 0 %, m-1 100 %."),
            ("restart", "m-2 gets 1 %; until it has a replica, m-1 answers for it. Now m-2 has 1 %, m-1 99 %."),
        ],
    )
    async def test_a_canary_is_moved_and_it_says_what_became_of_the_shares(self, move: str, told: str) -> None:
        assert (await asked(move, "m", canaries=(CANARY,))).strip() == told

    async def test_as_json_it_gives_the_whole_rollout(self) -> None:
        assert json.loads(await asked("promote", "m", "--json", canaries=(CANARY,)))["canary"]["phase"] == "promoted"

    async def test_a_service_without_a_canary_is_told(self) -> None:
        async with an_edge() as address:
            result = await asyncio.to_thread(run, "promote", "n", "--admin", address)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "n has no canary" in result.stderr

    async def test_explain_tells_what_happened_to_it(self) -> None:
        assert "m-2  canary begun  m-2 gets 1 %" in await asked("explain", "m", canaries=(CANARY,))


def shell(line: str) -> subprocess.CompletedProcess[str]:
    """Run `activator` as `line` of a shell has it, in which it is "$@"."""
    words = [sys.executable, "-c", "from activator.cli import main; main()"]
    return subprocess.run(["sh", "-c", line, "sh", *words], capture_output=True, text=True, timeout=60, check=False)


def test_the_version_is_told() -> None:
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, "activator 0.1.0\n")


def test_a_full_disk_is_told_in_one_line() -> None:
    result = shell('"$@" schema > /dev/full')
    assert (result.returncode, result.stderr) == (1, "activator: [Errno 28] No space left on device\n")


def test_a_closed_stream_is_like_dev_null() -> None:
    assert shell('"$@" schema >&-').returncode == 0
    result = shell('"$@" render - <&-')
    assert (result.returncode, result.stderr) == (2, "-: is empty\n")


def test_a_name_that_is_no_text_is_one_that_is_not_known() -> None:
    assert quoted("\udcff") == "%FF"
