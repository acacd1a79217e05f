"""A JSON schema comes in; the same, so bounded that its answers fit a number of characters, goes out."""

from typing import Any

LONGEST_STRING, SHORTEST_STRING = 300, 16  # characters
MOST_ITEMS = 8  # statements of an answer that are judged
Schema = dict[str, Any]


def bounded(schema: Schema, room: int, *, items: int = 0) -> Schema:
    """Return the schema, references resolved, whose longest answer has at most `room` characters.

    A string gets a maxLength, the same for all; a list at least one and at most MOST_ITEMS items, or exactly `items`;
    an integer, which in the metrics of ragas is always a verdict, is 0 or 1. Raise ValueError where the room is too
    small, and for kinds of values that an answer of a judge does not have.
    """
    fixed, with_strings = (longest(_bound(schema, schema, length, items)) for length in (0, 1))
    strings = with_strings - fixed
    length = min(LONGEST_STRING, (room - fixed) // strings) if strings else 0
    if room < fixed or (strings and length < SHORTEST_STRING):
        raise ValueError(f"{room} characters are too few for an answer")
    return _bound(schema, schema, length, items)


def _bound(part: Schema, whole: Schema, length: int, items: int) -> Schema:
    if "$ref" in part:
        return _bound(whole["$defs"][part["$ref"].removeprefix("#/$defs/")], whole, length, items)
    match part.get("type"):
        case "object":
            fields = {name: _bound(value, whole, length, items) for name, value in part["properties"].items()}
            return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}
        case "array":
            least, most = (items, items) if items else (1, MOST_ITEMS)
            each = _bound(part["items"], whole, length, items)
            return {"type": "array", "items": each, "minItems": least, "maxItems": most}
        case "string":
            return {"type": "string", "maxLength": length}
        case "integer":
            return {"type": "integer", "enum": [0, 1]}
        case kind:
            raise ValueError(f"a judge does not answer in values of type {kind}")


def longest(schema: Schema) -> int:
    """Return the most characters that an answer in a bounded schema has, a space after every token of JSON included."""
    match schema["type"]:
        case "object":
            fields = schema["properties"].items()
            return 4 + sum(len(f'"{name}" : , ') + longest(value) for name, value in fields)
        case "array":
            return 4 + int(schema["maxItems"]) * (2 + longest(schema["items"]))
        case "string":
            return int(schema["maxLength"]) + 3
        case _:
            return 2
