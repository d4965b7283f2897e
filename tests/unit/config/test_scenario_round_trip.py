"""What is recorded comes back whole, and its schema knows it."""

import json
from dataclasses import fields

import jsonschema
from hypothesis import HealthCheck, given, settings
from tests.snapshots import RECORDABLE

from rayfleet.config import scenario_schema, snapshot_from_json, snapshot_to_json
from rayfleet.config.scenario_form import MachineForm, ScenarioForm, TimeoutsForm
from rayfleet.model import Claim, Host, Policy, Snapshot, Timeouts

SCHEMA = jsonschema.Draft202012Validator(scenario_schema())
GENEROUS = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


@GENEROUS
@given(RECORDABLE)
def test_a_snapshot_survives_its_file(snapshot: Snapshot) -> None:
    text = json.dumps(snapshot_to_json(snapshot))
    assert snapshot_from_json(json.loads(text)) == snapshot


@GENEROUS
@given(RECORDABLE)
def test_what_is_written_is_valid_by_the_published_schema(snapshot: Snapshot) -> None:
    assert not list(SCHEMA.iter_errors(json.loads(json.dumps(snapshot_to_json(snapshot)))))


@GENEROUS
@given(RECORDABLE)
def test_equal_snapshots_have_equal_files(snapshot: Snapshot) -> None:
    again = snapshot_from_json(snapshot_to_json(snapshot))
    assert json.dumps(snapshot_to_json(again)) == json.dumps(snapshot_to_json(snapshot))


def test_every_field_of_the_model_has_its_key() -> None:
    """A field that is added to the model must be added to the file, or replays would plan from less."""
    machine = set(MachineForm.model_fields)
    claim = {field.name for field in fields(Claim)} - {"id", "offer", "hosts", "drain"}
    host = {field.name for field in fields(Host)}
    assert claim | host <= machine
    renamed = {"claims": "machines", "backoffs": "backoff"}
    assert {renamed.get(f.name, f.name) for f in fields(Snapshot)} <= set(ScenarioForm.model_fields)
    assert {f.name: f.default for f in fields(Timeouts)} == TimeoutsForm().model_dump()
    policy = ScenarioForm.model_fields["policy"].annotation
    assert policy is not None
    assert {f.name for f in fields(Policy)} == set(policy.model_fields)


def test_the_schema_is_a_schema_and_refuses_what_the_reader_refuses() -> None:
    jsonschema.Draft202012Validator.check_schema(scenario_schema())
    pool = {"name": "a", "resources": {"CPU": 1}}
    assert SCHEMA.is_valid({"policy": {"pools": [pool]}})
    for bad in ({}, {"policy": {"pools": [pool]}, "noww": 1}, {"policy": {"pools": [{**pool, "min_workers": -1}]}}):
        assert not SCHEMA.is_valid(bad)
