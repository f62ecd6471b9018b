"""The lists of tested versions follow pyproject.toml, and its bounds follow what was tested."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RANGES = {
    requirement.name: requirement.specifier
    for group in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for requirement in map(Requirement, group)
    if requirement.name != "dancing"
}
TO_THE_MINOR = {"gradio", "onnxruntime"}
UNTESTED_OLDEST = {"torch"}


def versions(name: str) -> dict[str, Version]:
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    pins = [line.partition(";")[0].split("==") for line in lines if line[:1] not in ("#", " ", "")]
    return {
        package.partition("[")[0].strip(): Version(version.strip()) for package, version in pins
    }


LOCKED, OLDEST = versions("locked.txt"), versions("oldest.txt")


@pytest.mark.parametrize("name", sorted(RANGES))
def test_ranges_begin_and_end_where_they_were_tested(name):
    bounds = {part.operator: Version(part.version) for part in RANGES[name]}
    assert set(bounds) == {">=", "<"}
    locked, end = LOCKED[name], bounds["<"].release
    assert bounds[">="] <= locked < bounds["<"]
    if name in TO_THE_MINOR:
        assert end[:2] == (locked.major, locked.minor + 1)
    if name not in UNTESTED_OLDEST:
        oldest, start = OLDEST[name], bounds[">="]
        assert (oldest.major, oldest.minor) == (start.major, start.minor)
