# schemas.py - whether an object is what its API has: Kubernetes' own schemas, and those of the CRDs in tests/data.
# SPDX-License-Identifier: Apache-2.0
import functools
import glob
import json
import os

import jsonschema
import yaml

from manifests import tool
from stack import ROOT

DEFINITIONS = "_definitions.json"
CRDS = os.path.join(ROOT, "tests", "data", "crds")


def closed(schema):
    """As the API server with strict validation: a field that the schema does not name is an error."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: closed(value) for key, value in schema.items()}
    if schema.pop("x-kubernetes-int-or-string", False):
        schema.pop("type", None)
    if isinstance(schema.get("properties"), dict) and not schema.pop("x-kubernetes-preserve-unknown-fields", False):
        schema.setdefault("additionalProperties", False)
    return schema


@functools.cache
def custom():
    """(apiVersion, kind) -> schema, of each version that a CRD serves."""
    found = {}
    for file in glob.glob(os.path.join(CRDS, "*.yaml")):
        spec = yaml.safe_load(open(file))["spec"]
        for version in spec["versions"]:
            schema = closed(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object"}
            found[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema
    return found


@functools.cache
def built_in(name):
    """A schema of Kubernetes' own, by file name; None when there is none."""
    file = os.path.join(tool("schemas"), name)
    return json.load(open(file)) if os.path.exists(file) else None


def errors(thing):
    """What is wrong with an object, one line each."""
    api_version, kind = thing["apiVersion"], thing["kind"]
    schema, resolver = custom().get((api_version, kind)), None
    if schema is None:
        group, _, version = api_version.rpartition("/")
        schema = built_in("-".join(filter(None, (kind.lower(), group.split(".")[0], version))) + ".json")
        if schema is None:
            return [f"there is no {kind} in {api_version}"]
        where = "https://kubernetes.io/api/"  # what the schemas are called, and nothing that is fetched
        resolver = jsonschema.RefResolver(where, schema, store={where + DEFINITIONS: built_in(DEFINITIONS)})
    validator = jsonschema.Draft7Validator(schema, resolver=resolver)
    return [f"{kind} {thing['metadata']['name']}: {'.'.join(map(str, error.absolute_path))}: {error.message}"
            for error in validator.iter_errors(thing)]
