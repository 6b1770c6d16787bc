"""The page about the API: the OpenAPI document as HTML, made here, so that it needs no script and nothing from elsewhere."""

import html
from typing import Any

SHAPES_FIRST = ("About", "Status")


def frame(title: str, body: str) -> str:
    """A page."""
    return (f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            f'<title>{html.escape(title)}</title><link rel="stylesheet" href="/api/style.css"></head><body><main>'
            f"<h1>{html.escape(title)}</h1>{body}</main></body></html>")


def _text(text: str) -> str:
    """A sentence; what stands between backticks is code."""
    pieces = html.escape(" ".join(text.split())).split("`")
    return "".join(f"<code>{piece}</code>" if number % 2 else piece for number, piece in enumerate(pieces))


def kind_of(schema: dict[str, Any]) -> str:
    """A schema in a few words, names of shapes as links."""
    if "$ref" in schema:
        name = html.escape(str(schema["$ref"]).rsplit("/", 1)[-1])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(kind_of(item) for item in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"<code>{html.escape(str(item))}</code>" for item in schema["enum"])
    if "const" in schema:
        return f"<code>{html.escape(str(schema['const']))}</code>"
    if schema.get("type") == "array":
        return f"list of {kind_of(schema.get('items', {}))}"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"names with {kind_of(schema['additionalProperties'])}"
    kind = str(schema.get("type", "anything"))
    return html.escape(f"{kind} ({schema['format']})" if "format" in schema else kind)


def _rows(rows: list[tuple[str, str, str]]) -> str:
    return "<table>" + "".join(f'<tr><th scope="row"><code>{html.escape(name)}</code></th><td>{kind}</td><td>{_text(about)}</td></tr>'
                               for name, kind, about in rows) + "</table>"


def _operation(path: str, about: dict[str, Any]) -> str:
    parameters = [(item["name"] + ("" if item.get("required") else "?"), kind_of(item.get("schema", {})),
                   item.get("description") or item.get("schema", {}).get("description", "")) for item in about.get("parameters", [])]
    answers = []
    for status, answer in about.get("responses", {}).items():
        for media, content in (answer.get("content") or {"": {}}).items():
            kind = kind_of(content["schema"]) if content.get("schema") else html.escape(media)
            answers.append((status, kind, answer.get("description", "")))
    anchor = html.escape(about.get("operationId", path))
    return (f'<section id="{anchor}"><h3><code>GET {html.escape(path)}</code></h3><p>{_text(about.get("description", about.get("summary", "")))}</p>'
            f'{"<h4>Parameters</h4>" + _rows(parameters) if parameters else ""}<h4>Answers</h4>{_rows(answers)}</section>')


def _shape(name: str, schema: dict[str, Any]) -> str:
    fields = [(field, kind_of(about), about.get("description", "")) for field, about in schema.get("properties", {}).items()]
    return f'<section id="{html.escape(name)}"><h3>{html.escape(name)}</h3><p>{_text(schema.get("description", ""))}</p>{_rows(fields)}</section>'


def render(document: dict[str, Any]) -> str:
    """The whole page."""
    about, paths = document["info"], document.get("paths", {})
    operations = "".join(_operation(path, methods["get"]) for path, methods in paths.items() if "get" in methods)
    known = document.get("components", {}).get("schemas", {})
    first = [name for name in SHAPES_FIRST if name in known]
    shapes = "".join(_shape(name, known[name]) for name in [*first, *sorted(set(known) - set(first))])
    conventions = ("Times are Unix milliseconds, and `to` is not part of a stretch of time. A figure with bounds is an Interval, of which 95 % hold the "
                   "true number; equal bounds say that it is exact. Rates and changes are fractions. Null is what is not known.")
    return frame(about["title"], f'<p>{_text(about.get("description", ""))}</p><p>{_text(conventions)}</p>'
                 f'<p><a href="/api/openapi.json">OpenAPI document</a> · <a href="/">the board</a></p><h2>Addresses</h2>{operations}<h2>Shapes</h2>{shapes}')
