"""What users write -> what the rooms below and above work on; every problem at once, with its place and a hint."""

from rayfleet.config.checked import Checked
from rayfleet.config.cluster import check, default_spec, load
from rayfleet.config.cluster_show import show
from rayfleet.config.cluster_spec import Bootstrap, ClusterSpec, Monitoring, TypeSetup
from rayfleet.config.kubernetes_files import may_be_manifest
from rayfleet.config.plan_out import diff, plan_to_json
from rayfleet.config.problems import ConfigInvalid, Problem
from rayfleet.config.report_json import load_report, report_from_json, report_to_json
from rayfleet.config.scenario import load_scenario, snapshot_from_json
from rayfleet.config.scenario_out import snapshot_to_json
from rayfleet.config.schemas import cluster_schema, scenario_schema, settings_schema

__all__ = [
    "Bootstrap", "Checked", "ClusterSpec", "ConfigInvalid", "Monitoring", "Problem", "TypeSetup", "check",
    "cluster_schema", "default_spec", "diff", "load", "load_report", "load_scenario", "may_be_manifest",
    "plan_to_json", "report_from_json", "report_to_json", "scenario_schema", "settings_schema", "show",
    "snapshot_from_json", "snapshot_to_json",
]  # fmt: skip
