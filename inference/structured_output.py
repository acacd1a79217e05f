"""A chat model that takes response_format and a schema come in; a Runnable that answers in it goes out."""

import json
from operator import itemgetter
from typing import Any

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.outputs import Generation
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import BaseModel


def _refuse_cut(result: list[Generation]) -> None:
    # langchain-core's parsers complete an answer that was cut at max_tokens by guessing, without a word.
    try:
        json.loads(result[0].text, strict=False)  # the grammar lets a line end into a string
    except ValueError as error:
        remedy = "Raise max_tokens, or bound the schema's strings and arrays."
        raise OutputParserException(f"The JSON is not whole: {error}. {remedy}", result[0].text) from error


class WholeJson(JsonOutputParser):
    """Parse an answer to a dict; refuse one that is not whole, except while it streams."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Return the dict; raise OutputParserException."""
        if not partial:
            _refuse_cut(result)
        return super().parse_result(result, partial=partial)


class WholePydantic(PydanticOutputParser[Any]):
    """Parse an answer to a pydantic object; refuse one that is not whole, except while it streams."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Return the object; raise OutputParserException."""
        if not partial:
            _refuse_cut(result)
        return super().parse_result(result, partial=partial)


def build_structured(model: BaseChatModel, schema: dict[str, Any] | type, include_raw: bool) -> Runnable[Any, Any]:
    """Return a Runnable that gives a pydantic class's object, or a dict; include_raw is as in LangChain."""
    parser: Runnable[Any, Any] = WholeJson()
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        parser = WholePydantic(pydantic_object=schema)
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        wanted = schema.model_json_schema()  # keeps the bounds
    elif isinstance(schema, dict) and schema.get("type") == "object":
        wanted = schema
    else:
        wanted = convert_to_json_schema(schema)
    llm = model.bind(
        response_format={"type": "json_object", "schema": wanted},
        ls_structured_output_format={"kwargs": {"method": "json_schema"}, "schema": wanted},
    )
    if not include_raw:
        return llm | parser
    parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=llm) | parsed.with_fallbacks([failed], exception_key="parsing_error")
