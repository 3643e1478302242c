"""What Ray's launcher makes of a cloud's cluster file, up to instances: `python tests/clouds.py FILE`.

Ray reads, checks and completes the file, and asks the cloud for the head, two CPU workers and a GPU worker; the cloud
answers as far as Ray asks. For AWS that is moto's server at AWS_ENDPOINT_URL; for Google Cloud, of which there is no
such server, a few fixed answers below stand for it. Prints JSON: the completed file, the instances, and the calls to
Amazon's API that handle machines, which are the head's.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
import warnings
from pathlib import Path
from typing import Any

from tune_mnist.launch.ray_up import read_cluster_file

ASKED = {"head": 1, "cpu": 2, "gpu": 1}
# Google's answers: part of a method and address, what it says.
GOOGLE: tuple[tuple[str, dict[str, Any]], ...] = (
    (r"POST .*/zones/[^/]+/instances\?", {"name": "operation"}),
    (r"GET .*/zones/[^/]+/instances\?", {"items": []}),
    (r"POST .*:getIamPolicy", {"bindings": []}),
    (r"POST .*:setIamPolicy", {}),
    (r"POST .*/setCommonInstanceMetadata", {"name": "operation"}),
    (r"GET .*/operations/operation", {"name": "operation", "status": "DONE"}),
    (r"GET .*/serviceAccounts/", {"email": "ray@example", "projectId": "example"}),
    (r"GET .*cloudresourcemanager.*/projects/example", {"projectId": "example", "lifecycleState": "ACTIVE"}),
    (r"GET .*/compute/v1/projects/example", {"name": "example", "commonInstanceMetadata": {}}),
)
asked_of_google: list[dict[str, Any]] = []


class Google:
    """Answers as httplib2 would, and keeps the instances that are asked for."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def request(self, uri: str, method: str = "GET", body: Any = None, **_: Any) -> tuple[Any, bytes]:
        from httplib2 import Response

        if method == "POST" and re.search(GOOGLE[0][0], f"{method} {uri}"):
            asked_of_google.append(json.loads(body))
        answer = next((answer for asked, answer in GOOGLE if re.match(asked, f"{method} {uri}")), None)
        assert answer is not None, f"unknown to the cloud: {method} {uri}"
        return Response({"status": "200", "content-type": "application/json"}), json.dumps(answer).encode()

    def close(self) -> None: ...


def completed(file: Path) -> dict[str, Any]:
    """The file as Ray launches it: checked against Ray's schema, defaults and the cloud's identifiers filled in."""
    from ray.autoscaler._private.commands import _bootstrap_config
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(read_cluster_file(file).config)
    if config["provider"]["type"] == "gcp":
        config["provider"]["gcp_credentials"] = {"type": "credentials_token", "credentials": "token"}
    validate_config(config)
    found: dict[str, Any] = _bootstrap_config(config, no_config_cache=True)
    return found


def instances(config: dict[str, Any]) -> Any:
    """Ask for the instances; what the cloud was asked for, or what it has then."""
    from ray.autoscaler._private.providers import _get_node_provider

    provider = _get_node_provider(config["provider"], config["cluster_name"])
    for kind, count in ASKED.items():
        tags = {
            "ray-node-type": "head" if kind == "head" else "worker",
            "ray-user-node-type": kind,
            "ray-node-name": kind,
        }
        node = config["available_node_types"][kind]["node_config"]
        if kind == "head":  # as `ray up` does it: what Ray adds for the head yields to what the file says
            node = config.get("head_node", {}) | node
        for _ in range(count):  # at once Ray asks for 1 to `count` of them, and moto makes the fewest
            provider.create_node(node, tags, 1)
    if config["provider"]["type"] == "gcp":
        return asked_of_google
    provider.set_node_tags(provider.non_terminated_nodes({})[0], {"ray-node-status": "up-to-date"})
    import boto3

    reservations = boto3.client("ec2").describe_instances()["Reservations"]
    return [instance for reservation in reservations for instance in reservation["Instances"]]


def note_calls(calls: set[str]) -> None:
    """From here on, note each call to Amazon's API in `calls`, by the name of the right to it: ec2:RunInstances."""
    kind = importlib.import_module("botocore.client").BaseClient
    make = kind._make_api_call

    def noted(client: Any, name: str, arguments: dict[str, Any]) -> Any:
        calls.add(f"{client.meta.service_model.endpoint_prefix}:{name}")
        return make(client, name, arguments)

    kind._make_api_call = noted


def main() -> None:
    """`python tests/clouds.py FILE`."""
    warnings.simplefilter("ignore")
    calls: set[str] = set()
    if "gcp" in sys.argv[1]:
        from ray.autoscaler._private.gcp import config as google

        vars(google)["httplib2"].Http = Google
    else:
        note_calls(calls)
    config = completed(Path(sys.argv[1]))
    calls.clear()
    made = instances(config)
    found = {"config": config, "instances": made, "calls": sorted(calls)}
    print("\n" + json.dumps(found, default=str), flush=True)
    os._exit(0)  # the provider's threads


if __name__ == "__main__":
    main()
