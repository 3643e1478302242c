"""What a cluster on a cloud costs at the most."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from conftest import ROOT

from tune_mnist.launch.prices import most


def cluster(cloud: str, **changed: Any) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((ROOT / "cluster" / f"{cloud}.yaml").read_text("utf-8"))
    return config | changed


def test_the_most_is_the_head_and_the_dearest_workers_up_to_the_files_limit() -> None:
    line = most(cluster("aws", max_workers=3)) or ""
    assert line.startswith("at most about $2.14 an hour, by the prices on demand in us-west-2 of ")  # 0.096 + 3 × 0.68
    assert ": 1 × m6i.large, 3 × c6i.4xlarge; spot machines cost less" in line


def test_when_a_types_own_limit_is_reached_the_next_dearest_one_counts() -> None:
    config = cluster("gcp", max_workers=3)
    config["available_node_types"]["cpu"]["max_workers"] = 1
    line = most(config) or ""
    assert line.startswith("at most about $1.95 an hour, ")  # 0.0971 + 0.7769 + 2 × (0.19 + 0.35)
    assert ": 1 × n2-standard-2, 1 × n2-standard-16, 2 × n1-standard-4 with 1 nvidia-tesla-t4; " in line


def test_a_price_that_is_not_known_is_said() -> None:
    config = cluster("aws")
    config["available_node_types"]["gpu"]["node_config"]["InstanceType"] = "p4d.24xlarge"
    assert most(config) == "what it costs is not known here: no price of p4d.24xlarge in us-west-2"


def test_a_region_without_prices_is_said() -> None:
    config = cluster("gcp")
    config["provider"]["region"] = "europe-west1"
    line = most(config) or ""
    assert line.startswith("what it costs is not known here: no price of n1-standard-4, ")
    assert line.endswith(" in europe-west1")


@pytest.mark.parametrize("left", ["available_node_types", "head_node_type"])
def test_of_a_file_that_ray_refuses_nothing_is_said(left: str) -> None:
    config = cluster("aws")
    del config[left]
    assert most(config) is None


def test_machines_of_ones_own_cost_nothing() -> None:
    assert most(cluster("onprem")) is None
