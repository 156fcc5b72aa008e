# test_storm.py - a short storm, and a checker that sees what it is to see. SPDX-License-Identifier: Apache-2.0
import copy
import glob
import json
import os
import subprocess

import pytest

from mutants.damage import DAMAGES
from mutants.changes import MUTANTS
from stack import ROOT, reachable_directory
from storming import check, plan

SEED, SECONDS = 5, 30
STORM = os.path.join(ROOT, "tests", "fault", "storm")


@pytest.fixture(scope="module")
def storm():
    """What a short storm printed, its exit code, and its evidence."""
    with reachable_directory("votepipe-storm-") as logs:
        command = [STORM, "--seed", str(SEED), "--seconds", str(SECONDS), "--logs", logs]
        run = subprocess.run(command, capture_output=True, text=True, timeout=900)
        assert os.path.exists(logs + "/evidence.json"), run.stdout + run.stderr
        with open(logs + "/evidence.json") as file:
            return run, json.load(file)


def test_G1_to_G10_a_short_storm_breaks_no_promise(storm):
    run, _ = storm
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.startswith(f"storm: seed {SEED},") and f"seed {SEED}: clean" in run.stdout


def test_a_seed_replays_its_plan():
    assert plan.make(SEED, 600) == plan.make(SEED, 600) != plan.make(SEED + 1, 600)
    assert {(fault.kind, fault.mode) for fault in plan.make(SEED, 600)} == {
        *((kind, "") for kind in ("kill", "stop", "restart", "flush")), *(("cut", mode) for mode in plan.CUTS)}


def test_a_plan_disturbs_one_broker_at_a_time():
    busy_until = 0
    for fault in plan.make(SEED, 3600):
        if plan.resource(fault.target) == "brokers":
            assert fault.at >= busy_until
            busy_until = fault.at + fault.seconds


@pytest.mark.parametrize("promise, damage", [(promise, damage) for promise, damages in DAMAGES.items() for damage in damages],
                         ids=lambda value: getattr(value, "__name__", value))
def test_the_checker_sees_damage(storm, promise, damage):
    evidence = copy.deepcopy(storm[1])
    damage(evidence)
    assert promise in {broken for broken, _ in check.judge(evidence).violations}


def test_there_is_a_mutant_and_damage_for_each_promise_and_each_still_fits_the_code():
    assert {mutant.promise for mutant in MUTANTS} == DAMAGES.keys() == check.PROMISES.keys()
    for mutant in MUTANTS:
        with open(os.path.join(ROOT, mutant.file)) as file:
            assert file.read().count(mutant.old) == 1, f"{mutant.file} has changed: {mutant.old}"


def test_a_mutant_of_a_migration_changes_what_is_in_force():
    """A later migration replaces a function as a whole: the same text in an earlier one changes nothing."""
    for mutant in (mutant for mutant in MUTANTS if mutant.file.endswith(".sql")):
        for later in glob.glob(os.path.join(os.path.dirname(os.path.join(ROOT, mutant.file)), "*.sql")):
            if os.path.basename(later) > os.path.basename(mutant.file):
                with open(later) as file:
                    assert mutant.old not in file.read(), f"{mutant.file} is replaced by {later}: {mutant.old}"
