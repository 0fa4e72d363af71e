"""Where do real sidecars send a request when they have what we made of VirtualServices? Matches, weights, mirrors, missing ends."""

from __future__ import annotations

import pytest

from chaos.clock import Deadline, poll
from tests.calling import PATIENCE, Callee, Caller, expected

CALLEES = (
    Callee(name="plain"),
    Callee(name="unknown-host", http="- route: [{destination: {host: nobody}}]"),
    Callee(name="unknown-subset", http="- route: [{destination: {host: unknown-subset, subset: v9}}]"),
    Callee(
        name="empty-subset",
        pods="{app: callee, version: v1}",
        http="- route: [{destination: {host: empty-subset, subset: v2}}]",
    ),
    Callee(name="only-matched", http="- match: [{uri: {prefix: /known}}]\n  rewrite: {uri: /}"),
    Callee(
        name="weighted",
        http="""
        - match: [{headers: {x-canary: {exact: "yes"}}}]
          route: [{destination: {host: weighted, subset: v2}, weight: 1}]
        - route:
          - {destination: {host: weighted, subset: v1}, weight: 90}
          - {destination: {host: weighted, subset: v2}, weight: 10}
        """,
    ),
    Callee(
        name="odd-weights",
        http="""
        - route:
          - {destination: {host: odd-weights, subset: v1}, weight: 1}
          - {destination: {host: odd-weights, subset: v2}, weight: 3}
        """,
    ),
    Callee(
        name="no-weight",
        http="""
        - route:
          - {destination: {host: no-weight, subset: v1}, weight: 100}
          - {destination: {host: no-weight, subset: v2}, weight: 0}
        """,
    ),
    Callee(name="copied"),
    Callee(
        name="mirrored",
        http="""
        - route: [{destination: {host: mirrored, subset: v1}}]
          mirror: {host: copied, subset: v2}
        """,
    ),
    Callee(name="wholly-copied"),
    Callee(name="wholly-mirrored", http="- mirror: {host: wholly-copied}"),
    Callee(name="partly-copied"),
    Callee(name="partly-mirrored", http="- mirror: {host: partly-copied}\n  mirrorPercentage: {value: 25}"),
    Callee(name="never-copied"),
    Callee(name="never-mirrored", http="- mirror: {host: never-copied}\n  mirrorPercentage: {value: 0}"),
    Callee(
        name="matched",
        http="""
        - {name: exact, match: [{uri: {exact: /exact}}], directResponse: {status: 200, body: {string: exact}}}
        - {name: prefix, match: [{uri: {prefix: /a}}], directResponse: {status: 200, body: {string: prefix}}}
        - {name: regex, match: [{uri: {regex: "/r[0-9]+"}}], directResponse: {status: 200, body: {string: regex}}}
        - name: any-case
          match: [{uri: {exact: /Case}, ignoreUriCase: true}]
          directResponse: {status: 200, body: {string: any-case}}
        - name: either
          match:
          - {uri: {exact: /either}, headers: {x-a: {exact: "1"}, x-b: {prefix: "2"}}}
          - {name: post, uri: {exact: /either}, method: {exact: POST}}
          directResponse: {status: 200, body: {string: either}}
        - {name: present, match: [{headers: {x-present: {}}}], directResponse: {status: 200, body: {string: present}}}
        - {name: query, match: [{queryParams: {q: {exact: "1"}}}], directResponse: {status: 200, body: {string: query}}}
        - name: without
          match: [{withoutHeaders: {x-no: {exact: "1"}}, uri: {exact: /without}}]
          directResponse: {status: 200, body: {string: without}}
        - {name: stranger, match: [{sourceLabels: {app: stranger}}], directResponse: {status: 418}}
        - {name: elsewhere, match: [{sourceNamespace: elsewhere}], directResponse: {status: 418}}
        - {name: other-port, match: [{port: 81}], directResponse: {status: 418}}
        - {name: rest, directResponse: {status: 200, body: {string: rest}}}
        - {name: never, directResponse: {status: 418}}
        """,
    ),
    Callee(
        name="rewritten",
        http="""
        - {match: [{uri: {prefix: /old/}}], rewrite: {uri: /new/}}
        - {match: [{uri: {exact: /whole}}], rewrite: {uri: /new}}
        - match: [{uri: {prefix: /pattern}}]
          rewrite: {uriRegexRewrite: {match: "/pattern/([a-z]+)/([a-z]+)", rewrite: "/\\\\2/\\\\1"}}
        - {match: [{uri: {prefix: /host}}], rewrite: {authority: other.example}}
        - match: [{uri: {prefix: /headers}}]
          headers: {request: {set: {x-set: new}, add: {x-add: second}, remove: [x-remove]}, response: {set: {x-answer: mesh}}}
        - {match: [{uri: {prefix: /moved}}], redirect: {uri: /there, authority: other.example, redirectCode: 307}}
        """,
    ),
)
# A rule in a namespace that is neither the caller's nor the callee's never applies, whatever it promises.
MORE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: promise, namespace: third}
spec: {host: unknown-subset.shop.svc.cluster.local, subsets: [{name: v9, labels: {version: v1}}]}
"""


# ------------------------------------------------------------------------------------------------------- missing ends
@pytest.mark.parametrize(
    ("service", "path", "outcome"),
    [
        ("unknown-host", "/", (503, "NC", "cluster_not_found")),
        ("unknown-subset", "/", (503, "NC", "cluster_not_found")),
        ("empty-subset", "/", (503, "UH", "no_healthy_upstream")),
        ("only-matched", "/other", (404, "NR", "route_not_found")),
        ("only-matched", "/known", (200, "", "via_upstream")),
        ("plain", "/404", (404, "", "via_upstream")),
    ],
)
def test_each_missing_end_has_its_own_signature(caller: Caller, service: str, path: str, outcome: tuple[int, str, str]) -> None:
    assert caller.get(service, path).outcome == outcome


# ------------------------------------------------------------------------------------------------------------ weights
@pytest.mark.parametrize(("service", "share"), [("weighted", 0.1), ("odd-weights", 0.75), ("no-weight", 0.0)])
def test_each_request_draws_its_destination_by_weight(caller: Caller, service: str, share: float) -> None:
    answers = caller.several(service, "/", 400)

    assert sum(answer.pod == "v2" for answer in answers) == expected(400, share)


def test_a_canary_by_header_comes_before_weights(caller: Caller) -> None:
    answers = caller.several("weighted", "/", 40, x_canary="yes")

    assert {answer.pod for answer in answers} == {"v2"}


# ------------------------------------------------------------------------------------------------------------ mirrors
@pytest.mark.parametrize(
    ("service", "copy", "share"),
    [
        ("wholly-mirrored", "wholly-copied", 1.0),
        ("partly-mirrored", "partly-copied", 0.25),
        ("never-mirrored", "never-copied", 0.0),
    ],
)
def test_mirrors_get_a_share_of_the_requests(caller: Caller, service: str, copy: str, share: float) -> None:
    before = caller.counter(copy, "upstream_rq_total")
    answers = caller.several(service, "/", 200)

    assert {answer.status for answer in answers} == {200}
    assert caller.counter(copy, "upstream_rq_total") - before == expected(200, share)


def test_a_mirrored_answer_is_nobodys_and_the_host_stays(caller: Caller) -> None:
    answer = caller.get("mirrored", "/503?at=v2")
    copy = poll(lambda: caller.callee_line("v2", answer.line["traceparent"]), deadline=Deadline.after(PATIENCE))

    assert (answer.status, answer.pod) == (200, "v1")
    assert copy is not None
    assert (copy["code"], copy["authority"]) == (503, "mirrored")


# ------------------------------------------------------------------------------------------------------------ matches
@pytest.mark.parametrize(
    ("path", "headers", "rule"),
    [
        ("/exact", {}, "exact"),
        ("/exact?q=2", {}, "exact"),
        ("/exact/more", {}, "rest"),
        ("/abc", {}, "prefix"),
        ("/r7?r=x", {}, "regex"),
        ("/r7/more", {}, "rest"),
        ("/CASE", {}, "any-case"),
        ("/EXACT", {}, "rest"),
        ("/either", {"x_a": "1", "x_b": "23"}, "either"),
        ("/either", {"x_a": "1"}, "rest"),
        ("/x", {"x_present": "anything"}, "present"),
        ("/x?q=1", {}, "query"),
        ("/x?q=12", {}, "rest"),
        ("/without", {}, "without"),
        ("/without", {"x_no": "2"}, "without"),
        ("/without", {"x_no": "1"}, "rest"),
    ],
)
def test_the_first_rule_that_matches_takes_the_request(caller: Caller, path: str, headers: dict[str, str], rule: str) -> None:
    answer = caller.get("matched", path, **headers)

    assert (answer.status, answer.body, answer.line["route"]) == (200, rule, rule)


# ------------------------------------------------------------------------------------------- what becomes of a request
@pytest.mark.parametrize(
    ("path", "path_seen", "host_seen"),
    [
        ("/old/a?q", "/new/a?q", "rewritten"),
        ("/whole", "/new", "rewritten"),
        ("/pattern/a/b", "/b/a", "rewritten"),
        ("/host/a", "/host/a", "other.example"),
    ],
)
def test_the_callee_sees_what_a_rewrite_made(caller: Caller, path: str, path_seen: str, host_seen: str) -> None:
    answer = caller.get("rewritten", path)

    assert answer.body["path"] == path_seen
    assert answer.body["headers"]["host"] == host_seen


def test_headers_are_set_added_and_removed(caller: Caller) -> None:
    answer = caller.get("rewritten", "/headers", x_set="old", x_add="first", x_remove="gone")

    seen = answer.body["headers"]
    assert (seen["x-set"], seen["x-add"], seen.get("x-remove")) == ("new", "first,second", None)
    assert answer.headers["x-answer"] == "mesh"


def test_a_redirect_is_the_callers_own_answer(caller: Caller) -> None:
    answer = caller.get("rewritten", "/moved/away?q=1")

    assert (answer.status, answer.headers["location"]) == (307, "http://other.example/there?q=1")
    assert answer.line["details"] == "direct_response"
