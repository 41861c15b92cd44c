"""Every manifest of a folder against the schema of its kind, and what the files must agree on among themselves."""

import pathlib
import sys

import kubernetes_validate
import yaml

VERSION = kubernetes_validate.latest_version()
# Kinds that Kubernetes itself does not know.
OTHERS = {"Kustomization", "ServiceMonitor"}


def main(folder: pathlib.Path) -> None:
    manifests = [
        manifest for file in sorted(folder.glob("*.yaml")) for manifest in yaml.safe_load_all(file.read_text())
    ]
    for manifest in manifests:
        if manifest["kind"] not in OTHERS:
            kubernetes_validate.validate(manifest, VERSION, strict=True)
    by_kind = {manifest["kind"]: manifest for manifest in manifests}
    check_kustomization(folder, by_kind["Kustomization"])
    check_pods(by_kind["StatefulSet"], manifests)
    print(f"{len(manifests)} manifests, Kubernetes {VERSION}")


def check_kustomization(folder: pathlib.Path, kustomization: dict) -> None:
    listed = set(kustomization["resources"])
    beside = {file.name for file in folder.glob("*.yaml")}
    assert listed <= beside, f"no such files: {listed - beside}"
    left_out = {"kustomization.yaml", "servicemonitor.yaml", "secret-example.yaml"}
    assert beside - listed == left_out, f"not applied: {beside - listed - left_out}"
    for generated in kustomization["configMapGenerator"]:
        assert all((folder / name).exists() for name in generated["files"])


def check_pods(stateful_set: dict, manifests: list[dict]) -> None:
    pod = stateful_set["spec"]["template"]["spec"]
    container = pod["containers"][0]
    ports = {port["name"] for port in container["ports"]}
    probes = [container[f"{probe}Probe"]["httpGet"] for probe in ("startup", "liveness", "readiness")]
    assert {probe["port"] for probe in probes} <= ports, "a probe of a port that is not there"
    assert [probe["path"] for probe in probes] == ["/healthz", "/healthz", "/readyz"]
    services = [manifest for manifest in manifests if manifest["kind"] == "Service"]
    for service in services:
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    headless = {service["metadata"]["name"] for service in services if service["spec"].get("clusterIP") == "None"}
    assert stateful_set["spec"]["serviceName"] in headless, "its pods would have no names"
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    claims = {claim["metadata"]["name"] for claim in stateful_set["spec"]["volumeClaimTemplates"]}
    assert mounted == claims | {volume["name"] for volume in pod["volumes"]}
    # The profile `restricted`, which the namespace enforces.
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["seccompProfile"]
    limits = container["securityContext"]
    assert limits["allowPrivilegeEscalation"] is False and limits["capabilities"] == {"drop": ["ALL"]}
    assert limits["readOnlyRootFilesystem"] is True


main(pathlib.Path(sys.argv[1]))
