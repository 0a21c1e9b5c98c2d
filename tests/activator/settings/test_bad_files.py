"""Every mistake is told by its place, its value and what would be right: all at once, and never a traceback."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from activator.settings.autoscaling import AutoscalingOverrides
from activator.settings.load import MOST_PROBLEMS, load
from activator.settings.problems import SettingsError
from activator.settings.schema import Revision, Settings
from activator.settings.source import MAX_BYTES
from tests.activator.settings.files import FULL, problems, small, written

if TYPE_CHECKING:
    from activator.settings.group import Group


def whole(**keys: Any) -> str:
    return written(small(**keys))


def service(**keys: Any) -> str:
    data = small()
    data["services"][0] |= keys
    return written(data)


def revision(**keys: Any) -> str:
    data = small()
    data["services"][0]["revisions"][0] |= keys
    return written(data)


def keys(group: type[Group]) -> str:
    return ", ".join(group.fields_by_key())


def scaling(key: str, value: Any) -> str:
    return service(autoscaling={key: value})


def shares(*entries: dict[str, Any]) -> str:
    return service(traffic=list(entries))


YAML = [
    ("", " is empty"),
    ("# nothing\n", " is empty"),
    ("- a\n", "1: must be a mapping of keys, such as listen: and services: (got a list)"),
    ("hello", "1: must be a mapping of keys, such as listen: and services: (got 'hello')"),
    ("a: \x00", " has a character that YAML does not allow (character 0x00)"),
    (
        "a: [1, 2\nb: 3",
        "2: not YAML, column 2: while parsing a flow sequence (begun in line 1) expected ',' or ']', but got ':'",
    ),
    (
        "a:\n\t- b",
        (
            "2: not YAML, column 1: while scanning for the next token found character '\\t' that cannot start any token"
            "; indent with spaces, not tabs"
        ),
    ),
    ("a: 1\n---\nb: 2", "2: not YAML, column 1: expected a single document in the stream but found another document"),
    ("services: []\nlisten: :1\nlisten: :2", "2: listen: is written twice (first in line 2, again in line 3)"),
    ("a: &x [1]\nb: *x", "2: not YAML, column 4: aliases (*name) are not supported"),
    ("services: []\nlisten: !!set x", "2: listen: YAML tags are not supported (got 'tag:yaml.org,2002:set')"),
    ("a: " + "[" * 5000, "1: not YAML, column 23: nested too deep"),
    ("services: []\n[a]: b", "1: a key must be text"),
    (
        "services: []\nstate-dir: !!int x",
        "2: state-dir: cannot be read as what its form or tag says (got 'x'; allowed: int)",
    ),
    ("services: []\n<<: {}", f"2: '<<': unknown key (allowed: {keys(Settings)})"),
    ("listen: :80\n", "services: is required"),
    ("services:\n", "1: services: is required"),
    ("services: {name: x}", "1: services: must be a list (got a mapping)"),
    ("services: [null]", "1: services[0]: must be a mapping of keys (got nothing)"),
    ("services: [x]", "1: services[0]: must be a mapping of keys (got 'x')"),
]

LISTEN = "allowed: host:port, port 0 to 65535 (0 = any free one)"
WHOLE = [
    (whole(listen="8080"), f"9: listen: is no address to listen on (got '8080'; {LISTEN})"),
    (whole(listen=8080), f"9: listen: is no address to listen on (got 8080; {LISTEN}; did you mean 127.0.0.1:8080?)"),
    (whole(admin=False), f"9: admin: must be host:port (in quotes, if it is one) (got false; {LISTEN})"),
    (whole(**{"admin-listen": ":9090"}), "9: admin-listen: unknown key (did you mean admin?)"),
    (whole(requests={"timeout": "10s"}), "10: requests.timeout: unknown key (did you mean total-timeout?)"),
    (whole(**{"drain-timeout": -1}), "9: drain-timeout: needs a unit (got -1; allowed: 0s or more)"),
    (
        whole(listen="http://x:80/"),
        f"9: listen: is no address to listen on (got 'http://x:80/'; {LISTEN}; did you mean x:80?)",
    ),
    (whole(listen="h:99999"), f"9: listen: is no address to listen on (got 'h:99999'; {LISTEN})"),
    (whole(listen="::1:80"), f"9: listen: is no address to listen on (got '::1:80'; {LISTEN})"),
    (
        whole(admin="localhost:8080"),
        "9: admin: must be another address than that of the edge (listen: 127.0.0.1:8080) (got 'localhost:8080')",
    ),
    (
        whole(admin="0.0.0.0:8080"),
        "9: admin: must be another address than that of the edge (listen: 127.0.0.1:8080) (got '0.0.0.0:8080')",
    ),
    (
        whole(scaler="proces"),
        (
            "9: scaler: must be process or memory or kubernetes (got 'proces'; "
            "allowed: process or memory or kubernetes; "
            "did you mean process?)"
        ),
    ),
    (
        whole(preset="gpu-120"),
        "9: preset: is no preset (got 'gpu-120'; allowed: gpu-120s or gpu-180s; did you mean gpu-120s?)",
    ),
    (whole(preset=[1]), "9: preset: must be text (got a list)"),
    (whole(autoscalin={}), "9: autoscalin: unknown key (did you mean autoscaling?)"),
    (whole(**{"access-log": "maybe"}), "9: access-log: must be true or false (got 'maybe'; allowed: true or false)"),
    (
        whole(**{"drain-timeout": 45}),
        "9: drain-timeout: needs a unit (got 45; allowed: 0s or more; did you mean 45s?)",
    ),
    (whole(**{"drain-timeout": "-1s"}), "9: drain-timeout: is too small (got '-1s'; allowed: 0s or more)"),
    (whole(requests=[1]), "9: requests: must be a mapping of keys (got a list)"),
    (
        whole(requests={"queue-bytes": -1}),
        (
            "10: requests.queue-bytes: must be a size such as 64MiB, 1GiB or a number of bytes "
            "(got -1; allowed: 0B or more)"
        ),
    ),
    (whole(autoscaling={"window": "60s"}), "10: autoscaling.window: unknown key (did you mean stable-window?)"),
    (
        whole(autoscaling={"panic-threshold-percentage": 0}),
        "10: autoscaling.panic-threshold-percentage: is too small (got 0; allowed: more than 0)",
    ),
]

SCALING = [
    ("panic-threshold-percentage", 109, "is too small (got 109; allowed: 110 to 1000)"),
    ("panic-threshold-percentage", 1001, "is too large (got 1001; allowed: 110 to 1000)"),
    ("panic-window-percentage", 0.5, "is too small (got 0.5; allowed: 1 to 100; did you mean 50?)"),
    ("scale-to-zero-pod-retention-period", "61m", "is too large (got '61m'; allowed: 0s to 1h)"),
    ("scale-to-zero-grace-period", "0s", "is too small (got '0s'; allowed: more than 0s)"),
    ("scale-down-delay", "1.5s", "must be whole seconds (got '1.5s'; allowed: 0s to 1h, whole seconds)"),
    ("scale-down-delay", "2h", "is too large (got '2h'; allowed: 0s to 1h, whole seconds)"),
    ("stable-window", "5s", "is too small (got '5s'; allowed: 6s to 1h, whole seconds)"),
    ("window", "3601s", "is too large (got '3601s'; allowed: 6s to 1h, whole seconds)"),
    ("tick", "ten", "must be a duration such as 10s, 1m30s or 0s (got 'ten'; allowed: 10ms to 1h)"),
    ("target-burst-capacity", -2, "is too small (got -2; allowed: 0 or more, or -1)"),
    ("target", float("nan"), "must be a number (got nan; allowed: 0.01 or more)"),
    ("target", 0.009, "is too small (got 0.009; allowed: 0.01 or more)"),
    ("target", 10**400, "must be a number (got a very large number; allowed: 0.01 or more)"),
    ("target-utilization-percentage", 101, "is too large (got 101; allowed: 1 to 100)"),
    ("max-scale-up-rate", 1e308, "is more than 1000000000000000 (got 1e+308; allowed: more than 1)"),
    ("max-scale-up-rate", float("inf"), "must be a number (got inf; allowed: more than 1)"),
    ("max-scale-down-rate", 1.0, "is too small (got 1; allowed: more than 1)"),
    ("min-scale", True, "must be a whole number (got true; allowed: 0 or more)"),
    ("min-scale", 1.5, "must be a whole number (got 1.5; allowed: 0 or more)"),
    ("min-scale", "many", "must be a whole number (got 'many'; allowed: 0 or more)"),
    ("min-scale", -1, "is too small (got -1; allowed: 0 or more)"),
    ("min-scale", 2**31, "is more than 2147483647 (got 2147483648; allowed: 0 or more)"),
    ("activation-scale", 1, "is too small (got 1; allowed: 2 or more)"),
    (
        "container-concurrency-target-percentage",
        101,
        "is too large (got 101; allowed: more than 0, at most 100)",
    ),
    ("metric", "cpu", "must be concurrency or rps (got 'cpu'; allowed: concurrency or rps)"),
    (
        "class",
        "hpa.autoscaling.knative.dev",
        (
            "names another autoscaler: only Knative's own (KPA) is implemented (got 'hpa.autoscaling.knative.dev';"
            " allowed: kpa.autoscaling.knative.dev; did you mean kpa.autoscaling.knative.dev?)"
        ),
    ),
    ("minScale", 1, "unknown key (did you mean min-scale?)"),
    ("autoscaling.knative.dev/maxScale", 1, "unknown key (did you mean max-scale?)"),
    ("min_scale", 1, "unknown key (did you mean min-scale?)"),
    ("max-sacle", 1, "unknown key (did you mean max-scale?)"),
    ("container-concurrency", 1, "unknown key (did you mean container-concurrency under requests?)"),
    ("qwertz", 1, f"unknown key (allowed: {keys(AutoscalingOverrides)})"),
]

CLASHES: list[tuple[dict[str, Any], str, str]] = [
    (
        {"min-scale": 3, "max-scale": 2},
        "max-scale",
        "max-scale 2 is less than min-scale 3 (allowed: max-scale 0, or 3 or more)",
    ),
    (
        {"max-scale-limit": 4},
        "max-scale-limit",
        "max-scale 0 (unlimited) is beyond max-scale-limit 4 (allowed: max-scale 1 to 4)",
    ),
    (
        {"max-scale-limit": 4, "max-scale": 5},
        "max-scale",
        "max-scale 5 is beyond max-scale-limit 4 (allowed: max-scale 1 to 4)",
    ),
    (
        {"allow-zero-initial-scale": False},
        "allow-zero-initial-scale",
        "initial-scale is 0 although allow-zero-initial-scale is false (allowed: initial-scale 1 or more)",
    ),
    (
        {"activation-scale": 2, "min-scale": 3},
        "activation-scale",
        "activation-scale 2 is less than min-scale 3 (allowed: min-scale (3) to max-scale (unlimited))",
    ),
    (
        {"activation-scale": 5, "max-scale": 3},
        "activation-scale",
        "activation-scale 5 is more than max-scale 3 (allowed: min-scale (0) to max-scale (3))",
    ),
    (
        {"container-concurrency-target-percentage": 1.5, "container-concurrency-target-default": 0.1},
        "container-concurrency-target-percentage",
        "container-concurrency-target-percentage of container-concurrency-target-default is less than 0.01",
    ),
]

PEERS = {"listen": ":7000", "secret-file": "secret"}
TOGETHER = [
    (
        whole(peers=PEERS, scaler="memory"),
        (
            "12: scaler: must be kubernetes where there are peers: nobody else runs replicas that several edges can use"
            " (got 'memory')"
        ),
    ),
    (
        whole(peers=PEERS, scaler="kubernetes", workers=2),
        "13: workers: must be 1 where there are peers: each edge owns what others claim, in one process (got 2)",
    ),
    (
        whole(peers={**PEERS, "listen": ":0"}, scaler="kubernetes"),
        "10: peers.listen: needs a port that others know (got ':0')",
    ),
    (
        whole(
            peers={"listen": "10.0.0.1:7000", "advertise": "a.example:7000", "addresses": ["10.0.0.1:7000"]},
            scaler="kubernetes",
        ),
        (
            "12: peers.addresses: has this edge by another name than peers.advertise: write a.example:7000 in place of"
            " 10.0.0.1:7000"
        ),
    ),
    (
        whole(peers={**PEERS, "advertise": "0.0.0.0:7000"}, scaler="kubernetes"),
        (
            "12: peers.advertise: is no address at which an edge can be reached: write its own host and port"
            " (got '0.0.0.0:7000')"
        ),
    ),
    (
        whole(peers={**PEERS, "addresses": ["a.example:7000", "b.example:0"]}, scaler="kubernetes"),
        (
            "14: peers.addresses[1]: is no address at which an edge can be reached: write its own host and port"
            " (got 'b.example:0')"
        ),
    ),
    (
        whole(peers={**PEERS, "listen": ":8080"}, scaler="kubernetes"),
        "10: peers.listen: must be another address than listen: 127.0.0.1:8080 (got ':8080')",
    ),
    (whole(kserve=True), "9: kserve: is of no use without scaler: kubernetes, where KServe's pods are"),
    (
        whole(namespace="models"),
        "9: namespace: is of no use without scaler: kubernetes, where the Deployments are (got 'models')",
    ),
    (whole(peers={"addresses": ["10.0.0.1:7000"]}), "10: peers.addresses: is of no use without peers.listen"),
]

NAME = "allowed: up to 63 of a-z, 0-9 and -, which begin and end with a letter or digit"
HOST = "allowed: a DNS name or IP address without port, no wildcard"
PATH = "allowed: a decoded path such as /v1/models, without query, %, empty or dot segments"
COMMAND = "(allowed: a list such as [python, -m, model], or one line of text)"
SERVICES = [
    (
        service(name="My_Model"),
        f"2: services[0].name (My_Model): is no valid name (got 'My_Model'; {NAME}; did you mean my-model?)",
    ),
    (service(name=True), f"2: services[0].name: must be a name (in quotes, if it is one) (got true; {NAME})"),
    (service(name=None), "2: services[0].name: is required"),
    (service(hosts=None), "3: services[0].hosts (m): is required"),
    (service(hosts=[]), "3: services[0].hosts (m): needs at least one entry"),
    (
        service(hosts="m.localhost"),
        "3: services[0].hosts (m): must be a list (got 'm.localhost'; did you mean [m.localhost]?)",
    ),
    (
        service(hosts=["*.x"]),
        (
            "4: services[0].hosts[0] (m): is no host name: there are no wildcards and no default service "
            f"(got '*.x'; {HOST})"
        ),
    ),
    (
        service(hosts=["a.b:80"]),
        f"4: services[0].hosts[0] (m): is no host name (got 'a.b:80'; {HOST}; did you mean a.b?)",
    ),
    (
        service(hosts=["bücher.example"]),
        (
            "4: services[0].hosts[0] (m): is no host name: international names are written as xn--... "
            f"(got 'bücher.example'; {HOST}; did you mean xn--bcher-kva.example?)"
        ),
    ),
    (service(hosts=["a", "A."]), "3: services[0].hosts (m): lists 'a' 2 times"),
    (service(paths=["v1"]), f"10: services[0].paths[0] (m): must begin with / (got 'v1'; {PATH}; did you mean /v1?)"),
    (service(paths=["/v1?x"]), f"10: services[0].paths[0] (m): is no path prefix (got '/v1?x'; {PATH})"),
    (service(paths=["/a/../b"]), f"10: services[0].paths[0] (m): is no path prefix (got '/a/../b'; {PATH})"),
    (service(paths=["/a", "/a/"]), "9: services[0].paths (m): lists '/a' 2 times"),
    (service(revisions=[]), "5: services[0].revisions (m): needs at least one entry"),
    (service(env={}), "9: services[0].env (m): unknown key (did you mean revisions.env?)"),
    (service(replicas=1), "9: services[0].replicas (m): unknown key (did you mean autoscaling.min-scale?)"),
    (
        service(sticky="cookie"),
        (
            "9: services[0].sticky (m): names no key of a client "
            "(got 'cookie'; allowed: header:NAME, cookie:NAME or address)"
        ),
    ),
    (service(minReplicas=1), "9: services[0].minReplicas (m): unknown key (did you mean autoscaling.min-scale?)"),
    (
        service(**{"hold-timeout": "1m"}),
        "9: services[0].hold-timeout (m): unknown key (did you mean requests.hold-timeout?)",
    ),
    (
        shares({"revision": "m-2", "percent": 100}),
        (
            "10: services[0].traffic[0].revision (m): is no revision of this service "
            "(got 'm-2'; allowed: m-1; did you mean m-1?)"
        ),
    ),
    (shares({"revision": "m-1", "percent": 90}), "9: services[0].traffic (m): the percentages sum to 90, not to 100"),
    (
        shares({"revision": "m-1", "percent": 101}),
        "11: services[0].traffic[0].percent (m): is too large (got 101; allowed: 0 to 100)",
    ),
    (
        shares({"revision": "m-1", "percent": -1}),
        "11: services[0].traffic[0].percent (m): is too small (got -1; allowed: 0 to 100)",
    ),
    (
        shares({"revision": "m-1", "weight": 100}),
        "11: services[0].traffic[0].weight (m): unknown key (did you mean percent?)",
    ),
    (shares({"percent": 100}), "10: services[0].traffic[0].revision (m): is required"),
    (
        shares({"revision": "m-1", "percent": 100, "tag": "a" * 63}),
        f"12: services[0].traffic[0].tag (m): is too long for a host name before 'm.localhost' (got '{'a' * 59}...)",
    ),
]
REVISIONS = [
    (
        revision(percent=10),
        "9: services[0].revisions[0].percent (m-1): unknown key (did you mean percent under traffic?)",
    ),
    (
        revision(image="x"),
        f"9: services[0].revisions[0].image (m-1): unknown key (allowed: {keys(Revision)})",
    ),
    (revision(name=None), "6: services[0].revisions[0].name (m): is required"),
    (revision(command=None), "7: services[0].revisions[0].command (m-1): is required with scaler: process"),
    (revision(command=[]), f"7: services[0].revisions[0].command (m-1): names no program {COMMAND}"),
    (revision(command="  "), f"7: services[0].revisions[0].command (m-1): names no program {COMMAND}"),
    (
        revision(command="python 'x"),
        f"7: services[0].revisions[0].command (m-1): cannot be split into words: no closing quotation {COMMAND}",
    ),
    (
        revision(command=["a", True]),
        f"7: services[0].revisions[0].command (m-1): word 2 must be in quotes to be text {COMMAND}",
    ),
    (
        revision(command=["a\0"]),
        "7: services[0].revisions[0].command (m-1): word 1 must be text, without zero bytes and lone surrogates "
        + COMMAND,
    ),
    (revision(env=["A=b"]), "9: services[0].revisions[0].env (m-1): must be a mapping of names to values"),
    (
        revision(env={"A=B": "x"}),
        (
            "10: services[0].revisions[0].env.'A=B' (m-1): is no name for an environment variable "
            "(allowed: a name without =)"
        ),
    ),
    (
        revision(env={"RATE": 1.10}),
        (
            "10: services[0].revisions[0].env.RATE (m-1): the value must be in quotes to be text "
            "(allowed: text or a whole number)"
        ),
    ),
    (
        revision(env={"PORT": 80}),
        "10: services[0].revisions[0].env.PORT (m-1): is set by the edge for each replica and cannot be chosen",
    ),
    (
        revision(directory=""),
        "9: services[0].revisions[0].directory (m-1): must be a path (got ''; allowed: a path, relative to this file)",
    ),
    (
        revision(process={"readiness-path": "health"}),
        (
            "10: services[0].revisions[0].process.readiness-path (m-1): must begin with / (got 'health'; "
            "allowed: a path such as /health, of printable ASCII without spaces or #; did you mean /health?)"
        ),
    ),
    (
        revision(containerConcurrency=2),
        (
            "9: services[0].revisions[0].containerConcurrency (m-1): unknown key "
            "(did you mean requests.container-concurrency?)"
        ),
    ),
]


@pytest.mark.parametrize(("text", "problem"), YAML + WHOLE + TOGETHER + SERVICES + REVISIONS)
def test_a_mistake_is_named_with_its_place_and_its_remedy(text: str, problem: str) -> None:
    assert problems(text) == [problem] or problems(text) == [f"1: {problem}"]


@pytest.mark.parametrize(("key", "value", "problem"), SCALING)
def test_an_override_has_the_bounds_of_knatives_annotation(key: str, value: Any, problem: str) -> None:
    assert problems(scaling(key, value)) == [f"10: services[0].autoscaling.{key} (m): {problem}"]


@pytest.mark.parametrize(("keys", "blamed", "problem"), CLASHES)
def test_keys_that_contradict_each_other_are_found_in_the_defaults(
    keys: dict[str, Any], blamed: str, problem: str
) -> None:
    line = 10 + list(keys).index(blamed)
    assert problems(whole(autoscaling=keys)) == [f"{line}: autoscaling.{blamed}: {problem}"]


@pytest.mark.parametrize(("keys", "blamed", "problem"), CLASHES)
def test_keys_that_contradict_each_other_are_found_in_overrides(
    keys: dict[str, Any], blamed: str, problem: str
) -> None:
    line = 10 + list(keys).index(blamed)
    expected = [f"{line}: services[0].revisions[0].autoscaling.{blamed} (m-1): {problem}"]
    assert problems(revision(autoscaling=keys)) == expected


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("panic-threshold-percentage", 50),
        ("panic-threshold-percentage", 5000),
        ("scale-to-zero-pod-retention-period", "2h"),
        ("scale-down-delay", "2h"),
        ("min-scale", "3"),
        ("enable-scale-to-zero", "false"),
        ("max-scale-up-rate", "1000.0"),
        ("target-burst-capacity", -1),
    ],
)
def test_the_defaults_have_the_bounds_of_knatives_configmap_whose_values_are_quoted(key: str, value: Any) -> None:
    assert problems(whole(autoscaling={key: value})) == []


def test_a_contradiction_between_layers_blames_the_nearest_one() -> None:
    data = small(autoscaling={"max-scale": 2})
    data["services"][0]["autoscaling"] = {"min-scale": 3}
    message = "max-scale 2 is less than min-scale 3 (allowed: max-scale 0, or 3 or more)"
    assert problems(written(data)) == [f"10: services[0].autoscaling.min-scale (m): {message}"]


def test_what_several_revisions_inherit_is_told_once() -> None:
    text = FULL.replace("max-scale: 4", "max-scale: 4\n  min-scale: 5")
    assert len(problems(text)) == 1


def test_a_key_and_its_synonym_exclude_each_other() -> None:
    message = "is another name of stable-window, which is written here, too"
    assert problems(service(autoscaling={"window": "60s", "stable-window": "70s"})) == [
        f"10: services[0].autoscaling.window (m): {message}"
    ]


def test_several_revisions_need_traffic() -> None:
    data = small()
    data["services"][0]["revisions"].append({"name": "m-2", "command": ["model"]})
    assert problems(written(data)) == ["2: services[0].traffic (m): is required when there are several revisions"]


def test_names_are_unique_over_the_whole_file() -> None:
    text = FULL.replace("generator-v1", "sentiment-v2").replace("name: generator", "name: sentiment")
    assert problems(text) == [
        "22: services[1].name (sentiment): is the name of services[0] already (got 'sentiment')",
        (
            "25: services[1].revisions[0].name (sentiment-v2): is the name of services[0].revisions[1] already "
            "(got 'sentiment-v2')"
        ),
    ]


def test_a_tag_and_a_plain_share_name_one_revision_once_each() -> None:
    twice = shares({"revision": "m-1", "percent": 50, "tag": "a"}, {"revision": "m-1", "percent": 50, "tag": "a"})
    assert problems(twice) == [
        f"{line}: services[0].traffic[{number}].tag (m): is the tag of several entries (got 'a')"
        for line, number in ((12, 0), (15, 1))
    ]
    plain = shares({"revision": "m-1", "percent": 50}, {"revision": "m-1", "percent": 50})
    assert len(problems(plain)) == 2
    assert problems(shares({"revision": "m-1", "percent": 50}, {"revision": "m-1", "percent": 50, "tag": "a"})) == []


def two(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    data = small()
    data["services"][0] |= first
    other = {"name": "n", "hosts": ["m.localhost"], "revisions": [{"name": "n-1", "command": ["model"]}]}
    data["services"].append(other | second)
    return [problem.partition(": ")[2] for problem in problems(written(data))]


def test_a_host_leads_to_one_service() -> None:
    assert two({}, {}) == ["services[1].hosts (n): host 'm.localhost' leads to services[0] already"]


def test_services_may_share_a_host_by_path_and_the_longest_prefix_wins() -> None:
    assert two({"paths": ["/v1"]}, {"paths": ["/v2"]}) == []
    assert two({}, {"paths": ["/v1"]}) == []
    assert two({"paths": ["/v1/"]}, {"paths": ["/v1"]}) == [
        "services[1].hosts (n): host 'm.localhost' with path '/v1' leads to services[0] already"
    ]
    assert two({}, {"paths": ["/"]}) == ["services[1].hosts (n): host 'm.localhost' leads to services[0] already"]


def test_a_tags_host_is_nobody_elses() -> None:
    traffic = {"traffic": [{"revision": "m-1", "percent": 100, "tag": "a"}]}
    assert two(traffic, {"hosts": ["a-m.localhost"]}) == [
        "services[0].traffic[0].tag (m): host 'a-m.localhost' leads to services[1] already"
    ]
    clash = {"hosts": ["b-m.localhost"], "traffic": [{"revision": "n-1", "percent": 100, "tag": "a"}]}
    first = {"traffic": [{"revision": "m-1", "percent": 100, "tag": "a-b"}]}
    assert two(first, clash) == [
        "services[1].traffic[0].tag (n): host 'a-b-m.localhost' leads to services[0] (tag a-b) already"
    ]


def test_services_with_models_may_share_a_host_and_path() -> None:
    assert two({"models": ["a"]}, {"models": ["b"]}) == []
    assert two({"models": ["a"], "paths": ["/v1"]}, {"models": ["b"], "paths": ["/v1", "/v2"]}) == []
    assert two({"models": ["a"]}, {}) == ["services[1].hosts (n): host 'm.localhost' leads to services[0] already"]
    assert two({}, {"models": ["a"]}) == ["services[1].hosts (n): host 'm.localhost' leads to services[0] already"]


def test_a_host_has_one_model_of_a_name_whatever_its_path() -> None:
    already = "services[1].models (n): lists 'a', which is a model of services[0] on host 'm.localhost' already"
    assert two({"models": ["a"]}, {"models": ["b", "a"]}) == [already]
    assert two({"models": ["a"], "paths": ["/v1"]}, {"models": ["a"], "paths": ["/v2"]}) == [already]
    assert two({"models": ["a"]}, {"models": ["a"], "hosts": ["n.localhost"]}) == []


def test_tags_hosts_are_shared_by_services_with_models_and_by_no_service_with_itself() -> None:
    first = {"models": ["a"], "traffic": [{"revision": "m-1", "percent": 100, "tag": "next"}]}
    second = {"models": ["b"], "traffic": [{"revision": "n-1", "percent": 100, "tag": "next"}]}
    assert two(first, second) == []
    assert two(first, {"models": ["b"], "hosts": ["next-m.localhost"]}) == []
    assert two(first, {"models": ["a"], "hosts": ["next-m.localhost"]}) == [
        "services[0].models (m): lists 'a', which is a model of services[1] on host 'next-m.localhost' already"
    ]
    own = second | {"hosts": ["m.localhost", "next-m.localhost"]}
    assert two({"models": ["a"], "hosts": ["next-m.localhost"]}, own) == [
        "services[1].traffic[0].tag (n): host 'next-m.localhost' leads to services[1] already"
    ]


def test_the_names_of_models_are_listed_once_and_can_be_written_in_a_path() -> None:
    assert [line.partition(": ")[2] for line in problems(service(models=["m", "org/m:8b", "m"]))] == [
        "services[0].models (m): lists 'm' 2 times"
    ]
    for bad in ("", "a b", "/a", "a/", "a//b", "a/../b", "a?b", "a%20b", "ä", "a" * 256, 5):
        (problem,) = problems(service(models=[bad]))
        assert "services[0].models[0] (m): " in problem, problem
        assert "allowed: up to 255 letters, digits and ._:@+/-" in problem


def test_how_probes_are_answered_is_for_services_with_models() -> None:
    probes = {"sleeping-probes": "wake"}
    assert problems(service(models=["m"], **probes)) == []
    (problem,) = problems(service(**probes))
    assert problem.endswith("services[0].sleeping-probes (m): is for services with models")
    (problem,) = problems(service(models=["m"], **{"sleeping-probes": "redy"}))
    assert "did you mean ready?" in problem


def test_all_problems_are_told_at_once_in_the_order_of_the_file() -> None:
    text = """\
listen: 127.0.0.1:9090
autoscaling: {minScale: 3, tick: 10}
services:
  - name: sentiment
    hosts: [sentiment.localhost, "*"]
    revisions:
      - name: sentiment-v1
        requests: {container-concurrency: -1}
      - oops
    traffic:
      - {revision: sentiment-v1, percent: 90}
      - {revision: sentiment-v1, percent: 20, tag: old}
  - name: sentiment
    hosts: [sentiment.localhost]
    revisions:
      - {name: v, command: [x], autoscaling: {min-scale: 5, max-scale: 4}}
admin: 127.0.0.1:9090
"""
    places = [problem.split(": ")[:2] for problem in problems(text)]
    assert places == [
        ["2", "autoscaling.tick"],
        ["2", "autoscaling.minScale"],
        ["5", "services[0].hosts[1] (sentiment)"],
        ["7", "services[0].revisions[0].command (sentiment-v1)"],
        ["8", "services[0].revisions[0].requests.container-concurrency (sentiment-v1)"],
        ["9", "services[0].revisions[1] (sentiment)"],
        ["10", "services[0].traffic (sentiment)"],
        ["13", "services[1].name (sentiment)"],
        ["14", "services[1].hosts (sentiment)"],
        ["16", "services[1].revisions[0].autoscaling.max-scale (v)"],
        ["17", "admin"],
    ]


def test_a_damaged_value_does_not_make_others_look_wrong() -> None:
    damaged = shares({"revision": "m-1", "percent": "ninety"}, {"revision": "m-1", "percent": 10, "tag": "b"})
    assert [problem.split(": ")[1] for problem in problems(damaged)] == ["services[0].traffic[0].percent (m)"]
    typo = "services:\n- nmae: m\n  hosts: [m]\n  revisions: [{name: a, command: [b]}]\n"
    assert problems(typo) == ["2: services[0].nmae: unknown key (did you mean name?)"]


def test_a_name_and_a_value_may_be_wrong_at_once() -> None:
    assert [problem.split(": ")[1] for problem in problems(revision(env={"": None}))] == [
        "services[0].revisions[0].env.'' (m-1)",
        "services[0].revisions[0].env.'' (m-1)",
    ]


def test_values_of_the_environment_and_of_commands_are_not_repeated() -> None:
    for text in (revision(env={"TOKEN": ["hunter2"]}), revision(command=["x", {"hunter2": 1}])):
        assert "hunter2" not in "".join(problems(text))


def test_what_never_ends_is_cut_short() -> None:
    unknown = problems("services: []\n" + "".join(f"x{number}: 1\n" for number in range(300)))
    assert (len(unknown), unknown[-1]) == (MOST_PROBLEMS + 1, " ... and 200 more problems")
    twice = problems("\n".join(f"services: {number}" for number in range(300)))
    assert (len(twice), twice[-1]) == (MOST_PROBLEMS + 1, " ... and 200 more problems")


class TestFiles:
    def said(self, path: Path) -> str:
        with pytest.raises(SettingsError) as caught:
            load(path)
        return str(caught.value).removeprefix(f"{path}: ")

    def test_a_missing_file(self, tmp_path: Path) -> None:
        assert self.said(tmp_path / "none.yaml") == "cannot be read: No such file or directory"

    def test_a_directory(self, tmp_path: Path) -> None:
        assert self.said(tmp_path) == "cannot be read: Is a directory"

    def test_a_file_that_may_not_be_read(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.yaml"
        path.write_text("services: []")
        path.chmod(0)
        if os.access(path, os.R_OK):
            pytest.skip("this user may read everything")
        assert self.said(path) == "cannot be read: Permission denied"

    def test_a_name_that_no_file_can_have(self) -> None:
        assert self.said(Path("a\0b")) == "cannot be read: embedded null byte"

    def test_a_binary_file(self, tmp_path: Path) -> None:
        path = tmp_path / "model.bin"
        path.write_bytes(bytes(range(256)))
        assert self.said(path) == "is not UTF-8 text (byte 128)"

    def test_a_file_without_end(self, tmp_path: Path) -> None:
        path = tmp_path / "large.yaml"
        path.write_bytes(b"#" * (MAX_BYTES + 1))
        assert self.said(path) == "is larger than 1 MiB"

    def test_a_byte_order_mark_is_no_mistake(self, tmp_path: Path) -> None:
        path = tmp_path / "windows.yaml"
        path.write_bytes(b"\xef\xbb\xbfservices: []\r\nlisten: :80\r\n")
        assert load(path).listen.port == 80


@pytest.mark.parametrize(("name", "hint"), [("sentimen", "did you mean sentiment?"), ("generator", "got 'generator'")])
def test_a_service_to_be_woken_must_be_another_one(name: str, hint: str) -> None:
    text = FULL.replace(
        "command: [python, -m, generator]", f"command: [python, -m, generator]\n        wakes: [{name}]"
    )
    [told] = problems(text)
    assert "services[1].revisions[0].wakes (generator-v1): is no other service" in told
    assert hint in told


@pytest.mark.parametrize("path", ["a" * 5000, "a\x1b[2J"])
def test_a_suggestion_that_is_long_or_not_printable_is_not_made(path: str) -> None:
    [told] = map(str, problems(whole(process={"readiness-path": path})))
    assert "must begin with /" in told
    assert "did you mean" not in told
    assert told.isprintable()


def test_a_pipe_to_which_nobody_writes_is_empty(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SettingsError, match="is empty"):
        load(tmp_path / "pipe")


@pytest.mark.parametrize(
    ("mistake", "meant"),
    [
        ({"drain-timeout": "1d"}, "24h"),
        ({"drain-timeout": "2 weeks"}, "336h"),
        ({"drain-timeout": "30min"}, "30m"),
        ({"drain-timeout": "10 seconds"}, "10s"),
        ({"drain-timeout": "1,5h"}, "1h30m"),
        ({"requests": {"queue-bytes": "64M"}}, "64MB"),
        ({"requests": {"queue-bytes": "64mb"}}, "64MB"),
        ({"requests": {"queue-bytes": "1.5 g"}}, "1.5GB"),
        ({"requests": {"queue-bytes": "64mib"}}, "64MiB"),
        ({"autoscaling": {"target-utilization-percentage": "70%"}}, "70"),
        ({"autoscaling": {"target-utilization-percentage": 0.7}}, "70"),
        ({"workers": "2%"}, "2"),
        ({"access-log": "yes"}, "true"),
        ({"access-log": 0}, "false"),
        ({"process": {"readiness-path": "http://localhost/health"}}, "/health"),
        ({"process": {"readiness-path": "http://localhost"}}, "/"),
        ({"trusted-hops": "10.0.0.0/8"}, "[10.0.0.0/8]"),
    ],
)
def test_a_value_as_other_tools_write_it_is_told_with_what_was_meant(mistake: dict[str, Any], meant: str) -> None:
    [told] = problems(whole(**mistake))
    assert told.endswith(f"did you mean {meant}?)")


@pytest.mark.parametrize("value", ["ten", "1y", "1d or so", "d", "9" * 70 + "d", "999999999w", "999999999 hours"])
def test_a_duration_that_cannot_be_guessed_is_told_without_a_guess(value: str) -> None:
    [told] = problems(whole(**{"drain-timeout": value}))
    assert "must be a duration" in told
    assert "did you mean" not in told


@pytest.mark.parametrize(
    "mistake",
    [
        {"drain-timeout": 1e20},
        {"autoscaling": {"stable-window": 5}},
        {"autoscaling": {"target-utilization-percentage": 0.005}},
        {"listen": 99999},
        {"listen": "http://x:99999"},
        {"process": {"readiness-path": "http://localhost?ready"}},
    ],
)
def test_a_guess_that_would_be_refused_too_is_not_offered(mistake: dict[str, Any]) -> None:
    [told] = problems(whole(**mistake))
    assert "did you mean" not in told


@pytest.mark.parametrize(
    ("host", "meant"), [("http:/m.localhost", ""), ("http://me:secret@m.localhost/", "; did you mean m.localhost?")]
)
def test_of_a_url_only_the_host_is_taken_for_one(host: str, meant: str) -> None:
    [told] = problems(service(hosts=[host]))
    assert told.endswith(f"no wildcard{meant})")


def test_many_seconds_without_a_unit_are_offered_with_one() -> None:
    [told] = problems(whole(**{"drain-timeout": 1234567}))
    assert told.endswith("did you mean 1234567s?)")


def test_a_host_that_is_written_as_a_url_is_told_without_scheme_and_port() -> None:
    [told] = problems(service(hosts=["https://m.localhost:8080/v1"]))
    assert told.endswith("did you mean m.localhost?)")


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("a:\n  b: 1\n c: 2\n", "(begun in line 1) expected <block end>, but found '<block mapping start>'; indent it"),
        ("a: 'b\nc: 2\n", "(begun in line 1) found unexpected end of stream; close the quote"),
        (
            "a: b: c\n",
            "mapping values are not allowed here; indent it as its neighbours are, or put a text with a colon",
        ),
        ("a: @b\n", "character '@' that cannot start any token; put a text that begins with it in quotes"),
    ],
)
def test_a_slip_of_yaml_is_told_with_where_it_began_and_its_remedy(text: str, fix: str) -> None:
    [told] = problems(text)
    assert fix in told


def test_a_whole_number_may_be_written_with_an_exponent(tmp_path: Path) -> None:
    path = tmp_path / "much.yaml"
    path.write_text("services: []\nautoscaling: {max-scale: 1e3}\n")
    assert load(path).autoscaling.max_scale == 1000
