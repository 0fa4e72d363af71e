"""What does a test see of a run? The objects behind the fixtures `mesh`, `experiment`, `inject` and `load`.

They are the narrow face of `Run` and `Experiment`: everything a test may ask for, and nothing of what the run needs itself.
Front ends (the pytest plugin) hand them out; their calls end in `chaos.run.experiment`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from chaos.injection.callers import ends
from chaos.model.edge import Edge
from chaos.model.fault import Fault
from chaos.model.inventory import Pod, Service
from chaos.model.patience import EffectiveTimeout
from chaos.run.loading import LoadRequest, LocustFile, planner
from chaos.run.patience import measured

if TYPE_CHECKING:
    from chaos.model.injection import Traffic as Reach
    from chaos.run.experiment import Experiment
    from chaos.run.injecting import Injection
    from chaos.run.run import Run
    from chaos.run.traffic import Traffic


class MeshView:
    """The mesh under test (fixture `mesh`): who is there, and edges as values."""

    def __init__(self, run: Run) -> None:
        self._run = run

    @property
    def kind(self) -> str:
        """`local`, `cluster` or the name of a fake."""
        return self._run.mesh.identity.kind

    @property
    def name(self) -> str:
        return self._run.mesh.identity.name

    @property
    def services(self) -> tuple[Service, ...]:
        """Every service of the mesh."""
        return tuple(self._run.mesh.services())

    @property
    def pods(self) -> tuple[Pod, ...]:
        """Every instance there is now."""
        return tuple(self._run.mesh.pods())

    def edge(self, text: str | Edge) -> Edge:
        """`"productpage -> reviews"` as a value; both ends exist. Raises InvalidValue, or Refused where nothing can be seen."""
        mesh = self._run.mesh
        return ends(Edge.of(text), mesh.services(), mesh.pods(), mesh.default_namespace).edge

    def effective_timeout(self, edge: str | Edge, traffic: Traffic) -> EffectiveTimeout:
        """How long callers on an edge really wait: delays their calls once, under load that flows, and sees who gives up when.

        Raises Inconclusive where fewer than 5 calls show it, ExperimentError where the load itself would give up first.
        """
        return measured(Edge.of(edge), traffic)

    def __repr__(self) -> str:
        return f"<mesh {self.kind} {self.name}>"


class ExperimentView:
    """The experiment a test is (fixture `experiment`)."""

    def __init__(self, experiment: Experiment, run: str) -> None:
        self._experiment = experiment
        self.name = experiment.name
        """The test's node id."""
        self.run = run
        """The run's id: twelve digits that every trace id and every object of this run begin with."""

    def note(self, text: str) -> None:
        """Something for the report that no number says."""
        self._experiment.note(text)

    def __repr__(self) -> str:
        return f"<experiment {self.name} of run {self.run}>"


class Inject:
    """Faults on edges (fixture `inject`): `with inject(delay("2s"), "productpage -> reviews") as injection:`."""

    def __init__(self, experiment: Experiment) -> None:
        self._experiment = experiment

    def __call__(
        self,
        fault: Fault,
        edge: str | Edge,
        *,
        at: Literal["auto", "caller", "callee"] = "auto",
        traffic: Reach = "own",
        match: Mapping[str, str] | None = None,
        replicas: int | None = None,
        expires: str | timedelta | None = None,
    ) -> Injection:
        """Prepare an injection; its block switches it on, and nobody needs the block for it to be undone.

        at: `caller` before the caller's router, as a VirtualService fault; `callee` behind it, as if the callee had failed;
            `auto` the callee side where a policy of the edge would act on such a fault, else the caller side.
        traffic: `own` hits what this experiment sends and causes; `all` everybody (the topology has to allow it).
        match: headers, with exact values, that a request must carry as well.
        replicas: so many of the callee's replicas only.
        expires: it ends by itself after so long (default: the topology's `max_duration`).

        Raises InvalidValue, NotAllowed or Refused before anything is touched.
        """
        return self._experiment.inject(fault, edge, at=at, traffic=traffic, match=match, replicas=replicas, expires=expires)

    def __repr__(self) -> str:
        return "<inject>"


class Load:
    """Traffic (fixture `load`): `with load("/productpage", rate="100/s") as traffic:`."""

    def __init__(self, experiment: Experiment, run: Run) -> None:
        self._experiment = experiment
        self._run = run

    def __call__(
        self,
        target: str | LocustFile,
        *,
        rate: str | float | None = None,
        users: int | None = None,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: str | bytes | Mapping[str, Any] | None = None,
        timeout: str | timedelta | None = None,
        observe: str | Edge | Sequence[str | Edge] = (),
        arrivals: Literal["even", "poisson"] = "even",
        own: bool = True,
    ) -> Traffic:
        """Prepare a load; it flows from the beginning of its block to the end, and windows label its requests.

        target: a path on the entry, `http://service:port/path`, or `locustfile("shop.py", user="Shopper")`.
        rate: requests per second whatever the answers do (`"100/s"`); or `users`: so many, each waiting for its answer.
        timeout: how long a request is waited for (default 30 s).
        observe: edges whose calls and attempts are counted, besides those that are injected on.
        own: False sends bystander traffic, which no injection of `traffic="own"` hits.

        Raises InvalidValue or NotAllowed before anything is sent.
        """
        request = LoadRequest(
            target=target,
            rate=rate,
            users=users,
            method=method,
            headers=headers,
            body=body,
            timeout=timeout,
            arrivals=arrivals,
            own=own,
        )
        plan = planner(request, self._run.mesh, self._run.topology)
        return self._experiment.load(plan, str(target), observe)

    def __repr__(self) -> str:
        return "<load>"
