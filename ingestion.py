"""Paths and web addresses come in; the index is brought up to date with them, and a report on the work goes out."""

import json
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from errors import DocumentError, RagError, SettingsError, StoreLocked
from loaders.catalog import Catalog
from loaders.files import absolute
from loaders.generations import (
    CUTTING,
    EMBEDDER,
    check_embedder,
    forget_earlier,
    open_new_generation,
    open_store,
    read_note,
    use_earlier,
)
from loaders.store import Store
from loaders.sync import Problem, Progress, SyncReport, remove_sources, sync
from loaders.watching import watch
from loaders.web.downloads import Downloads, download_pages, forget_pages
from loaders.web.pages import Access
from loaders.web.sitemaps import sitemap_urls
from pipeline import build_embeddings, build_parser, embedder_identity, has_index
from settings import Settings

RETRY = 2.0  # seconds until `follow` tries again what another process or a missing folder prevented
AWAY = "it is not there now; what was indexed of it is kept, and documents remove takes it out"
PAGES = "pages"  # the folder of web pages inside the index directory
ROOTS = "roots"  # the catalog's note of the paths and addresses that were ingested


def ingest(
    settings: Settings,
    targets: Sequence[Path | str] = (),
    *,
    rebuild: bool = False,
    retry_failed: bool = False,
    keep_missing: bool = False,
    on_progress: Progress = lambda done, total, chunks: None,
) -> SyncReport:
    """Make the index hold the files and web pages at `targets`; without any, at all that were ever ingested.

    With `rebuild`, or when files are to be cut otherwise than they were, all of them go into a new index beside the one
    in use, whose place it then takes. Another embedder is refused without `rebuild`: it may be set by mistake, and to
    embed everything again takes long.
    """
    if not (targets or _known_roots(settings)):
        raise DocumentError("ingest", "nothing is ingested", "say what: python main.py ingest PATH")
    with build_parser(settings) as parser:
        cutting = f"{parser.cutting.fingerprint} duplicates {settings.duplicates}"
        identity = embedder_identity(settings, rebuild=rebuild)
        if not rebuild and has_index(settings) and read_note(settings.store, CUTTING) != cutting:
            check_embedder(settings.store, identity)
            rebuild = True
        run = partial(
            _sync,
            settings,
            embeddings=build_embeddings(settings, identity),
            parser=parser,
            retry_failed=retry_failed,
            keep_missing=keep_missing,
            on_progress=on_progress,
        )
        given = [_target(target) for target in targets]
        if not rebuild:
            with open_store(settings.store, identity, write=True, kind=settings.index) as store:
                store.catalog.write_meta(CUTTING, cutting)  # of a new index
                known = roots_of(store.catalog)
                away = [] if given else [root for root in known if not is_address(root) and not Path(root).exists()]
                report = run(store, given or [root for root in known if root not in away])
                report.failed += [Problem(root, AWAY) for root in away]
                _remember(store.catalog, [*known, *given])
                return report
        with open_new_generation(settings.store, identity, kind=settings.index) as (store, old):
            store.catalog.write_meta(CUTTING, cutting)
            roots = [*(roots_of(old) if old else ()), *given]
            same = old is not None and old.read_meta(EMBEDDER) == identity.as_json()
            report = run(store, roots, vectors_from=old if same else None)
            _remember(store.catalog, roots)
            report.rebuilt = True
            return report


def _sync(settings: Settings, store: Store, roots: Sequence[str], **options: Any) -> SyncReport:
    """Bring the pages among the roots to this machine, then all roots into the store."""
    store.vectors.count()  # opens the vector index: where that fails, now is better than after an hour of embedding
    addresses = [root for root in roots if is_address(root)]
    pages = _download(settings, addresses) if addresses else Downloads({}, [])
    lost = {url for url, _ in pages.failed if url not in pages.files}
    everything = set(roots_of(store.catalog)) <= set(roots)  # then a page that nothing names any more is to leave
    report = sync(
        store,
        [Path(root) for root in roots if not is_address(root)],
        pages=pages.files,
        gone=[
            s for s in store.catalog.sources() if is_address(s) and (s in lost or everything) and s not in pages.files
        ],
        duplicates=settings.duplicates,
        keep_vectors_days=settings.keep_vectors_days,
        **options,
    )
    report.failed += [Problem(url, reason) for url, reason in pages.failed if url in lost]
    report.partial += [Problem(url, f"not up to date: {reason}") for url, reason in pages.failed if url not in lost]
    return report


def _download(settings: Settings, addresses: Sequence[str]) -> Downloads:
    if not settings.web:
        raise SettingsError(addresses[0], "web pages are not fetched unless you allow it", "set RAG_WEB=true")
    hosts = (host.strip() for host in settings.web_hosts.split(","))
    access = Access(allow_hosts=frozenset(filter(None, hosts)))
    urls: list[str] = []
    for address in addresses:
        is_map = address.endswith(("/robots.txt", ".xml", ".xml.gz"))
        urls += sitemap_urls(address, access=access) if is_map else [address]
    return download_pages(urls, settings.store / PAGES, access=access)


def remove(settings: Settings, target: str) -> list[str]:
    """Take a file, all files below a folder, or a web page out of the index for good; return their names.

    Earlier generations go too: a rollback would bring it back.
    """
    target = _target(target)
    path, identity = Path(target), embedder_identity(settings)
    with open_store(settings.store, identity, write=True, kind=settings.index) as store:
        sources = [s for s in store.catalog.sources() if s == target or path in Path(s).parents]
        if not sources:
            raise DocumentError(target, "nothing of it is indexed", "main.py documents lists what is")
        remove_sources(store, sources, embeddings=build_embeddings(settings, identity), duplicates=settings.duplicates)
        _remember(store.catalog, [r for r in roots_of(store.catalog) if r != target and path not in Path(r).parents])
    forget_pages(filter(is_address, sources), settings.store / PAGES)
    forget_earlier(settings.store)
    return sources


def roll_back(settings: Settings) -> str:
    """Use the generation before the present one again; return its name."""
    return use_earlier(settings.store)


def rebuild_index(settings: Settings) -> int:
    """Make the vector and the keyword index anew from the catalog; return the number of chunks in them."""
    with open_store(settings.store, write=True, kind=settings.index, rebuild=True) as store:
        return len(store.catalog.chunk_ids())


def roots_of(catalog: Catalog) -> list[str]:
    """Return the paths and addresses that were ingested and not removed since."""
    return list(json.loads(catalog.read_meta(ROOTS) or "[]"))


def _known_roots(settings: Settings) -> list[str]:
    return list(json.loads(read_note(settings.store, ROOTS) or "[]"))


def follow(settings: Settings, targets: Sequence[Path | str] = ()) -> Iterator[SyncReport | RagError]:
    """Ingest, then again whenever something at the targets has changed; yield each report, or what prevented it.

    Web pages are fetched once, at the start. What is prevented is tried again until it succeeds.
    """
    roots = [_target(target) for target in targets] or _known_roots(settings)
    if not roots:
        raise DocumentError("watch", "nothing is ingested", "say what: python main.py watch PATH")
    paths = [Path(root) for root in roots if not is_address(root)]
    changes = watch(paths)  # before the first ingest, so that nothing which changes during it is missed
    yield ingest(settings, roots)
    for _ in changes:
        told = ""
        while True:
            try:
                yield ingest(settings, paths)
                break
            except (StoreLocked, DocumentError) as error:
                if str(error) != told:
                    told = str(error)
                    yield error
                time.sleep(RETRY)


def is_address(target: Path | str) -> bool:
    """Tell a web address from a path."""
    return str(target).startswith(("http://", "https://"))


def _target(target: Path | str) -> str:
    return str(target) if is_address(target) else str(absolute(Path(target).expanduser()))


def _remember(catalog: Catalog, roots: Sequence[str]) -> None:
    catalog.write_meta(ROOTS, json.dumps(sorted(set(roots))))
