"""Manifests as people write them."""

from pathlib import Path

import pytest

from chaos.errors import ManifestError
from chaos.istio.documents import read, read_text

SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n"
FILE = Path("a.yaml")


def names(text: str) -> list[str]:
    return [document.origin for document in read_text(text, FILE)]


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        (SERVICE, ["Service default/a"]),
        (
            f"# first\n---\n{SERVICE}---\n---\n# nothing\n---\n{SERVICE.replace('a}', 'b, namespace: shop}')}",
            ["Service default/a", "Service shop/b"],
        ),
        ('{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}}', ["Service default/a"]),
        ("apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Service, metadata: {name: a}}\n", ["Service default/a"]),
        (
            "apiVersion: v1\nkind: ServiceList\nitems:\n- {apiVersion: v1, kind: Service, metadata: {name: a}}\n",
            ["Service default/a"],
        ),
        ("apiVersion: example.com/v1\nkind: Whatever\nmetadata: {name: a}\nspec: [1]\n", ["Whatever default/a"]),
        ("", []),
        ("---\n", []),
    ],
    ids=["one", "several", "json", "list", "typed-list", "unknown-kind", "empty", "nothing"],
)
def test_every_object_is_read(text: str, origins: list[str]) -> None:
    assert names(text) == origins


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha3"])
def test_versions_are_of_one_group(version: str) -> None:
    (document,) = read_text(f"apiVersion: networking.istio.io/{version}\nkind: VirtualService\nmetadata: {{name: a}}\n", FILE)

    assert (document.group, document.api_version) == ("networking.istio.io", f"networking.istio.io/{version}")


def test_a_place_names_file_line_object_and_path() -> None:
    (document,) = read_text(
        "# comment\napiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  ports:\n  - port: 80\n    name: http\n", FILE
    )

    assert document.place("spec", "ports", 0, "name") == "a.yaml:8: Service default/a: spec.ports[0].name"
    assert document.place("spec", "ports", 0, "absent") == "a.yaml:7: Service default/a: spec.ports[0].absent"
    assert document.line == 2


def test_lines_inside_a_list_are_those_of_the_file() -> None:
    (document,) = read_text(
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata:\n    name: a\n", FILE
    )

    assert document.line_of("metadata", "name") == 7


def test_keys_and_timestamps_are_texts_as_in_json() -> None:
    (document,) = read_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, creationTimestamp: 2026-11-23T10:00:00Z}\ndata: {5: five, true: yes, null: none}\n",
        FILE,
    )

    assert document.metadata["creationTimestamp"] == "2026-11-23T10:00:00Z"
    assert document.raw["data"].keys() == {"5", "true", "null"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [1\n", "a.yaml:2: not valid YAML"),
        ("kind: Service\nkind: Service\n", "a.yaml:2: not valid YAML: the key 'kind' stands twice"),
        ("kind: Service\n", "a.yaml:1: not a Kubernetes object: apiVersion and kind are both needed"),
        ("- 1\n", "a.yaml:1: a manifest is a mapping with apiVersion and kind, not a list"),
        ("just text\n", "not a text"),
        ("apiVersion: v1\nkind: List\nitems: [1]\n", "a.yaml:3: items[0] of a List is a number"),
        ("apiVersion: v1\nkind: Service\nmetadata: [a]\n", "a.yaml:3: metadata is a list, not a mapping"),
        ("a: !!python/object:os.system {}\n", "a.yaml:1: not valid YAML"),
    ],
)
def test_what_is_no_manifest_is_told_with_file_and_line(text: str, says: str) -> None:
    with pytest.raises(ManifestError) as refused:
        names(text)

    assert says in str(refused.value)


def test_folders_are_read_whole_in_order(tmp_path: Path) -> None:
    for name in ("b/z.yml", "a.yaml", "b/c.json", "README.md"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(SERVICE.replace("name: a", f"name: {file.stem}"))

    assert [document.name for document in read([tmp_path])] == ["a", "c", "z"]
    with pytest.raises(ManifestError, match="no such file or folder"):
        read([tmp_path / "nowhere"])


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ManifestError, match="cannot be read"):
        read([file])
