"""`make test-slurm`: the tests marked `slurm`, in namespaces of their own, on a real Slurm.

Needs root, for the namespaces and the packages. Where something is missing the tests are skipped
and say what; pytest's closing line is printed in any case.
"""

import os
import shutil
import subprocess
import sys

# Package -> a command of it.
PACKAGES = {
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "slurm-client": "sbatch",
    "iproute2": "ip",
}
PYTEST = [sys.executable, "-m", "pytest", "-m", "slurm", "tests/slurm", *sys.argv[1:]]
# An own process table, so that no daemon or job outlives the tests; an own network without a way
# out; own mounts, so that /etc/slurm of this machine is not touched.
UNSHARE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
# glibc resolves no name where 127.0.0.1 is the only address; 192.0.2.1 is one for examples.
INSIDE = """
ip link set lo up && ip address add 192.0.2.1/32 dev lo && mount -t tmpfs slurm /etc/slurm &&
exec "$@"
"""


def reason_to_skip() -> str:
    """What is missing, after an attempt to install it; empty when nothing is."""
    if os.getuid() != 0:
        return "needs root, to start a Slurm of its own"
    if not all(shutil.which(command) for command in PACKAGES.values()):
        if not shutil.which("apt-get"):
            return f"needs {', '.join(PACKAGES)}, and there is no apt-get to install them"
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for words in (["update"], ["install", "--yes", "--no-install-recommends", *PACKAGES]):
            done = subprocess.run(["apt-get", "-qq", *words], env=environment, capture_output=True)
            if done.returncode:
                last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
                return f"apt-get {words[0]} failed: {' '.join(last)}"
    probe = subprocess.run([*UNSHARE, "sh", "-c", INSIDE, "sh", "true"], capture_output=True)
    if probe.returncode:
        return f"no namespaces: {probe.stderr.decode(errors='replace').strip()}"
    return ""


def main() -> int:
    """Run pytest inside, or outside with the reason to skip."""
    reason = reason_to_skip()
    if reason:
        return subprocess.run(
            PYTEST, env=os.environ | {"SCPRESS_SLURM": f"no: {reason}"}
        ).returncode
    environment = os.environ | {"SCPRESS_SLURM": "yes"}
    return subprocess.run([*UNSHARE, "sh", "-c", INSIDE, "sh", *PYTEST], env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
