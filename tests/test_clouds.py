"""The cluster files of the clouds, without a cloud: Ray's launcher takes them, and asks for what they say."""

from __future__ import annotations

import json
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from conftest import ROOT, run, succeeded, surroundings, under_way, wait_for
from googleapiclient.discovery_cache import DISCOVERY_DOC_DIR
from kubernetes import client as kubernetes

from tune_mnist.launch.head_job import entrypoint
from tune_mnist.launch.ray_up import _cause

CLOUDS = ("aws", "gcp")
FILLED = {"AMI": "", "REGISTRY/mnist:TAG": "registry.example/mnist:1", "PROJECT": "example", "IMAGE": "images/ubuntu"}
# The fields of KubeRay 1.5's RayJob and RayCluster that are used, and those around them.
# https://github.com/ray-project/kuberay/tree/master/ray-operator/apis/ray/v1
JOB = {
    *("activeDeadlineSeconds", "backoffLimit", "clusterSelector", "deletionStrategy", "entrypoint"),
    *("entrypointNumCpus", "entrypointNumGpus", "entrypointResources", "jobId", "managedBy", "metadata"),
    *("rayClusterSpec", "runtimeEnvYAML", "shutdownAfterJobFinishes", "submissionMode", "submitterConfig"),
    *("submitterPodTemplate", "suspend", "ttlSecondsAfterFinished"),
}
CLUSTER = {
    *("authOptions", "autoscalerOptions", "enableInTreeAutoscaling", "headGroupSpec", "headServiceAnnotations"),
    *("rayVersion", "suspend", "workerGroupSpecs"),
}
HEAD = {"enableIngress", "headService", "rayStartParams", "serviceType", "template"}
WORKERS = {
    *("groupName", "maxReplicas", "minReplicas", "numOfHosts", "rayStartParams", "replicas", "scaleStrategy"),
    "template",
}
AUTOSCALER = {
    *("env", "envFrom", "idleTimeoutSeconds", "image", "imagePullPolicy", "resources", "securityContext"),
    *("upscalingMode", "volumeMounts"),
}


def filled(folder: Path, cloud: str, **values: str) -> Path:
    """The repository's file in a folder like the repository's root, its values filled in as a person does it."""
    text = (ROOT / "cluster" / f"{cloud}.yaml").read_text("utf-8")
    for name, value in (FILLED | values).items():
        text = re.sub(rf"(?<=[: ]){re.escape(name)}(?=\s)", value, text)
    if not (folder / "tune_mnist").exists():
        (folder / "tune_mnist").symlink_to(ROOT / "tune_mnist")
    file = folder / f"{cloud}.yaml"
    file.write_text(text, "utf-8")
    return file


@dataclass(frozen=True)
class Launched:
    """What Ray made of a file."""

    config: dict[str, Any]
    instances: list[dict[str, Any]]


def launched(file: Path, **around: str) -> Launched:
    around = surroundings(HOME=str(file.parent), PYTHONPATH=str(ROOT), **around)
    command = [sys.executable, str(ROOT / "tests" / "clouds.py"), str(file)]
    done = subprocess.run(
        command, cwd=file.parent, env=around, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return Launched(**json.loads(done.stdout.splitlines()[-1]))


# Amazon


@dataclass(frozen=True)
class Amazon:
    """A mock of AWS, as an account is after its first cluster of Ray's: role and profile are there."""

    folder: Path
    around: dict[str, str]
    file: Path

    @property
    def ec2(self) -> Any:
        return self.client("ec2")

    def client(self, name: str) -> Any:
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-west-2"}
        return boto3.client(name, endpoint_url=self.around["AWS_ENDPOINT_URL"], **keys)

    def instances(self) -> list[dict[str, Any]]:
        return [found for part in self.ec2.describe_instances()["Reservations"] for found in part["Instances"]]


def answers(port: int) -> bool:
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def amazon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Amazon]:
    folder = tmp_path_factory.mktemp("amazon")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    around = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-west-2",
    }
    command = [sys.executable, "-m", "moto.server", "-p", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=surroundings(MOTO_IAM_LOAD_MANAGED_POLICIES="true"), **quiet) as server:  # type: ignore[call-overload]
        try:
            wait_for(lambda: answers(port), "moto's server", 60)
            made = Amazon(folder, around, folder / "aws.yaml")
            image = made.ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
            filled(folder, "aws", AMI=image)
            iam = made.client("iam")
            iam.create_instance_profile(InstanceProfileName="ray-autoscaler-v1")
            iam.create_role(RoleName="ray-autoscaler-v1", AssumeRolePolicyDocument="{}")
            iam.add_role_to_instance_profile(InstanceProfileName="ray-autoscaler-v1", RoleName="ray-autoscaler-v1")
            yield made
        finally:
            server.terminate()


def test_the_command_starts_one_head_and_says_what_is_left_when_it_is_interrupted(amazon: Amazon) -> None:
    """`run --cluster` against the mock, which has no machines to reach: up to the head's instance."""
    asked = ("--cluster", "aws.yaml", "--dataset", "digits", "--vary", "lr=0.01")
    here = {"HOME": str(amazon.folder), "TMPDIR": str(amazon.folder)}  # Ray keeps what it knows of an account there
    with under_way(*asked, folder=amazon.folder, **here, **amazon.around) as started:
        wait_for(lambda: bool(amazon.instances()), "an instance", 120)
        started.process.send_signal(signal.SIGINT)
        done = started.finished()
    assert done.code == 130, done.out + done.err
    assert "starting the cluster tune-mnist: ray up aws.yaml" in done.out
    assert "tune-mnist may be up in part; tune-mnist cluster down aws.yaml ends what was started" in done.err
    (head,) = amazon.instances()
    assert (head["InstanceType"], head.get("InstanceLifecycle")) == ("m6i.large", None)
    amazon.ec2.terminate_instances(InstanceIds=[head["InstanceId"]])


@pytest.fixture(scope="module")
def on_amazon(amazon: Amazon) -> Launched:
    found = launched(amazon.file, **amazon.around)
    running = [one for one in found.instances if one["State"]["Name"] != "terminated"]
    return Launched(found.config, running)


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


def test_amazons_only_port_open_to_the_world_is_ssh(amazon: Amazon, on_amazon: Launched) -> None:
    (name,) = {group["GroupId"] for one in on_amazon.instances for group in one["SecurityGroups"]}
    (group,) = amazon.ec2.describe_security_groups(GroupIds=[name])["SecurityGroups"]
    among, outside = group["IpPermissions"]
    assert ([pair["GroupId"] for pair in among["UserIdGroupPairs"]], among["IpRanges"]) == ([name], [])
    assert (outside["IpProtocol"], outside["FromPort"], outside["ToPort"]) == ("tcp", 22, 22)
    assert outside["UserIdGroupPairs"] == []


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


def test_googles_machines_have_room_and_labels(on_google: Launched) -> None:
    for one in on_google.instances:
        (disk,) = one["disks"]
        assert (disk["initializeParams"]["diskSizeGb"], disk["autoDelete"]) == (150, True)
        assert one["labels"]["project"] == "tune-mnist"


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
    for start in (config["head_start_ray_commands"][-1], config["worker_start_ray_commands"][-1]):
        assert " RAY_AUTH_MODE=token " in start
        assert "dashboard-host" not in start  # Ray's own is the loopback
    assert config["cluster_synced_files"] == ["~/.ray/auth_token"]


@pytest.mark.parametrize(("cloud", "name"), [("aws", "AMI"), ("gcp", "PROJECT"), ("gcp", "IMAGE")])
def test_a_value_that_is_left_is_named(tmp_path: Path, cloud: str, name: str) -> None:
    filled(tmp_path, cloud, **({"AMI": "ami-1"} | {name: name}))
    done = run("--cluster", f"{cloud}.yaml", "--dataset", "digits", folder=tmp_path)
    assert done.code == 2
    assert re.fullmatch(rf"error: \w+ in {cloud}\.yaml is still '{name}'; fill it in, as the file says\n", done.err)


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


# Kubernetes


def known(value: Any, model: str, name: str) -> None:
    """Assert that each field is one of Kubernetes's, as its client has them."""
    if inside := re.fullmatch(r"List\[(\w+)]", model):
        for one in value:
            known(one, inside[1], name)
    elif hasattr(kubernetes, model):
        kind = getattr(kubernetes, model)
        fields = {field: kind.openapi_types[attribute] for attribute, field in kind.attribute_map.items()}
        for field, one in value.items():
            assert field in fields, f"{name}.{field}"
            known(one, fields[field], f"{name}.{field}")


def test_every_field_of_the_kubernetes_job_is_in_the_apis() -> None:
    text = (ROOT / "cluster" / "kuberay.yaml").read_text("utf-8")
    claim, job = yaml.safe_load_all(text)
    known(claim, "V1PersistentVolumeClaim", "claim")
    cluster = job["spec"]["rayClusterSpec"]
    head, workers = cluster["headGroupSpec"], cluster["workerGroupSpecs"]
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    for part, fields in ((job["spec"], JOB), (cluster, CLUSTER), (head, HEAD), *((one, WORKERS) for one in workers)):
        assert set(part) <= fields
    assert set(cluster["autoscalerOptions"]) <= AUTOSCALER
    for group in (head, *workers):
        known(group["template"], "V1PodTemplateSpec", "template")
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())


def test_the_kubernetes_job_is_of_the_locked_ray_and_of_real_options() -> None:
    _, job = yaml.safe_load_all((ROOT / "cluster" / "kuberay.yaml").read_text("utf-8"))
    (locked,) = re.findall(r"^ray==(\S+)", (ROOT / "requirements.txt").read_text("utf-8"), flags=re.MULTILINE)
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == locked
    words = job["spec"]["entrypoint"].split()
    assert words[:5] == ["env", "TUNE_MNIST_NODES_S=1200", "python", "-m", "tune_mnist.run"]
    shown = run("--help", folder=ROOT, COLUMNS="200").out
    assert {word for word in words if word.startswith("--")} <= set(re.findall(r"--[a-z-]+", shown))
