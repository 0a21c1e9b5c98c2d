"""Which services an InferenceService is: entry and what lies behind, hosts, paths, shares of canaries."""

from __future__ import annotations

from typing import Any

import pytest

from tests.activator.catalog.manifests.written import (
    IMAGE,
    OLD_BETA,
    alpha,
    beta,
    component,
    custom,
    joined,
    only,
    problems,
    read_one,
    warnings,
)


def box(image: str) -> dict[str, Any]:
    return {"custom": {"container": {"image": image}}, "minReplicas": 0}


def canary(name: str, percent: int, image: str = "c:1") -> dict[str, Any]:
    return {"predictor": {"name": name, "containers": [{**IMAGE, "image": image}]}, "trafficPercent": percent}


def shares(data: Any, name: str = "m") -> list[tuple[str, int, str]]:
    return [(each.container["image"], each.percent, each.tag) for each in component(data, name).revisions]


class TestBeta:
    def test_a_predictor_alone_is_the_service_of_its_name(self) -> None:
        [found] = read_one(beta()).components
        assert (found.name, found.role, found.names) == ("m", "predictor", ("m", "m-predictor"))
        assert found.revisions[0].wakes == ()

    def test_in_kubeflow_its_predictor_was_called_default(self) -> None:
        [found] = read_one(beta(api=OLD_BETA)).components
        assert found.names == ("m", "m-predictor-default", "m-predictor")

    def test_a_transformer_is_the_entry_and_wakes_its_predictor(self) -> None:
        entry, behind = read_one(beta(transformer=custom())).components
        assert (entry.name, entry.role, entry.names) == ("m", "transformer", ("m", "m-transformer"))
        assert (behind.name, behind.role, behind.names) == ("m-predictor", "predictor", ("m-predictor",))
        assert [each.revisions[0].wakes for each in (entry, behind)] == [("m-predictor",), ()]

    def test_an_explainer_has_the_paths_that_ask_for_it(self) -> None:
        found = component(beta(explainer=custom()), "m-explainer")
        assert found.paths == ("/v1/models/m:explain", "/v2/models/m/explain")
        assert found.names == ("m", "m-explainer")
        assert found.revisions[0].wakes == ("m",)
        behind = component(beta(explainer=custom(), transformer=custom()), "m-explainer")
        assert behind.revisions[0].wakes == ("m-predictor",)

    def test_canaries_take_from_the_share_of_the_stable_one(self) -> None:
        data = beta(canary=[canary("blue", 10), canary("red", 5, "d:1")])
        assert shares(data) == [("registry.example/m:1", 85, ""), ("c:1", 10, "blue"), ("d:1", 5, "red")]
        names = [each.name.rpartition("-")[0] for each in component(data, "m").revisions]
        assert names == ["m-predictor", "m-blue-predictor", "m-red-predictor"]

    def test_a_promoted_canary_keeps_its_name(self) -> None:
        before = component(beta(canary=[canary("blue", 10)]), "m").revisions[1]
        assert only(beta(canary("blue", 0)["predictor"])).name == before.name

    @pytest.mark.parametrize(
        ("canaries", "expected"),
        [
            ([{"predictor": custom(), "trafficPercent": 5}], "spec.canary[0].predictor.name (m): is required"),
            ([canary("a", 60), canary("b", 50, "d:1")], "the shares of the canaries sum to 110"),
            ([{"trafficPercent": 5}], "spec.canary[0].predictor.name"),
            ([canary("a", 101)], "is too large"),
            ([canary("a", 10), canary("a", 10, "d:1")], "has the name or tag of another revision beside it (got 'a')"),
            ([canary("a" * 60, 10)], "the tag is too long before m-predictor"),
        ],
    )
    def test_canaries_that_cannot_be_are_refused(self, canaries: Any, expected: str) -> None:
        assert expected in "\n".join(problems(beta(canary=canaries)))

    def test_the_newest_is_reached_by_a_tag_if_that_is_asked_for(self) -> None:
        data = beta(annotations={"serving.kserve.io/enable-tag-routing": "true"})
        assert only(data).tag == "latest"


class TestAlpha:
    def test_default_and_canary_share_the_traffic(self) -> None:
        data = alpha({"predictor": box("a:1")}, {"predictor": box("b:1")}, canaryTrafficPercent=20)
        assert shares(data) == [("a:1", 80, ""), ("b:1", 20, "canary")]

    def test_a_canary_without_a_share_is_reached_by_its_tag(self) -> None:
        assert shares(alpha({"predictor": box("a:1")}, {"predictor": box("b:1")}))[1] == ("b:1", 0, "canary")

    def test_each_transformer_has_a_predictor_of_its_own_behind_it(self) -> None:
        default = {"predictor": box("a:1"), "transformer": box("t:1")}
        canaries = {"predictor": box("b:1"), "transformer": box("u:1")}
        data = alpha(default, canaries, canaryTrafficPercent=20)
        assert shares(data) == [("t:1", 80, ""), ("u:1", 20, "canary")]
        assert shares(data, "m-predictor-default") == [("a:1", 100, "")]
        assert shares(data, "m-predictor-canary") == [("b:1", 100, "")]
        entries = component(data, "m").revisions
        assert [each.wakes for each in entries] == [("m-predictor-default",), ("m-predictor-canary",)]
        arguments = [each.container["args"][3] for each in component(data, "m").revisions]
        assert arguments == ["m-predictor-default.ml", "m-predictor-canary.ml"]

    def test_a_canary_may_drop_the_transformer(self) -> None:
        data = alpha({"predictor": box("a:1"), "transformer": box("t:1")}, {"predictor": box("b:1")})
        assert [each[0] for each in shares(data)] == ["t:1", "b:1"]

    def test_explainers_share_what_is_theirs(self) -> None:
        explainer = {"alibi": {"type": "AnchorText"}, "minReplicas": 0}
        data = alpha({"predictor": box("a:1"), "explainer": explainer})
        found = component(data, "m-explainer")
        assert [(each.percent, each.tag) for each in found.revisions] == [(100, "")]

    def test_a_share_without_a_canary_is_warned_of(self) -> None:
        [told] = warnings(alpha({"predictor": box("a:1")}, canaryTrafficPercent=20))
        assert "has no effect: there is no canary (got 20)" in told

    def test_a_canary_that_is_the_same_is_refused(self) -> None:
        [told] = problems(alpha({"predictor": box("a:1")}, {"predictor": box("a:1")}, canaryTrafficPercent=9))
        assert "14: spec.canary.predictor (m): has pods that are the same as those of another revision" in told

    def test_a_promoted_canary_keeps_its_name(self) -> None:
        both = component(alpha({"predictor": box("a:1")}, {"predictor": box("b:1")}), "m")
        assert only(alpha({"predictor": box("b:1")})).name == both.revisions[1].name


class TestPrevious:
    OLD = beta(custom(nodeSelector={"v": "1"}))
    NEW = custom(nodeSelector={"v": "2"})

    def revisions(self, latest: Any, before: Any) -> list[tuple[str, int, str]]:
        [(application)] = joined(latest, before).applications
        return [(each.spec["nodeSelector"]["v"], each.percent, each.tag) for _, each in application.revisions()]

    def test_the_percentage_is_that_of_the_newest_against_the_last_rolled_out(self) -> None:
        latest = beta({**self.NEW, "canaryTrafficPercent": 10})
        assert self.revisions(latest, self.OLD) == [("2", 10, ""), ("1", 90, "prev")]

    def test_without_a_percentage_the_last_one_stays_at_hand_without_a_share(self) -> None:
        assert self.revisions(beta(self.NEW), self.OLD) == [("2", 100, ""), ("1", 0, "prev")]

    def test_without_the_last_one_the_newest_has_all_and_that_is_told(self) -> None:
        latest = beta({**self.NEW, "minReplicas": 0, "canaryTrafficPercent": 10})
        assert self.revisions(latest, None) == [("2", 100, "")]
        [told] = joined(latest, None).warnings
        assert "the other 90 % are of the last rolled-out revision, which is not known" in str(told)
        assert "--previous" in str(told)

    def test_a_last_one_of_another_name_is_told_to_have_no_effect(self) -> None:
        before = {**self.OLD, "metadata": {"name": "n", "namespace": "ml"}}
        [told] = joined(beta({**self.NEW, "minReplicas": 0}), before).warnings
        assert str(told) == "m.yaml: metadata.name (n): is in none of the files beside it: it has no effect"

    def test_the_same_pods_are_the_same_revision(self) -> None:
        same = beta(custom(nodeSelector={"v": "1"}, canaryTrafficPercent=10, minReplicas=4))
        assert self.revisions(same, self.OLD) == [("1", 100, "")]
        assert joined(same, self.OLD).warnings == ()

    def test_the_last_one_that_was_shared_itself_is_its_largest_share(self) -> None:
        before = beta(custom(nodeSelector={"v": "1"}), canary=[canary("blue", 10)])
        latest = beta({**self.NEW, "canaryTrafficPercent": 50})
        assert self.revisions(latest, before) == [("2", 50, ""), ("1", 50, "prev")]

    def test_a_canary_that_was_promoted_takes_all(self) -> None:
        latest = beta({**self.NEW, "canaryTrafficPercent": 100})
        assert self.revisions(latest, self.OLD) == [("2", 100, ""), ("1", 0, "prev")]
