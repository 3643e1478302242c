"""The files for Kubernetes, without a Kubernetes: fields of KubeRay's, restricted pods, what probes call."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from conftest import ROOT, run
from kubernetes import client as kubernetes

# The fields of KubeRay 1.5.1's RayJob and RayCluster that are used, and those around them.
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


def kubernetes_file(name: str = "kuberay") -> list[Any]:
    return list(yaml.safe_load_all((ROOT / "cluster" / f"{name}.yaml").read_text("utf-8")))


def pods() -> dict[str, Any]:
    """Every pod that the files ask for, by what it is: its spec."""
    (_, job), (results,) = kubernetes_file(), kubernetes_file("kuberay-results")
    cluster, submitter = job["spec"]["rayClusterSpec"], job["spec"]["submitterPodTemplate"]
    groups = {"head": cluster["headGroupSpec"], **{one["groupName"]: one for one in cluster["workerGroupSpecs"]}}
    rays = {name: group["template"]["spec"] for name, group in groups.items()}
    return {**rays, "submitter": submitter["spec"], "results": results["spec"]}


def test_every_field_of_the_kubernetes_job_is_in_the_apis() -> None:
    claim, job = kubernetes_file()
    known(claim, "V1PersistentVolumeClaim", "claim")
    cluster = job["spec"]["rayClusterSpec"]
    head, workers = cluster["headGroupSpec"], cluster["workerGroupSpecs"]
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    for part, fields in ((job["spec"], JOB), (cluster, CLUSTER), (head, HEAD), *((one, WORKERS) for one in workers)):
        assert set(part) <= fields
    assert set(cluster["autoscalerOptions"]) <= AUTOSCALER
    known(cluster["autoscalerOptions"]["securityContext"], "V1SecurityContext", "autoscaler")
    for group in (head, *workers):
        known(group["template"], "V1PodTemplateSpec", "template")
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
    known(job["spec"]["submitterPodTemplate"], "V1PodTemplateSpec", "submitter")
    known(kubernetes_file("kuberay-results")[0], "V1Pod", "results")


@pytest.mark.parametrize("name", ["head", "cpu", "gpu", "submitter", "results"])
def test_a_kubernetes_pod_is_one_that_restricted_namespaces_take(name: str) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted"""
    pod = pods()[name]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        assert set(container["resources"]) == {"requests", "limits"}
        assert container["image"] == "REGISTRY/mnist:TAG"
    assert {"persistentVolumeClaim", "emptyDir"} >= {kind for one in pod.get("volumes", ()) for kind in one} - {"name"}


def test_the_kubernetes_jobs_other_container_is_restricted_and_the_job_ends() -> None:
    _, job = kubernetes_file()
    autoscaler = job["spec"]["rayClusterSpec"]["autoscalerOptions"]
    assert autoscaler["securityContext"] == pods()["head"]["containers"][0]["securityContext"]
    assert job["spec"]["activeDeadlineSeconds"] == 24 * 3600
    assert job["spec"]["submissionMode"] == "K8sJobMode"  # of which alone the submitter's pod is
    assert pods()["submitter"]["restartPolicy"] == "Never"
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in pods()["gpu"]["tolerations"]


def test_the_image_has_what_kuberays_probes_call() -> None:
    """Tried in the image with a token: Ray answers the addresses of KubeRay 1.5's probes with "success" without it."""
    (installed,) = re.findall(r"apt-get install .*", (ROOT / "docker" / "Dockerfile").read_text("utf-8"))
    assert "wget" in installed.split()


def test_the_kubernetes_results_are_where_the_job_puts_them() -> None:
    (claim, job), pod = kubernetes_file(), pods()["results"]
    (volume,), (mount,) = pod["volumes"], pod["containers"][0]["volumeMounts"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert mount == {"name": volume["name"], "mountPath": "/results", "readOnly": True}
    told = (ROOT / "cluster" / "kuberay-results.yaml").read_text("utf-8")
    (output,) = re.findall(r"--output (\S+)", job["spec"]["entrypoint"])
    assert f"kubectl cp tune-mnist-results:{output} " in told


def test_the_kubernetes_job_is_of_the_locked_ray_and_of_real_options() -> None:
    _, job = kubernetes_file()
    (locked,) = re.findall(r"^ray==(\S+)", (ROOT / "requirements.txt").read_text("utf-8"), flags=re.MULTILINE)
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == locked
    words = job["spec"]["entrypoint"].split()
    assert words[:5] == ["env", "TUNE_MNIST_NODES_S=1200", "python", "-m", "tune_mnist.run"]
    shown = run("--help", folder=ROOT, COLUMNS="200").out
    assert {word for word in words if word.startswith("--")} <= set(re.findall(r"--[a-z-]+", shown))
