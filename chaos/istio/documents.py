"""What do the files say? Reads Kubernetes and Istio manifests as people write them and keeps where everything stood.

Multi-document YAML, JSON, `kind: List`, comments, any apiVersion; folders are read recursively in sorted order. Every
object keeps its file and the line of each key, so that whoever finds something wrong later (`world`, `validate`,
`analyze`, the translation) can name the place. `world` comes next: it indexes the objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from chaos.errors import ManifestError

PathInside = tuple[str | int, ...]
SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Document:
    """One Kubernetes object with the place it was read from."""

    raw: Mapping[str, Any]
    file: Path
    lines: Mapping[PathInside, int] = field(repr=False)

    @property
    def kind(self) -> str:
        return str(self.raw.get("kind", ""))

    @property
    def api_version(self) -> str:
        return str(self.raw.get("apiVersion", ""))

    @property
    def group(self) -> str:
        """API group without version: `networking.istio.io`; empty for the core group."""
        group, slash, _ = self.api_version.rpartition("/")
        return group if slash else ""

    @property
    def metadata(self) -> Mapping[str, Any]:
        return self.raw.get("metadata") or {}

    @property
    def name(self) -> str:
        return str(self.metadata.get("name", ""))

    @property
    def namespace(self) -> str:
        """`default` where the manifest names none, as kubectl does."""
        return str(self.metadata.get("namespace") or "default")

    @property
    def spec(self) -> Mapping[str, Any]:
        return self.raw.get("spec") or {}

    @property
    def origin(self) -> str:
        """As istioctl names it: `VirtualService default/ratings`."""
        return f"{self.kind} {self.namespace}/{self.name}"

    @property
    def line(self) -> int:
        return self.lines.get((), 1)

    def line_of(self, *path: str | int) -> int:
        """Line of the key at `path`, or of the nearest enclosing one that exists."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def place(self, *path: str | int) -> str:
        """`file:line: VirtualService default/ratings: spec.http[0].timeout`, the head of an error message."""
        inside = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).lstrip(".")
        return f"{self.file}:{self.line_of(*path)}: {self.origin}" + (f": {inside}" if inside else "")


def read(paths: Iterable[Path | str]) -> list[Document]:
    """Every object in the files and folders, in the order given. Raises ManifestError with file and line."""
    documents: list[Document] = []
    for path in map(Path, paths):
        for file in _files(path):
            documents.extend(read_text(_text(file), file))
    return documents


def read_text(text: str, file: Path) -> Iterator[Document]:
    """Every object in one text; `file` is what messages call it."""
    for raw, lines in positioned(text, file):
        if raw is None:
            continue
        if not isinstance(raw, dict):
            raise ManifestError(f"{file}:{lines.get((), 1)}: a manifest is a mapping with apiVersion and kind, not {_shape(raw)}")
        yield from _objects(raw, lines, file)


def positioned(text: str, file: Path) -> Iterator[tuple[Any, dict[PathInside, int]]]:
    """(value, line of every path) per YAML document of `text`. Raises ManifestError where it does not parse."""
    try:
        loader = _Loader(text)
        while loader.check_node():
            node = loader.get_node()
            lines: dict[PathInside, int] = {}
            _note_lines(node, (), lines)
            yield loader.construct_document(node), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ManifestError(f"{file}:{line}: not valid YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise ManifestError(f"{file}: not valid YAML: {error}") from error


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # libyaml where the wheel has it: ten times faster
    """Safe loading that refuses duplicate keys, which YAML forbids and PyYAML silently accepts."""


def _mapping_without_duplicates(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    loader.flatten_mapping(node)
    seen: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = _key(loader.construct_object(key_node, deep=True))
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", key_node.start_mark)
        seen[key] = loader.construct_object(value_node, deep=True)
    return seen


def _key(value: object) -> str:
    """Keys are texts in JSON, which is what Kubernetes makes of a manifest: `5:` is "5", `true:` is "true"."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def _timestamp_as_text(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> str:
    # Kubernetes reads manifests as JSON, which has no timestamps: creationTimestamp stays text.
    return str(loader.construct_scalar(node))


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping_without_duplicates)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _timestamp_as_text)


def _note_lines(node: yaml.Node | None, path: PathInside, lines: dict[PathInside, int]) -> None:
    if node is None:
        return
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inside = (*path, str(key.value))
            lines[inside] = key.start_mark.line + 1
            _note_lines(value, inside, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _note_lines(item, (*path, index), lines)


def _objects(raw: dict[str, Any], lines: dict[PathInside, int], file: Path) -> Iterator[Document]:
    kind = raw.get("kind")
    if not isinstance(kind, str) or not isinstance(raw.get("apiVersion"), str):
        raise ManifestError(f"{file}:{lines.get((), 1)}: not a Kubernetes object: apiVersion and kind are both needed")
    if kind == "List" or (kind.endswith("List") and isinstance(raw.get("items"), list)):
        for index, item in enumerate(raw.get("items") or []):
            if not isinstance(item, dict):
                raise ManifestError(
                    f"{file}:{lines.get(('items', index), 1)}: items[{index}] of a List is {_shape(item)}, not an object"
                )
            yield from _objects(item, _below(lines, ("items", index)), file)
        return
    if not isinstance(raw.get("metadata") or {}, dict):
        raise ManifestError(f"{file}:{lines.get(('metadata',), 1)}: metadata is {_shape(raw['metadata'])}, not a mapping")
    yield Document(raw=raw, file=file, lines=lines)


def _below(lines: Mapping[PathInside, int], head: PathInside) -> dict[PathInside, int]:
    return {path[len(head) :]: line for path, line in lines.items() if path[: len(head)] == head}


def _files(path: Path) -> Sequence[Path]:
    if path.is_dir():
        return sorted(p for p in path.rglob("*") if p.suffix in SUFFIXES and p.is_file())
    if not path.exists():
        raise ManifestError(f"{path}: no such file or folder")
    return [path]


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{file}: cannot be read: {error}") from error


def _shape(value: object) -> str:
    return {list: "a list", str: "a text", int: "a number", float: "a number", bool: "true or false", type(None): "empty"}.get(
        type(value), type(value).__name__
    )
