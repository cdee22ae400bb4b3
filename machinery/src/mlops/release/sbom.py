"""The bill of materials of an image as CycloneDX 1.6 in JSON: the Python and system packages that are in it.

https://cyclonedx.org/docs/1.6/json/; package URLs: https://github.com/package-url/purl-spec
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component

# Serial numbers are drawn from the image's digest, so that the same image gives the same document.
NAMESPACE = uuid.UUID("6a1d3d0e-6d2b-5c3c-9f0b-2f8a2b1f7c11")


def cyclonedx(image: str, number: str, inventory: dict[str, Any], created: str) -> str:
    """The bill of materials of an image (a name with a digest) as a text in JSON; `created` is a time as ISO 8601.

    Raises UserError where the library for it is not installed.
    """
    try:
        from cyclonedx.output.json import JsonV1Dot6
    except ModuleNotFoundError:
        from mlops.errors import UserError

        raise UserError("cyclonedx-python-lib is not installed: make setup") from None
    return JsonV1Dot6(_bom(image, number, inventory, created)).output_as_string(indent=2) + "\n"


def _bom(image: str, number: str, inventory: dict[str, Any], created: str) -> Bom:
    from datetime import datetime

    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    repository, _, digest = image.partition("@")
    name = repository.rpartition("/")[2]
    subject = Component(
        name=name,
        version=number,
        type=ComponentType.CONTAINER,
        bom_ref=image,
        purl=PackageURL("oci", None, name, digest, {"repository_url": repository}),
    )
    bom = Bom(serial_number=uuid.uuid5(NAMESPACE, digest))
    bom.metadata.component = subject
    bom.metadata.timestamp = datetime.fromisoformat(created.replace("Z", "+00:00"))
    parts = [*_python(inventory), *_system(inventory)]
    for part in parts:
        bom.components.add(part)
    bom.register_dependency(subject, parts)
    return bom


def _python(inventory: dict[str, Any]) -> list[Component]:
    from cyclonedx.factory.license import LicenseFactory
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    components = [
        Component(name="cpython", version=inventory["interpreter"], type=ComponentType.PLATFORM, bom_ref="cpython"),
    ]
    for name, version, licence in inventory["python"]:
        purl = PackageURL("pypi", None, name.lower().replace("_", "-"), version)
        licences = [LicenseFactory().make_from_string(licence)] if licence else []
        components.append(Component(name=name, version=version, bom_ref=str(purl), purl=purl, licenses=licences))
    return components


def _system(inventory: dict[str, Any]) -> list[Component]:
    from cyclonedx.model.component import Component
    from packageurl import PackageURL

    distribution, release = inventory["distribution"] or "debian", inventory["release"]
    components = []
    for name, version, architecture in inventory["system"]:
        qualifiers = {"arch": architecture, **({"distro": f"{distribution}-{release}"} if release else {})}
        purl = PackageURL("deb", distribution, name, version, qualifiers)
        components.append(Component(name=name, version=version, bom_ref=str(purl), purl=purl))
    return components
