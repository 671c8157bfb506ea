"""The Debian package of the build under test."""

import os
import shutil
import subprocess
from pathlib import Path

from support.keeper import temporary_folder


def why_not():
    return None if shutil.which("cpack") and shutil.which("dpkg-deb") else "cpack and dpkg-deb are needed"


def package():
    """Makes it, in a folder that goes with the tests."""
    folder = Path(temporary_folder())
    subprocess.run(["cpack", "-G", "DEB", "-B", folder, "--config", os.environ["CPACK_CONFIG"]],
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=300, check=True)
    made, = folder.glob("*.deb")
    return made
