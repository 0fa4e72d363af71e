from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.istio.validate.decoding import Decoder, Message, Undecodable, json_name
from chaos.istio.validate.messages import ISTIO
from chaos.istio.validate.types import Types

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
TYPES = Types(
    {
        "Thing": {
            "a_text": "string", "number": "uint32", "maybe": "uint32?", "flag": "bool", "share": "double", "wait": "duration",
            "colour": "Colour", "inner": "Thing", "many": "[]Thing", "by_name": "{}string", "by_port": "{uint32}Thing",
            "left": "string", "right": "string", "anything": "value", "packed": "any", "raw": "bytes", "struct": "struct",
        }
    },
    {"Colour": ("RED", "GREEN")},
    {"Thing": (("left", "right"),)},
    foreign=("far.",),
)  # fmt: skip


def thing(value: Any) -> Message:
    return Decoder(TYPES).message("Thing", value, ("spec",))


@pytest.mark.parametrize(
    ("field", "written", "read"),
    [
        ("number", 5, 5),
        ("number", "6", 6),
        ("number", 5.0, 5),
        ("maybe", 0, 0),
        ("flag", True, True),
        ("share", "0.5", 0.5),
        ("share", 1, 1.0),
        ("wait", "1m30s", timedelta(seconds=90)),
        ("wait", "0s", timedelta(0)),
        ("colour", "GREEN", "GREEN"),
        ("colour", 1, "GREEN"),
        ("colour", 7, "7"),
        ("by_name", {"a": "b"}, {"a": "b"}),
        ("raw", "aGk=", b"hi"),
        ("anything", [1, None], [1, None]),
        ("packed", {"@type": "x/far.Away", "who": "knows"}, {"@type": "x/far.Away", "who": "knows"}),
    ],
)
def test_what_fits(field: str, written: Any, read: Any) -> None:
    assert thing({field: written})[field] == read


@pytest.mark.parametrize(
    ("field", "written", "why"),
    [
        ("a_text", 5, "cannot unmarshal number into Go value of type string"),
        ("a_text", True, "cannot unmarshal bool"),
        ("number", -1, "cannot unmarshal number -1"),
        ("number", 2**32, "cannot unmarshal"),
        ("number", 1.5, "cannot unmarshal number"),
        ("number", "0x5", "cannot unmarshal string"),
        ("number", True, "cannot unmarshal bool"),
        ("flag", "true", "cannot unmarshal string into Go value of type bool"),
        ("share", "half", "cannot unmarshal string"),
        ("wait", 10, "cannot unmarshal number into Go value of type string"),
        ("wait", "10", "bad Duration"),
        ("wait", "1d", "bad Duration"),
        ("wait", "999999999h", "292 years"),
        ("colour", "red", 'unknown value "red" for enum Colour; it knows RED, GREEN'),
        ("inner", "x", "cannot unmarshal string into Go value of type map"),
        ("inner", [], "cannot unmarshal array"),
        ("many", {}, "cannot unmarshal object"),
        ("by_name", {"a": 1}, "cannot unmarshal number"),
        ("by_port", {"http": {}}, "cannot unmarshal string"),
        ("raw", "***", "illegal base64"),
        ("packed", {"who": "knows"}, "doesn't have '@type'"),
        ("packed", {"@type": "x/Unknown"}, "could not resolve Any message type: x/Unknown"),
    ],
)
def test_what_does_not_fit(field: str, written: Any, why: str) -> None:
    with pytest.raises(Undecodable) as refused:
        thing({field: written})
    assert why in refused.value.why
    assert refused.value.path[:2] == ("spec", json_name(field)) or refused.value.path[:2] == ("spec", field)


def test_both_spellings_are_read_and_the_json_name_wins() -> None:
    assert thing({"a_text": "proto"})["a_text"] == "proto"
    assert thing({"a_text": "proto", "aText": "json"})["a_text"] == "json"
    assert thing({"a_text": "proto"}).at("a_text") == ("spec", "a_text")
    assert thing({"aText": "json"}).at("a_text") == ("spec", "aText")


def test_null_is_not_set() -> None:
    assert not thing({"maybe": None}).has("maybe")
    assert thing({"many": [None]})["many"][0]["a_text"] == ""
    assert thing(None).present


def test_of_a_oneof_the_one_declared_last_is_taken() -> None:
    both = thing({"right": "r", "left": "l"})
    assert both.which("left", "right") == "right"


def test_what_is_not_set_is_false_and_can_be_walked_through() -> None:
    empty = thing({})
    assert not empty["inner"]
    assert empty["inner"]["inner"]["many"] == []
    assert empty["inner"]["colour"] == "RED"
    assert empty["maybe"] is None
    assert thing({"inner": {}})["inner"]


def test_unknown_fields_are_collected_not_refused() -> None:
    decoder = Decoder(TYPES)
    decoder.message("Thing", {"many": [{"nmber": 5}]}, ("spec",))
    assert decoder.unknown == [('unknown field "nmber" in Thing', ("spec", "many", 0, "nmber"))]


def test_an_any_of_a_well_known_type_is_wrapped() -> None:
    assert thing({"packed": {"@type": "x/google.protobuf.StringValue", "value": "v"}})["packed"] == "v"
    with pytest.raises(Undecodable, match="doesn't have 'value'"):
        thing({"packed": {"@type": "x/google.protobuf.StringValue"}})


def test_plain_forgets_places() -> None:
    assert thing({"aText": "x", "inner": {"number": "3"}}).plain() == {"a_text": "x", "inner": {"number": 3}}


@pytest.mark.parametrize(
    ("proto", "name"),
    [("per_try_timeout", "perTryTimeout"), ("consecutive_5xx_errors", "consecutive5xxErrors"), ("host", "host")],
)
def test_json_names(proto: str, name: str) -> None:
    assert json_name(proto) == name


@settings(max_examples=30)
@given(st.sampled_from(sorted(["VirtualService", "DestinationRule", "EnvoyFilter", "Telemetry"])), JSON)
def test_any_value_is_read_or_refused(kind: str, value: Any) -> None:
    decoder = Decoder(ISTIO)
    try:
        read = decoder.message(kind, value, ("spec",))
    except Undecodable as error:
        place, told = error.path, error.why
    else:
        place, told = read.path, read.type
    assert place[0] == "spec" and told


def test_every_kind_named_in_istios_messages_exists() -> None:
    names = {"VirtualService", "DestinationRule", "Gateway", "ServiceEntry", "Sidecar", "EnvoyFilter", "Telemetry"}
    for name in names:
        _walk(name, set())


def _walk(name: str, seen: set[str]) -> None:
    for kind in ISTIO.fields(name).values():
        bare = kind.removeprefix("[]").rpartition("}")[2].removesuffix("?")
        if bare[0].isupper() and bare not in ISTIO.enums and bare not in seen:
            assert bare in ISTIO, f"{name} refers to {bare}"
            _walk(bare, seen | {bare})
