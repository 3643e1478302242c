"""The cluster files of the clouds, filled in, and launched against what stands for the clouds (tests/clouds.py)."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from conftest import ROOT, surroundings, wait_for

ACCOUNT = "tune-mnist@example.iam.gserviceaccount.com"
FILLED = {"AMI": "ami-1", "GROUP": "sg-1", "REGISTRY/mnist:TAG": "registry.example/mnist:1"}
FILLED |= {"PROJECT": "example", "ACCOUNT": ACCOUNT, "IMAGE": "images/ubuntu"}
POLICY = json.loads((ROOT / "cluster" / "aws-head-policy.json").read_text("utf-8"))


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
    calls: list[str]


def launched(file: Path, **around: str) -> Launched:
    around = surroundings(HOME=str(file.parent), PYTHONPATH=str(ROOT), **around)
    command = [sys.executable, str(ROOT / "tests" / "clouds.py"), str(file)]
    done = subprocess.run(
        command, cwd=file.parent, env=around, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return Launched(**json.loads(done.stdout.splitlines()[-1]))


@dataclass(frozen=True)
class Amazon:
    """A mock of AWS, with what cluster/README.md makes there once: role, profile, policy and security group."""

    folder: Path
    around: dict[str, str]
    file: Path

    @property
    def ec2(self) -> Any:
        return self.client("ec2")

    def client(self, name: str) -> Any:
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-west-2"}
        return boto3.client(name, endpoint_url=self.around["AWS_ENDPOINT_URL"], **keys)

    def security_group(self) -> str:
        group: str = self.ec2.create_security_group(GroupName="tune-mnist", Description="tune-mnist")["GroupId"]
        among = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
        ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "192.0.2.1/32"}]}
        self.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[among, ssh])
        return group

    def role(self) -> None:
        """The mock looks at the policy's form, and refuses one that is not Amazon's."""
        iam, named = self.client("iam"), "tune-mnist"
        iam.create_role(RoleName=named, AssumeRolePolicyDocument="{}")
        iam.put_role_policy(RoleName=named, PolicyName=named, PolicyDocument=json.dumps(POLICY))
        iam.create_instance_profile(InstanceProfileName=named)
        iam.add_role_to_instance_profile(InstanceProfileName=named, RoleName=named)

    def instances(self) -> list[dict[str, Any]]:
        return [found for part in self.ec2.describe_instances()["Reservations"] for found in part["Instances"]]


def answers(port: int) -> bool:
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def mocked_amazon(folder: Path) -> Iterator[Amazon]:
    """moto's server for the length of the `with` block, and aws.yaml in the folder, filled in with what is there."""
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
            filled(folder, "aws", AMI=image, GROUP=made.security_group())
            made.role()
            yield made
        finally:
            server.terminate()
