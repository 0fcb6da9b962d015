"""The model card of a registered version with the verdict of the gate, its lineage, its tags."""

from __future__ import annotations

from dash import dcc, html

from nightjar.errors import ArtifactMissing, RegistryUnavailable, StoreError
from nightjar.explorer.catalogue import Version
from nightjar.explorer.pages.elements import Component, Request, notice, table
from nightjar.files.harmless_text import visible
from nightjar.registry import GATE_TAG, read_model_card, tracking_uri
from nightjar.store import Manifest, schemas


def cards_page(request: Request) -> Component:
    """The card of the version on the right."""
    _, version = request.versions()
    return html.Div(
        [
            html.Section([html.Div(_card(request, version)), _verdict(version)], className="card"),
            html.Aside([_lineage(request, version), _tags(version)]),
        ],
        className="columns wide-left",
    )


def _card(request: Request, version: Version) -> Component:
    registered = version.registered
    if registered is None:
        return [
            html.H1(version.label),
            notice("not registered: a model card is written when a version is registered", "hint"),
        ]
    loaded = request.library.loaded
    uri = tracking_uri(loaded.config.registry, loaded.artifacts_dir)
    try:
        text = read_model_card(uri, loaded.artifacts_dir, registered.run_id)
    except RegistryUnavailable as error:
        return [html.H1(version.label), notice(str(error))]
    if text is None:
        return [
            html.H1(version.label),
            notice(f"the run {registered.run_id} of this version has no model card"),
        ]
    # The Markdown is data: HTML in it is shown as text, and the content security policy blocks
    # images from other hosts.
    return [html.P(version.label, className="quiet"), dcc.Markdown(text, className="markdown")]


def _verdict(version: Version) -> Component:
    """What the gate said last about the version, rule by rule; it comes after the card was made."""
    tags = {} if version.registered is None else version.registered.tags
    if GATE_TAG not in tags:
        return None
    prefix = f"{GATE_TAG}."
    rows = [
        [visible(key.removeprefix(prefix)), visible(said, None)]
        for key, said in sorted(tags.items())
        if key.startswith(prefix)
    ]
    return html.Div(
        [
            html.H2(f"Gate: {visible(tags[GATE_TAG])}"),
            html.P(visible(tags.get(f"{GATE_TAG}_reason", ""), None)),
            table(["rule", "what it found"], rows),
        ]
    )


def _lineage(request: Request, version: Version) -> Component:
    store = request.library.store
    rows: list[list[Component]] = []
    problems = []
    tags = {} if version.registered is None else version.registered.tags
    evaluation = tags.get(f"nightjar.{schemas.EVALUATION}_version")
    wanted = [(schemas.EMBEDDINGS, version.embeddings)]
    if evaluation is not None:
        wanted.insert(0, (schemas.EVALUATION, evaluation))
    seen = set(wanted)
    while wanted:
        stage, number = wanted.pop(0)
        try:
            manifest = store.open(store.ref(stage, number)).manifest
        except ArtifactMissing:
            rows.append([stage, html.Code(number), "no longer kept", "-"])
            continue
        except StoreError as error:
            problems.append(notice(str(error)))
            continue
        rows.append([stage, html.Code(number), *_made(manifest)])
        for parent in manifest.parents.items():
            if parent not in seen:
                seen.add(parent)
                wanted.append(parent)
    head = ["artifact", "version", "made", "git commit"]
    return html.Div([html.H2("Lineage"), table(head, rows), *problems])


def _made(manifest: Manifest) -> tuple[str, Component]:
    commit = html.Code(manifest.git_commit[:10]) if manifest.git_commit else "-"
    return manifest.created_at[:16].replace("T", " "), commit


def _tags(version: Version) -> Component:
    if version.registered is None:
        return None
    rows = [
        [visible(key.removeprefix("nightjar.")), visible(value, 300)]
        for key, value in sorted(version.registered.tags.items())
        if not key.startswith(f"{GATE_TAG}.")  # they stand in the verdict
    ]
    return html.Div([html.H2("Tags of the registered version"), table(["tag", "value"], rows)])
