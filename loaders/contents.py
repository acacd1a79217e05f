"""A catalog and a filter come in; whole documents, passage by passage in the order of their texts, go out."""

from langchain_core.documents import Document

from loaders.catalog import PLACE, Catalog
from loaders.filters import Filter, allowed_sources


def sources_to_read(catalog: Catalog, where: Filter | None) -> list[str]:
    """Return the sources that the filter allows and that have passages, by name."""
    held = catalog.chunk_counts()
    return sorted(held) if where is None else [source for source in allowed_sources(catalog, where) if source in held]


def passages_of(catalog: Catalog, source: str) -> list[Document]:
    """Return all passages of a source in the order of its text, those repeated elsewhere among them.

    Metadata: the place, and `searched_as`, the id under which the keyword index knows the passage's text.
    """
    columns = ", ".join(f"c.{column}" for column in PLACE)
    rows = catalog.rows(
        f"SELECT c.id, c.text, coalesce(k.id, c.id), {columns} FROM chunks c"  # noqa: S608
        " LEFT JOIN chunks k ON k.rowid = c.kept_by WHERE c.source = ? ORDER BY c.position",
        (source,),
    )
    return [
        Document(id=id_, page_content=text, metadata=dict(zip(PLACE, place, strict=True)) | {"searched_as": searched})
        for id_, text, searched, *place in rows
    ]
