# test_security.py - pipelines/security.md against the tree: its bounds and tests are there. SPDX-License-Identifier: Apache-2.0
import os
import re

import pytest
from stack import ROOT

PAGE = open(ROOT + "/pipelines/security.md").read()
ROWS = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in PAGE.splitlines()
        if re.match(r"\| .* \| `[^|]*` ?[^|]* \| `[^`]*` \| `tests/[^`]*` \|$", line)]
UNITS = {"MIB": 1024 * 1024}


def source(path):
    return open(os.path.join(ROOT, path)).read()


def constant_of(name, text):
    """The values that the name is given in enums and macros."""
    found = re.findall(rf"\b{name} = ([^,}}]+)[,}}\s]|#define {name} (.+)", text)
    return {eval(first or second, {}, dict(UNITS)) for first, second in found}  # arithmetic of our own sources


def preset_of(flag, text):
    """The presets of the flag, in whatever set it is in."""
    options = re.split(r'\{\.name = ', text)
    return {match[1] for option in options if option.startswith(f'"{flag}"') and (match := re.search(r'\.preset = "([^"]*)"', option))}


def test_the_page_has_all_its_rows():
    assert len(ROWS) > 80
    lines = [line for line in PAGE.splitlines() if line.startswith("| ") and line.count("`tests/") == 1]
    assert len(ROWS) == len([line for line in lines if line.count(" | ") == 3])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_bound_is_in_the_source_with_its_value(row):
    name, value = re.fullmatch(r"`([^`]+)`(?: (\S+))?", row[1]).groups()
    text = source(row[2].strip("`"))
    if name.startswith("--"):
        assert value in preset_of(name[2:], text)
    elif value:
        assert constant_of(name, text) == {int(value)}
    else:
        assert re.search(rf"\b{name}\b", text)


def named_tests():
    return sorted(set(re.findall(r"`(tests/[^`]+)`", PAGE)))


@pytest.mark.parametrize("name", named_tests())
def test_a_test_is_there(name):
    path, _, function = name.partition("::")
    text = source(path)
    registered = rf"\bdef {function}\(|\b(cmocka_unit_test|WITH_\w+)\({function}\)"
    assert not function or re.search(registered, text)


def test_every_fuzz_target_guards_an_input():
    targets = {f"tests/fuzz/{name}" for name in os.listdir(ROOT + "/tests/fuzz") if re.fullmatch(r"fuzz_\w+\.c", name)}
    assert targets <= set(named_tests())


def bounds_of_sources():
    """Every bound of size or number that the sources name in an enum of their own."""
    for folder in ("lib", "cmd"):
        for directory, _, files in os.walk(os.path.join(ROOT, folder)):
            for name in files:
                if name.endswith((".c", ".h")) and not directory.startswith(os.path.join(ROOT, "lib", "web")):
                    path = os.path.relpath(os.path.join(directory, name), ROOT)
                    for constant in re.findall(r"\b([A-Z]+_(?:BYTES|LINE|DEPTH)_MAX|[A-Z]+_MAX_BYTES) =", source(path)):
                        yield path, constant


def test_every_bound_on_bytes_and_depth_is_on_the_page():
    told = {(row[2].strip("`"), row[1].split("`")[1]) for row in ROWS}
    assert [bound for bound in bounds_of_sources() if bound not in told and bound[1] not in OWN] == []


# Of what a process makes itself, or of a part of a bound that is on the page.
OWN = {"STATE_DEPTH_MAX", "SURROGATES_BYTES_MAX", "STALE_MAX_BYTES", "UNSETTLED_MAX_BYTES"}


def test_the_libraries_of_the_page_are_those_that_are_linked():
    named = set(re.findall(r"^build lib(\w+?)(?:4-openssl|1g)?-dev|^build (zlib)1g-dev", source("pipelines/local/packages.txt"), re.M))
    packages = {first or second for first, second in named}
    told = PAGE.lower()
    aliases = {"ssl": "openssl", "curl4": "libcurl", "curl": "libcurl", "uv1": "libuv", "pq": "libpq", "jwt": "libjwt", "c6": "debian 12"}
    assert [name for name in packages if aliases.get(name, name).replace("_", "-") not in told] == []
