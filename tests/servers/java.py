"""Where Java and the jars are that two of the servers need."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.servers.server import START_LIMIT_S, ServerMissing


def find_java() -> str:
    """Path of a Java 17 or newer (deploy/lock/servers.sh looks in the same places); ServerMissing without one."""
    home = os.environ.get("JAVA_HOME")
    candidates = [str(Path(home) / "bin" / "java")] if home else []
    candidates += ["java", *sorted(str(path) for path in Path("/usr/lib/jvm").glob("*/bin/java"))]
    for candidate in candidates:
        program = shutil.which(candidate)
        if program is None:
            continue
        said = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=START_LIMIT_S, check=False)
        version = re.search(r'version "(\d+)', said.stderr)
        if version is not None and int(version.group(1)) >= 17:
            return program
    raise ServerMissing("no Java 17 or newer: `make install-servers`, or apt-get install openjdk-17-jre-headless")


def find_jars(name: str, versioned: str) -> list[Path]:
    """versioned: how the jar begins whose version the folder of all of them has."""
    listed = Path(__file__).parent.parent.parent / "deploy" / "lock" / f"{name}-jars.txt"
    jars = [line.split()[1] for line in listed.read_text().splitlines()]
    version = next(jar.removeprefix(versioned).removesuffix(".jar") for jar in jars if jar.startswith(versioned))
    cache = Path(os.environ.get("FANFOLD_TEST_CACHE") or Path.home() / ".cache" / "fanfold")
    found = [cache / f"{name}-{version}" / jar for jar in jars]
    if not all(jar.is_file() for jar in found):
        raise ServerMissing(f"The jars of {name} are not in {cache}: `make install-servers` fetches them")
    return found
