# asyncapi.py - is what travels what pipelines/asyncapi.json says? SPDX-License-Identifier: Apache-2.0
import json
import os

import jsonschema

from stack import ROOT

with open(os.path.join(ROOT, "pipelines", "asyncapi.json")) as file:
    DOCUMENT = json.load(file)
MESSAGES = DOCUMENT["components"]["messages"]


def schema(name, part="payload"):
    return {**MESSAGES[name][part], "components": DOCUMENT["components"]}


def fits(value, name, part="payload"):
    return jsonschema.Draft202012Validator(schema(name, part), format_checker=jsonschema.FormatChecker()).is_valid(value)


def check(value, name, part="payload"):
    jsonschema.validate(value, schema(name, part), jsonschema.Draft202012Validator, format_checker=jsonschema.FormatChecker())


def messages_of(channel):
    """Names in the channel by the name that the message has on the wire."""
    found = {}
    for key in DOCUMENT["channels"][channel]["messages"]:
        found.setdefault(MESSAGES[key]["name"], []).append(key)
    return found


def check_record(topic, record):
    """A record of vote.requests or vote.results; its message by the CloudEvents type."""
    headers = {name: value.decode() for name, value in record.headers()}
    (name,) = messages_of(topic)[headers["ce_type"]]
    check(headers, name, "headers")
    check(json.loads(record.value()), name)
    return headers["ce_type"]


def check_event(event, payload):
    """What a browser was told; `snapshot` is a project's part of an answer to subscribe."""
    if event == "snapshot":
        payload = {"ok": True, "projects": {payload["project_id"]: {k: v for k, v in payload.items() if k != "project_id"}}}
        event = "ack of subscribe"
    names = messages_of("socket")[event]
    assert any(fits(payload, name) for name in names), (event, payload)
