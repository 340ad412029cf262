"""Write the generated files of the chart: schema of `config:`, dashboard, alert rules, table of
values.

python charts/generate.py    (the table needs readme-generator, which .ci/install installs)
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from watcher.configuration import schema

ROOT = Path(__file__).parents[1]
CHART = ROOT / "charts/watcher"
COPIES = ("config/grafana/watcher.json", "config/prometheus/watcher-rules.yaml")

_NOISE = frozenset({"title", "default", "description"})

Json = dict[str, Any]

_PLAIN_URL: Json = {
    "type": "string",
    "pattern": "^[^@?#]*$",
    "description": "Without a password or a query, which may be secrets: those belong to url_file.",
}


def _secret(shape: Mapping[str, Any]) -> bool:
    """Return whether a value of this schema is or contains a secret."""
    within = [shape.get("items"), shape.get("additionalProperties"), *shape.get("anyOf", ())]
    return any(isinstance(one, Mapping) and one.get("writeOnly") for one in (shape, *within))


def _without_secrets(shape: Any, kind: str | None = None) -> Any:
    """Return the schema without titles, and without keys that would put a secret into a config map.

    A webhook's URL is allowed there, without a password or a query; the URLs of Slack and of the
    heartbeat are secrets. Of a value that is a secret or the file of one, the file remains.
    """
    if isinstance(shape, list):
        return [
            _without_secrets(one)
            for one in shape
            if not (isinstance(one, Mapping) and one.get("writeOnly"))
        ]
    if not isinstance(shape, dict):
        return shape
    properties = shape.get("properties", {})
    kind = properties.get("type", {}).get("const", kind)
    lean = {
        name: _without_secrets(one)
        for name, one in shape.items()
        if name not in {*_NOISE, "properties"}
    }
    if properties:
        lean["properties"] = {
            name: _PLAIN_URL if name == "url" and kind == "webhook" else _without_secrets(one)
            for name, one in properties.items()
            if not _secret(one) or (name == "url" and kind == "webhook")
        }
    return lean


def _by_type(kinds: list[Json]) -> Json:
    """Return the shape of one of several kinds, so that what is wrong is said of the kind that was
    meant.
    """
    names = [kind["properties"]["type"]["const"] for kind in kinds]
    return {
        "type": "object",
        "required": ["name", "type"],
        "properties": {"type": {"enum": names}},
        "allOf": [
            {"if": {"properties": {"type": {"const": name}}}, "then": kind}
            for name, kind in zip(names, kinds, strict=True)
        ],
    }


def _source(kinds: list[Json]) -> Json:
    """Return the shape of a source: without a type it is Mixpeek's, or with a preset any API's."""
    by_name = {kind["properties"]["type"]["const"]: kind for kind in kinds}
    of_type = {"required": ["type"], "properties": {"type": {"const": "http"}}}
    return {
        "type": "object",
        "properties": {"type": {"enum": sorted(by_name)}},
        "if": {"anyOf": [of_type, {"required": ["preset"]}]},
        "then": by_name["http"],
        "else": by_name["mixpeek"],
    }


def config_schema() -> Json:
    """Return the schema of `config:`: the daemon's own, without secrets, in JSON Schema's draft
    7.
    """
    shape: Json = _without_secrets(schema.schema())
    del shape["$schema"]
    for name, shape_of in (("sources", _source), ("channels", _by_type)):
        items = shape["properties"][name]["items"]
        shape["properties"][name]["items"] = shape_of(items["anyOf"])
    return shape


def values_schema() -> Json:
    """Return the schema of all values: what is written by hand, with `config` brought up to
    date.
    """
    shape: Json = json.loads((CHART / "values.schema.json").read_text())
    shape["properties"]["config"] = config_schema()
    return shape


def write_table(readme: Path) -> None:
    """Write the table of values into `readme`."""
    generator = (
        shutil.which("readme-generator", path=str(ROOT / ".tools/bin")) or "readme-generator"
    )
    subprocess.run(  # noqa: S603  # our own files
        [generator, "--values", CHART / "values.yaml", "--readme", readme],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def main() -> None:
    """Write everything."""
    for name in COPIES:
        shutil.copy(ROOT / name, CHART / "files")
    (CHART / "values.schema.json").write_text(json.dumps(values_schema(), indent=2) + "\n")
    write_table(CHART / "README.md")


if __name__ == "__main__":
    sys.exit(main())
