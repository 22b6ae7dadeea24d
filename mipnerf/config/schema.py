"""The JSON schema of the configuration files, from the models that check them."""

from typing import Any

from mipnerf.config import SuiteConfig


def json_schema() -> dict[str, Any]:
    """The schema of the YAML files, for editors and for Snakemake's validation."""
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return dialect | _without_defaults(SuiteConfig.model_json_schema())


def _without_defaults(node: Any) -> Any:
    """`node` without schema defaults: Snakemake would write them into the configuration."""
    if isinstance(node, dict):
        is_schema = "type" in node or "$ref" in node or "anyOf" in node or "allOf" in node
        return {key: _without_defaults(value) for key, value in node.items() if not (is_schema and key == "default")}
    return [_without_defaults(item) for item in node] if isinstance(node, list) else node
