"""The limit of open files, each connection being one."""

import sys

MOST = 1_048_576
"""More than we need; some libraries make lists of this length."""


def raise_limit() -> None:
    """Raise the soft limit of this process to the hard one."""
    if sys.platform == "win32":
        return
    import resource  # Unix only

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
