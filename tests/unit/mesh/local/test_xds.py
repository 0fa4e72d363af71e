"""Are resources written in an order that loses no request, and what if a proxy refuses them? The proxy here only reads files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from chaos.envoy.configuration import Configuration
from chaos.errors import MeshFailure
from chaos.mesh.local import xds
from chaos.mesh.local.xds import CLUSTERS, LISTENERS, Change, Subscription, deliver


class Reader:
    """Stands where an Envoy's admin interface is: takes each file as it is asked, refuses resources named `bad`.

    It watches the routes `http_proxy`, and those that its listeners name; a listener whose routes have no file is refused.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.proxy = f"sidecar {folder.name}"
        self.taken: list[tuple[str, list[str]]] = []
        self._watched = ["cds.json", "lds.json", "rds.http_proxy.json"]
        self._versions: dict[str, str] = {}
        self._refused: dict[str, str] = {}

    def texts(self, name_regex: str) -> Mapping[str, str]:
        self._read()
        file = self._file(name_regex)
        return {"version_text": self._versions.get(file, "")} if file in self._watched else {}

    def counters(self, name_regex: str) -> dict[str, int]:
        return {"update_rejected": sum(file == self._file(name_regex) for file in self._refused.values())}

    def _file(self, name_regex: str) -> str:
        files = {CLUSTERS.statistics: "cds.json", LISTENERS.statistics: "lds.json"}
        statistics = name_regex.removeprefix("^").rsplit("\\.", 1)[0]
        return files.get(statistics) or f"rds.{statistics.partition('.rds')[2][2:]}.json".replace("\\", "")

    def _read(self) -> None:
        for file in self._watched:
            if (self._folder / file).exists():
                self._take(file, json.loads((self._folder / file).read_text()))

    def _take(self, file: str, update: Mapping[str, Any]) -> None:
        version, names = update["version_info"], [r["name"] for r in update["resources"]]
        if version in self._refused or version == self._versions.get(file):
            return
        routes = [f"rds.{r['routes']}.json" for r in update["resources"] if "routes" in r]
        if "bad" in names or not all((self._folder / named).exists() for named in routes):
            self._refused[version] = file
            with (self._folder / "envoy.log").open("a") as log:
                log.write(
                    "[2026-01-01 00:00:00.000][1][warning] Filesystem config update rejected: bad: no good\n[2026-01-01 later\n"
                )
            return
        self._versions[file] = version
        self.taken.append((file.removesuffix(".json").removesuffix(".http_proxy"), names))
        if file == "lds.json":
            self._watched = [*self._watched[:3], *routes]


def subscription(folder: Path) -> tuple[Reader, Subscription]:
    folder.mkdir(exist_ok=True)
    (folder / "envoy.log").touch()
    reader = Reader(folder)
    return reader, Subscription(reader, folder, folder / "envoy.log")  # type: ignore[arg-type]


def configuration(*, clusters: str = "", listeners: str = "", routes: str = "first") -> Configuration:
    def named(text: str) -> tuple[dict[str, Any], ...]:
        return tuple({"name": name} for name in text.split())

    return Configuration(
        clusters=named(clusters), listeners=named(listeners), routes=({"name": "http_proxy", "virtual_hosts": [routes]},)
    )


PLAIN = configuration(clusters="c", listeners="l")
STAGED = configuration(clusters="c ours", listeners="l ours", routes="second")


def test_on_the_way_in_clusters_come_before_listeners_before_routes(tmp_path: Path) -> None:
    reader, files = subscription(tmp_path)

    deliver([Change(files, PLAIN, STAGED)])

    assert reader.taken == [("cds", ["c", "ours"]), ("lds", ["l", "ours"]), ("rds", ["http_proxy"])]


def test_on_the_way_out_it_is_the_other_way_round(tmp_path: Path) -> None:
    reader, files = subscription(tmp_path)

    deliver([Change(files, STAGED, PLAIN)])

    assert reader.taken == [("rds", ["http_proxy"]), ("lds", ["l"]), ("cds", ["c"])]


def test_when_one_path_replaces_another_both_stand_while_the_route_moves(tmp_path: Path) -> None:
    reader, files = subscription(tmp_path)
    other = configuration(clusters="c other", listeners="l other", routes="third")

    deliver([Change(files, STAGED, other)])

    both = [("cds", ["c", "other", "ours"]), ("lds", ["l", "other", "ours"])]
    assert reader.taken == [*both, ("rds", ["http_proxy"]), ("lds", ["l", "other"]), ("cds", ["c", "other"])]


def test_only_what_changes_is_written_whatever_its_order(tmp_path: Path) -> None:
    reader, files = subscription(tmp_path)
    turned = configuration(clusters="ours c", listeners="ours l", routes="third")

    deliver([Change(files, STAGED, turned)])

    assert reader.taken == [("rds", ["http_proxy"])]


WORSE = configuration(clusters="c", listeners="l bad", routes="second")
REFUSED = r"^sidecar 2 refused its listeners \(.*lds.json; new: l, bad\): bad: no good$"


def test_when_one_proxy_refuses_the_others_stop(tmp_path: Path) -> None:
    (first, one), (second, two) = subscription(tmp_path / "1"), subscription(tmp_path / "2")

    with pytest.raises(MeshFailure, match=REFUSED):
        deliver([Change(one, PLAIN, STAGED), Change(two, PLAIN, WORSE)])

    assert first.taken == [("cds", ["c", "ours"]), ("lds", ["l", "ours"])]
    assert second.taken == []


def test_an_undo_goes_on_with_the_others(tmp_path: Path) -> None:
    (first, one), (second, two) = subscription(tmp_path / "1"), subscription(tmp_path / "2")

    with pytest.raises(MeshFailure, match=REFUSED):
        deliver([Change(one, STAGED, PLAIN), Change(two, PLAIN, WORSE)], finish=True)

    assert first.taken == [("rds", ["http_proxy"]), ("lds", ["l"]), ("cds", ["c"])]
    assert second.taken == []


def test_where_nobody_knows_what_a_proxy_has_everything_is_written_routes_first(tmp_path: Path) -> None:
    reader, files = subscription(tmp_path)

    deliver([Change(files, None, PLAIN)])

    assert reader.taken == [("rds", ["http_proxy"]), ("lds", ["l"]), ("cds", ["c"])]


def test_every_proxy_that_fails_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xds, "CONFIRMED_WITHIN", 0.01)
    monkeypatch.setattr(Reader, "_read", lambda _: None)
    (_, one), (_, two) = subscription(tmp_path / "1"), subscription(tmp_path / "2")
    turned = configuration(clusters="c", listeners="l", routes="second")

    with pytest.raises(MeshFailure, match=r"sidecar 1 did not take within 0.01 s its routes") as failure:
        deliver([Change(one, PLAIN, turned), Change(two, PLAIN, turned)])

    assert failure.value.__notes__[0].startswith("sidecar 2 did not take")


def test_a_folder_that_is_gone_is_reported(tmp_path: Path) -> None:
    _, files = subscription(tmp_path / "1")
    (tmp_path / "1" / "envoy.log").unlink()
    (tmp_path / "1").rmdir()

    with pytest.raises(
        MeshFailure, match=r"rds\.http_proxy\.json cannot be written: No such file or directory; sidecar 1 keeps what it has"
    ):
        deliver([Change(files, PLAIN, configuration(clusters="c", listeners="l", routes="second"))])


def ports(*numbers: int) -> Configuration:
    """What a gateway has that serves these."""
    listeners = tuple({"name": f"0.0.0.0_{number}", "routes": f"http.{number}"} for number in numbers)
    return Configuration(listeners=listeners, routes=tuple({"name": f"http.{number}"} for number in numbers))


def test_routes_of_a_new_port_are_there_before_its_listener_and_confirmed_behind_it(tmp_path: Path) -> None:
    reader, files = subscription(tmp_path)
    deliver([Change(files, Configuration(), ports(8080))])
    reader.taken.clear()

    deliver([Change(files, ports(8080), ports(8080, 8081))])

    assert reader.taken == [("lds", ["0.0.0.0_8080", "0.0.0.0_8081"]), ("rds.http.8081", ["http.8081"])]


def test_nobody_waits_for_routes_that_no_listener_names(tmp_path: Path) -> None:
    reader, files = subscription(tmp_path)

    deliver([Change(files, None, ports(8080))])
    deliver([Change(files, ports(8080), Configuration())])

    assert reader.taken == [("lds", ["0.0.0.0_8080"]), ("cds", []), ("rds.http.8080", ["http.8080"]), ("lds", [])]
