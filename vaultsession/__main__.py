"""``python -m vaultsession``, and the ``vaultsession`` script."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line; the exit code. Without the extra ``cli``: one sentence, and 2."""
    try:
        import rich  # noqa: F401, PLC0415 - with the next: the extra, which may not be there
        import typer  # noqa: F401, PLC0415 - as above
    except ImportError as error:
        if error.name not in ("rich", "typer"):
            raise
        sys.stderr.write(
            "vaultsession: the command line is an extra: install it with pip install 'vaultsession[cli]'\n"
        )
        return 2
    from .cli import run  # noqa: PLC0415 - after what it needs is known to be there

    return run()


if __name__ == "__main__":
    sys.exit(main())
