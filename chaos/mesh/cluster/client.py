"""How is an API server asked? One call with time-outs and retries, whose failure says what to do.

Objects go in and come out as plain dicts: the official client's models would drop what they do not know. Every answer is awaited
for a bounded time; 429, 5xx and lost connections are tried again until `patience` is over, as every call here may be repeated:
writing the same twice is writing it once. Two calls have to be read with care after a retry: `create` and `update` may raise
Conflict although the lost first try had done it, so look whether what is there is yours.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from chaos import clock
from chaos.errors import ApiFailure, Conflict, Forbidden, NotFound, Unreachable
from chaos.mesh.cluster import kinds, kubeconfig
from chaos.mesh.cluster.kinds import Kind

Json = dict[str, Any]

FIELD_MANAGER: Final = "istio-chaos"
"""Stands in the managedFields of what we write."""
CONNECT_WITHIN: Final = 5.0
ANSWER_WITHIN: Final = 10.0
"""Seconds for one try; a list of a thousand objects takes a fraction of one."""
PATIENCE: Final = 30.0
"""Seconds in which a call is tried again."""
PAGE: Final = 500
"""Objects in one answer to a list."""

_AGAIN = frozenset({429, 500, 502, 503, 504})
_APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back with a status below 300."""

    body: bytes
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def date(self) -> datetime:
        """The server's clock when it answered, in whole seconds."""
        try:
            return parsedate_to_datetime(self.headers["date"])
        except (KeyError, ValueError):
            raise ApiFailure("the API server's answer has no Date header, by which leases are judged") from None


def prepare() -> None:
    """Import now what the first connection would: most of a second."""
    import urllib3  # noqa: F401
    from kubernetes import client, config  # noqa: F401


class Client:
    """One API server. Safe to use from several threads."""

    def __init__(self, access: kubeconfig.Access, *, patience: float = PATIENCE) -> None:
        from kubernetes.client import ApiClient

        self.access = access
        self.context = access.context
        self.server = access.server
        self.patience = patience
        self._api: Any = ApiClient(access.configuration)
        self._api.user_agent = FIELD_MANAGER

    @classmethod
    def connect(cls, context: str, *, kubeconfig_file: Path | None = None, patience: float = PATIENCE) -> Client:
        """Nothing is sent yet. Raises ConfigurationError for what the kubeconfig does not say."""
        return cls(kubeconfig.access(context, kubeconfig_file), patience=patience)

    def close(self) -> None:
        """Close idle connections. The client can still be used."""
        self._api.close()

    # -- objects
    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Json:
        """Raises NotFound."""
        found: Json = self.call("GET", kind.path(namespace, name), about=Wanted("get", kind, namespace)).json
        return found

    def items(self, kind: Kind, namespace: str | None = None, *, labels: str = "", fields: str = "") -> list[Json]:
        """All of a namespace, or of all of them; `labels` and `fields` are selectors as kubectl takes them."""
        query = {"limit": str(PAGE), "labelSelector": labels, "fieldSelector": fields}
        return [{"apiVersion": kind.api_version, "kind": kind.name, **item} for item in self._pages(kind, namespace, query)]

    def _pages(self, kind: Kind, namespace: str | None, query: Mapping[str, str]) -> Iterator[Json]:
        token = ""
        while True:
            asked = {**query, "continue": token}
            page = self.call("GET", kind.path(namespace), query=asked, about=Wanted("list", kind, namespace)).json
            yield from page.get("items") or ()
            token = (page.get("metadata") or {}).get("continue") or ""
            if not token:
                return

    def apply(self, an_object: Mapping[str, Any], *, force: bool = False) -> Json:
        """Server-side apply: create it, or make our fields of it so. Raises Conflict where somebody else owns one of them.

        `force` takes such fields back, and is for objects of ours alone, in which nobody else has any business.
        """
        kind = _kind_of(an_object)
        metadata = an_object["metadata"]
        namespace = metadata.get("namespace")
        path = kind.path(namespace, metadata["name"])
        query = {"fieldManager": FIELD_MANAGER, "force": str(force).lower()}
        about = Wanted("patch", kind, namespace)
        applied: Json = self.call("PATCH", path, query=query, body=an_object, content_type=_APPLY, about=about).json
        return applied

    def create(self, an_object: Mapping[str, Any]) -> Json:
        """Raises Conflict if one of that name is there (after a lost answer it may be this one)."""
        kind = _kind_of(an_object)
        namespace = an_object.get("metadata", {}).get("namespace")
        about = Wanted("create", kind, namespace)
        query = {"fieldManager": FIELD_MANAGER}
        created: Json = self.call("POST", kind.path(namespace), query=query, body=an_object, about=about).json
        return created

    def update(self, an_object: Mapping[str, Any]) -> Json:
        """Replace it whole. With `metadata.resourceVersion`, only if nobody has written meanwhile: else Conflict."""
        kind = _kind_of(an_object)
        metadata = an_object["metadata"]
        path = kind.path(metadata.get("namespace"), metadata["name"])
        query = {"fieldManager": FIELD_MANAGER}
        about = Wanted("update", kind, metadata.get("namespace"))
        updated: Json = self.call("PUT", path, query=query, body=an_object, about=about).json
        return updated

    def delete(self, kind: Kind, name: str, namespace: str | None = None, *, uid: str = "", resource_version: str = "") -> bool:
        """True if it was there. With `uid` or `resource_version`, only that very object: else Conflict."""
        wanted = {"uid": uid, "resourceVersion": resource_version}
        body: Json = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if conditions := {key: value for key, value in wanted.items() if value}:
            body["preconditions"] = conditions
        try:
            self.call("DELETE", kind.path(namespace, name), body=body, about=Wanted("delete", kind, namespace))
        except NotFound:
            return False
        return True

    # -- the server itself
    def version(self) -> str:
        """`v1.31.2`"""
        return str(self.call("GET", "/version").json["gitVersion"])

    def now(self) -> datetime:
        """The API server's clock, by the second: the one that leases are judged by."""
        return self.call("GET", "/version").date.astimezone(UTC)

    def serves(self, kind: Kind) -> bool:
        """Is this kind known there (has its CRD been installed)?"""
        with suppress(NotFound):
            path = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.version}"
            return any(each["name"] == kind.plural for each in self.call("GET", path).json.get("resources") or ())
        return False

    def may(self, verb: str, kind: Kind, namespace: str | None = None, *, subresource: str = "", name: str = "") -> bool:
        """Does the server allow us this? Asked by SelfSubjectAccessReview, which everybody may."""
        attributes = {"verb": verb, "group": kind.group, "resource": kind.plural, "subresource": subresource}
        if name:
            attributes["name"] = name
        review = {
            "apiVersion": kinds.ACCESS_REVIEW.api_version,
            "kind": kinds.ACCESS_REVIEW.name,
            "spec": {"resourceAttributes": {**attributes, "namespace": namespace or ""}},
        }
        answer = self.call("POST", kinds.ACCESS_REVIEW.path(None), body=review).json
        return bool(answer.get("status", {}).get("allowed"))

    # -- one call
    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        about: Wanted | None = None,
    ) -> Answer:
        """Any request, tried again while that may help. Empty values of `query` are left out.

        Raises NotFound, Conflict, Forbidden, ApiFailure (another refusal), Unreachable (no answer within `patience`).
        """
        deadline = clock.Deadline.after(self.patience)
        for step in clock.steps(0.1, most=3.0):
            try:
                status, answer = self._once(method, path, query or {}, body, content_type)
            except _Lost as lost:
                if deadline.passed:
                    raise Unreachable(
                        f"the API server {self.server} (context {self.context}) does not answer: {lost}; "
                        f"try: kubectl --context {self.context} version"
                    ) from lost
                clock.pause(min(step, deadline.left))
                continue
            if status < 300:
                return answer
            if status not in _AGAIN or deadline.passed:
                raise self._refusal(status, answer, method, about or Wanted(method))
            clock.pause(min(_retry_after(answer) or step, deadline.left))
        raise AssertionError("steps() is endless")  # pragma: no cover

    def stream(self, path: str, query: Sequence[tuple[str, str]], *, timeout: tuple[float, float]) -> Any:
        """An answer that is read while it comes (urllib3's response), asked for once; the second time-out is for each read."""
        import urllib3

        url, headers = self.url(path, query)
        try:
            response = self._api.rest_client.pool_manager.request(
                "GET",
                url,
                headers=dict(headers),
                timeout=urllib3.Timeout(connect=timeout[0], read=timeout[1]),
                retries=False,
                preload_content=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise Unreachable(
                f"the API server {self.server} (context {self.context}) does not answer: {_one_line(error)}"
            ) from error
        if response.status >= 300:
            with closing(response):
                lower = {str(key).lower(): str(value) for key, value in response.headers.items()}
                answer = Answer(body=response.read() or b"", headers=lower)
            raise self._refusal(response.status, answer, "GET", Wanted("get", kinds.POD, subresource="log"))
        return response

    def url(self, path: str, query: Sequence[tuple[str, str]] = ()) -> tuple[str, Mapping[str, str]]:
        """(URL, headers with our credentials), for whoever speaks something else than requests and answers."""
        _, url, headers, _, _ = self._api.param_serialize("GET", path, header_params={}, auth_settings=["BearerToken"])
        return url + (f"?{urlencode(query)}" if query else ""), headers

    def _once(
        self, method: str, path: str, query: Mapping[str, str], body: Mapping[str, Any] | None, content_type: str
    ) -> tuple[int, Answer]:
        import urllib3
        from kubernetes.client import ApiException

        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = content_type
        asked = [(key, value) for key, value in query.items() if value]
        try:
            request = self._api.param_serialize(
                method, path, query_params=asked, header_params=headers, body=body, auth_settings=["BearerToken"]
            )
            response = self._api.call_api(*request, _request_timeout=(CONNECT_WITHIN, ANSWER_WITHIN))
            text = response.read()
        except (urllib3.exceptions.HTTPError, ApiException, OSError, ssl.SSLError) as error:
            raise _Lost(_one_line(getattr(error, "reason", None) or error)) from error
        lower = {str(key).lower(): str(value) for key, value in response.headers.items()}
        return response.status, Answer(body=text or b"", headers=lower)

    def _refusal(self, status: int, answer: Answer, method: str, about: Wanted) -> ApiFailure:
        told = _told(answer)
        on = f"the API server {self.server} (context {self.context})"
        match status:
            case 401:
                return Forbidden(
                    f"{on} does not know us (401): the credentials of this context have expired or are wrong; "
                    f"log in again, then try: kubectl --context {self.context} auth whoami"
                )
            case 403:
                return Forbidden(f"{on} forbids it: {told or about}. {about.rule(self.context)}")
            case 404 if _is_of_object(answer):
                return NotFound(f"{on}: {told}")
            case 404:
                return NotFound(
                    f"{on} does not know {about.kind.plural + '.' + about.kind.group if about.kind else 'this path'}; "
                    "is Istio installed there? Its CRDs come with it: istioctl install, or Helm's chart istio/base"
                )
            case 409:
                return Conflict(f"{on}: {told}")
            case _:
                return ApiFailure(f"{on} answered {method} with {status}: {told or 'no reason given'}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a call is about, for the rule that would allow it."""

    verb: str
    kind: Kind | None = None
    namespace: str | None = None
    subresource: str = ""

    def __str__(self) -> str:
        resource = self._resource or "this"
        return f"{self.verb} {resource}" + (f" in namespace {self.namespace}" if self.namespace else "")

    @property
    def _resource(self) -> str:
        if self.kind is None:
            return ""
        return self.kind.plural + (f"/{self.subresource}" if self.subresource else "")

    def rule(self, context: str) -> str:
        """The line to add to a Role."""
        if self.kind is None:
            return f"Try: kubectl --context {context} auth can-i --list"
        role = f"a Role in {self.namespace}" if self.namespace else "a ClusterRole"
        # An apply of what is not there yet is a create; a WebSocket is opened by a GET and means create.
        verbs = {"patch": "create, patch", "connect": "get, create"}.get(self.verb, self.verb)
        return f'Add to {role}: {{apiGroups: ["{self.kind.group}"], resources: [{self._resource}], verbs: [{verbs}]}}'


class _Lost(Exception):
    """No answer; nobody knows whether it was done."""


def _kind_of(an_object: Mapping[str, Any]) -> Kind:
    for kind in vars(kinds).values():
        if isinstance(kind, Kind) and (kind.api_version, kind.name) == (an_object["apiVersion"], an_object["kind"]):
            return kind
    raise KeyError(f"{an_object['apiVersion']} {an_object['kind']}")


def _told(answer: Answer) -> str:
    """The server's own words, cut: nobody wants a whole object in an error."""
    try:
        told = str(answer.json.get("message") or "")
    except (ValueError, AttributeError):
        told = answer.body.decode(errors="replace")
    return " ".join(told.split())[:256]


def _is_of_object(answer: Answer) -> bool:
    """A Status about an object names it; one about a path that is not served does not."""
    with suppress(ValueError, AttributeError):
        return bool((answer.json.get("details") or {}).get("name"))
    return False


def _retry_after(answer: Answer) -> float:
    with suppress(KeyError, ValueError):
        return max(0.0, float(answer.headers["retry-after"]))
    return 0.0


def _one_line(error: object) -> str:
    return " ".join(str(error).split())[:256]
