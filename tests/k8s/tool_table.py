# tool_table.py - what a tool makes of a container's arguments and environment, by its own --print-config.
# SPDX-License-Identifier: Apache-2.0
import functools
import os
import re
import subprocess
import tempfile

from stack import BIN, SECRET

DURATION = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}


class Refused(Exception):
    """The tool does not start so."""


@functools.cache
def print_config(command, environment):
    """Option -> (value, where it is from)."""
    with tempfile.NamedTemporaryFile("w", suffix=".secret") as secret:
        secret.write(SECRET)
        secret.flush()
        variables = {name: secret.name if name == "VOTE_JWT_SECRET_FILE" else value for name, value in environment}
        run = subprocess.run([os.path.join(BIN, command[0]), *command[1:], "--print-config"], env=variables,
                             capture_output=True, text=True, timeout=30)
    if run.returncode != 0:
        raise Refused(run.stderr.strip())
    found = {}
    for line in run.stdout.splitlines():
        match = re.fullmatch(r"([a-z-]+)=(.*)  # (\w+)", line)
        if match:
            found[match[1]] = (match[2], match[3])
    return found


def config_of(manifests, container):
    command = (*container["command"], *container.get("args", []))
    return print_config(command, tuple(sorted(manifests.environment(container).items())))


def is_read(config, variable):
    """Whether the tool says that it took the value from that variable."""
    option = variable.removeprefix("VOTE_").lower().replace("_", "-")
    return config.get(option, config.get(option.removesuffix("-file"), ("", "unset")))[1] in ("environment", "file", "flag")


def seconds(text):
    if text == "0":
        return 0
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h)", text).groups()
    return int(number) * DURATION[unit]


def port_of(address):
    return int(address.rpartition(":")[2])
