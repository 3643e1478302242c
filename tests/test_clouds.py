"""The cluster files of the clouds, without a cloud: Ray's launcher takes them, and asks for what they say."""

from __future__ import annotations

import json
import re
import shlex
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, run, succeeded, under_way, wait_for
from googleapiclient.discovery_cache import DISCOVERY_DOC_DIR
from mocks import ACCOUNT, POLICY, Amazon, Launched, filled, launched, mocked_amazon

from tune_mnist.launch.head_job import entrypoint
from tune_mnist.launch.ray_up import _cause

CLOUDS = ("aws", "gcp")
# Of a field of a machine that is asked of Google Cloud: the rights without which it is refused.
# https://cloud.google.com/compute/docs/reference/rest/v1/instances/insert
GOOGLES = {
    "disks": {"compute.disks.create"},
    "labels": {"compute.instances.setLabels"},
    "metadata": {"compute.instances.setMetadata"},
    "networkInterfaces": {"compute.subnetworks.use", "compute.subnetworks.useExternalIp"},
    "serviceAccounts": {"compute.instances.setServiceAccount"},
}


# Amazon


@pytest.fixture(scope="module")
def amazon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Amazon]:
    with mocked_amazon(tmp_path_factory.mktemp("amazon")) as made:
        yield made


@pytest.mark.long
def test_the_command_starts_one_head_and_says_what_is_left_when_it_is_interrupted(amazon: Amazon) -> None:
    """`run --cluster` against the mock, which has no machines to reach: up to the head's instance."""
    asked = ("--cluster", "aws.yaml", "--dataset", "digits", "--vary", "lr=0.01")
    here = {"HOME": str(amazon.folder), "TMPDIR": str(amazon.folder)}  # Ray keeps what it knows of an account there
    with under_way(*asked, folder=amazon.folder, **here, **amazon.around) as started:
        wait_for(lambda: bool(amazon.instances()), "an instance", 120)
        started.process.send_signal(signal.SIGINT)
        done = started.finished()
    assert done.code == 130, done.out + done.err
    price, _, started_line = done.out.partition("starting the cluster tune-mnist: ray up aws.yaml")
    assert "at most about $5.54 an hour, by the prices on demand in us-west-2 of " in price
    assert started_line
    assert "tune-mnist may be up in part; tune-mnist cluster down aws.yaml ends what was started" in done.err
    (head,) = amazon.instances()
    assert (head["InstanceType"], head.get("InstanceLifecycle")) == ("m6i.large", None)
    amazon.ec2.terminate_instances(InstanceIds=[head["InstanceId"]])


@pytest.fixture(scope="module")
def on_amazon(amazon: Amazon) -> Launched:
    found = launched(amazon.file, **amazon.around)
    running = [one for one in found.instances if one["State"]["Name"] != "terminated"]
    return replace(found, instances=running)


def test_amazons_workers_are_spot_instances_of_one_kind_each(on_amazon: Launched) -> None:
    kinds = sorted((one["InstanceType"], one.get("InstanceLifecycle", "on demand")) for one in on_amazon.instances)
    assert kinds == [
        ("c6i.4xlarge", "spot"),
        ("c6i.4xlarge", "spot"),
        ("g4dn.xlarge", "spot"),
        ("m6i.large", "on demand"),
    ]


def test_amazons_machines_have_room_tags_and_guarded_metadata(amazon: Amazon, on_amazon: Launched) -> None:
    volumes = {one["VolumeId"]: one for one in amazon.ec2.describe_volumes()["Volumes"]}
    for one in on_amazon.instances:
        (disk,) = one["BlockDeviceMappings"]
        assert disk["Ebs"]["DeleteOnTermination"] is True
        assert volumes[disk["Ebs"]["VolumeId"]]["Size"] == 150
        assert {"Key": "project", "Value": "tune-mnist"} in one["Tags"]
        assert one["MetadataOptions"]["HttpTokens"] == "required"
    for kind in on_amazon.config["available_node_types"].values():  # which the mock does not keep
        assert kind["node_config"]["BlockDeviceMappings"][0]["Ebs"]["Throughput"] == 500


def test_amazons_machines_are_in_the_files_security_group_and_ray_opens_no_port(
    amazon: Amazon, on_amazon: Launched
) -> None:
    (name,) = {group["GroupId"] for one in on_amazon.instances for group in one["SecurityGroups"]}
    groups = {group["GroupName"]: group for group in amazon.ec2.describe_security_groups()["SecurityGroups"]}
    assert groups["tune-mnist"]["GroupId"] == name
    open_to = [ranged["CidrIp"] for rule in groups["tune-mnist"]["IpPermissions"] for ranged in rule["IpRanges"]]
    assert open_to == ["192.0.2.1/32"]
    assert not [group for group in groups if group.startswith("ray-autoscaler")]


def actions(policy: dict[str, Any]) -> set[str]:
    """Every right that the policy gives."""
    found: set[str] = set()
    for statement in policy["Statement"]:
        assert statement["Effect"] == "Allow"
        found |= {statement["Action"]} if isinstance(statement["Action"], str) else set(statement["Action"])
    return found


def test_amazons_policy_gives_the_head_the_rights_that_ray_uses_and_no_more(on_amazon: Launched) -> None:
    """The call with which Ray ends machines is not made here (tests/test_idle.py makes it)."""
    assert actions(POLICY) == {*on_amazon.calls, "ec2:TerminateInstances"}


def test_amazons_policy_is_for_the_files_machines() -> None:
    kinds = yaml.safe_load((ROOT / "cluster" / "aws.yaml").read_text("utf-8"))["available_node_types"]
    types = {name: kind["node_config"]["InstanceType"] for name, kind in kinds.items()}
    conditions = [one["Condition"]["StringEquals"] for one in POLICY["Statement"] if "Condition" in one]
    (started,) = (one for one in conditions if "ec2:InstanceType" in one)
    workers = sorted({types["cpu"], types["gpu"]})
    assert started == {"aws:RequestTag/project": "tune-mnist", "ec2:InstanceType": workers}
    assert kinds["head"]["node_config"]["IamInstanceProfile"] == {"Name": "tune-mnist"}
    assert [name for name, kind in kinds.items() if "IamInstanceProfile" in kind["node_config"]] == ["head"]


# Google


@pytest.fixture(scope="module")
def on_google(tmp_path_factory: pytest.TempPathFactory) -> Launched:
    return launched(filled(tmp_path_factory.mktemp("google"), "gcp"))


def test_googles_workers_are_preemptible_machines_of_one_kind_each(on_google: Launched) -> None:
    kinds = sorted(
        (one["machineType"].rpartition("/")[2], one.get("scheduling", {}).get("preemptible", False))
        for one in on_google.instances
    )
    assert kinds == [
        ("n1-standard-4", True),
        ("n2-standard-16", True),
        ("n2-standard-16", True),
        ("n2-standard-2", False),
    ]
    (gpu,) = (one for one in on_google.instances if "guestAccelerators" in one)
    assert gpu["guestAccelerators"][0]["acceleratorType"].endswith("/zones/us-west1-b/acceleratorTypes/nvidia-tesla-t4")
    assert gpu["scheduling"]["onHostMaintenance"] == "TERMINATE"


def test_googles_machines_have_fast_room_labels_and_the_files_network(on_google: Launched) -> None:
    for one in on_google.instances:
        (disk,) = one["disks"]
        assert (disk["initializeParams"]["diskSizeGb"], disk["autoDelete"]) == (150, True)
        assert disk["initializeParams"]["diskType"] == "zones/us-west1-b/diskTypes/pd-balanced"
        assert one["labels"]["project"] == "tune-mnist"
        (network,) = one["networkInterfaces"]
        assert network["subnetwork"] == "regions/us-west1/subnetworks/tune-mnist"


def test_googles_head_has_the_files_account_and_the_workers_none(on_google: Launched) -> None:
    """Ray puts an account of its own, with wide rights, beside what the file says of the head."""
    assert on_google.config["head_node"]["serviceAccounts"][0]["email"] == "ray@example"
    accounts = {one["machineType"].rpartition("/")[2]: one.get("serviceAccounts") for one in on_google.instances}
    compute = "https://www.googleapis.com/auth/compute"
    assert accounts.pop("n2-standard-2") == [{"email": ACCOUNT, "scopes": [compute]}]
    assert set(accounts.values()) == {None}


def test_googles_role_gives_the_rights_that_the_head_uses_and_no_more(on_google: Launched) -> None:
    role = yaml.safe_load((ROOT / "cluster" / "gcp-head-role.yaml").read_text("utf-8"))
    needed = {f"compute.instances.{verb}" for verb in ("create", "delete", "get", "list", "setLabels")}
    needed.add("compute.zoneOperations.get")
    for one in on_google.instances:
        if not one["machineType"].endswith("/n2-standard-2"):
            needed = needed.union(*(GOOGLES.get(field, set()) for field in one))
    assert set(role["includedPermissions"]) == needed


def test_every_field_of_googles_machines_is_in_the_api(on_google: Launched) -> None:
    """As Google's client has it, in the description of the API that it carries."""
    api = json.loads((Path(DISCOVERY_DOC_DIR) / "compute.v1.json").read_text("utf-8"))["schemas"]

    def check(value: Any, schema: dict[str, Any], name: str) -> None:
        schema = api[schema["$ref"]] if "$ref" in schema else schema
        if isinstance(value, list):
            for one in value:
                check(one, schema["items"], name)
        elif isinstance(value, dict) and "properties" in schema:
            for key, one in value.items():
                assert key in schema["properties"], f"{name}.{key}"
                check(one, schema["properties"][key], f"{name}.{key}")

    for one in on_google.instances:
        check(one, {"$ref": "Instance"}, "instance")


# Both


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_cloud_starts_from_no_workers_and_lets_idle_ones_go(
    cloud: str, on_amazon: Launched, on_google: Launched
) -> None:
    config = {"aws": on_amazon, "gcp": on_google}[cloud].config
    kinds = config["available_node_types"]
    assert {name: kind["min_workers"] for name, kind in kinds.items()} == {"head": 0, "cpu": 0, "gpu": 0}
    assert (kinds["head"]["max_workers"], kinds["head"]["resources"]["CPU"]) == (0, 0)
    assert (kinds["cpu"]["resources"]["CPU"], kinds["gpu"]["resources"]["GPU"]) == (16, 1)
    assert config["idle_timeout_minutes"] <= 5
    assert config["docker"]["image"] == "registry.example/mnist:1"


@pytest.mark.parametrize("cloud", CLOUDS)
def test_nobody_is_answered_without_the_token(cloud: str) -> None:
    config = yaml.safe_load((ROOT / "cluster" / f"{cloud}.yaml").read_text("utf-8"))
    for start in (config["head_start_ray_commands"][1], config["worker_start_ray_commands"][-1]):
        assert " RAY_AUTH_MODE=token " in start
        assert "ray start --" in start
        assert "dashboard-host" not in start  # Ray's own is the loopback
    assert config["cluster_synced_files"] == ["~/.ray/auth_token"]


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_clouds_head_watches_itself_for_as_long_as_is_told(cloud: str) -> None:
    config = yaml.safe_load((ROOT / "cluster" / f"{cloud}.yaml").read_text("utf-8"))
    (hours,) = re.findall(r"python -m tune_mnist\.launch\.idle (\d+) ", config["head_start_ray_commands"][-1])
    told = re.sub(r"\s+", " ", (ROOT / "cluster" / "README.md").read_text("utf-8"))
    assert f"no job has run for {hours} hours" in told


@pytest.mark.parametrize(
    ("cloud", "name"), [("aws", "AMI"), ("aws", "GROUP"), ("gcp", "PROJECT"), ("gcp", "ACCOUNT"), ("gcp", "IMAGE")]
)
def test_a_value_that_is_left_is_named(tmp_path: Path, cloud: str, name: str) -> None:
    filled(tmp_path, cloud, **{name: name})
    done = run("--cluster", f"{cloud}.yaml", "--dataset", "digits", folder=tmp_path)
    assert done.code == 2
    assert re.fullmatch(rf"error: \w+ in {cloud}\.yaml is still '{name}'; fill it in, as the file says\n", done.err)


@pytest.mark.long
def test_a_cluster_is_not_started_for_what_is_stored_at_home(tmp_path: Path) -> None:
    """Nobody has these addresses, which are for manuals: whoever asked them would fail."""
    for source in ("tune_mnist", "data/published.csv", "docker/requirements.txt", "cluster/setup.sh"):
        (tmp_path / source).parent.mkdir(exist_ok=True)
        (tmp_path / source).symlink_to(ROOT / source)
    text = (ROOT / "cluster" / "onprem.yaml").read_text("utf-8")
    for name, value in {"HEAD #": "192.0.2.1 #", "WORKER1, WORKER2": "192.0.2.2", "USER #": "nobody #"}.items():
        text = text.replace(name, value)
    (tmp_path / "onprem.yaml").write_text(text, "utf-8")
    asked = ("--dataset", "digits", "--set", "train_size=64", "--set", "epochs=1", "--vary", "lr=0.01")
    succeeded(run(*asked, folder=tmp_path))
    done = succeeded(run(*asked, "--cluster", "onprem.yaml", folder=tmp_path))
    assert "everything asked is stored here: tune-mnist is not started" in done.out
    assert done.points()[0]["status"] == "done"


LONG = "ssh -tt -i ~/.ssh/key -o StrictHostKeyChecking=no " * 20


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("", "it ended without a word"),
        (f"Command failed:\n\n  {LONG}\nroot@192.0.2.1: Permission denied (publickey).\n", "Permission denied"),
        (
            f"{LONG}\nsubprocess.CalledProcessError: Command '['ssh', '{LONG}']' returned non-zero exit status 255.\n",
            "Command failed:|ssh ended with 255",
        ),
        ("x" * 1000, "x{200}…"),
    ],
    ids=["nothing", "a reason", "a command alone", "long"],
)
def test_what_failed_on_the_way_to_a_head_is_told_in_a_line(said: str, cause: str) -> None:
    """Ray repeats ssh's whole command, 1,000 characters of it."""
    told = _cause(said)
    assert re.search(cause, told)
    assert len(told) < 250
    assert "StrictHostKeyChecking" not in told


def test_a_job_is_told_what_the_command_told_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a node may take to join above all: without it a sweep gives up before a cloud has started a machine."""
    told = {"TUNE_MNIST_NODES_S": "1200", "TUNE_MNIST_COMMAND": "tune-mnist run --seeds 3", "TUNE_MNIST_COMMIT": "abc"}
    for name, value in (told | {"TUNE_MNIST_SCREEN_WIDTH": "90"}).items():
        monkeypatch.setenv(name, value)
    place, command = entrypoint("sweep-1", ["--vary", "lr=0.01"]).split(" && exec env ")
    words = shlex.split(command)
    python = words.index(sys.executable)
    settings = dict(word.split("=", 1) for word in words[:python])
    told |= {"TUNE_MNIST_SCREEN_WIDTH": "90", "TUNE_MNIST_SCREEN": "jobs/sweep-1.screen"}
    assert settings == told | {"TUNE_MNIST_PLAN": "outbox/sweep-1/plan.json"}
    assert words[python + 1 :] == ["-m", "tune_mnist.run", "--address", "auto", "--vary", "lr=0.01"]
    assert place == f"cd {Path.cwd()}"
