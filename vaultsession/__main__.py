"""``python -m vaultsession``, and the ``vaultsession`` script."""

from __future__ import annotations

import gc
import sys

_SELDOM = 50_000
"""Objects that are made between two looks for cycles: more than the start of a command makes, and all of those stay."""


def main() -> int:
    """Run the command line; the exit code. Without the extra ``cli``: one sentence, and 2."""
    gc.set_threshold(_SELDOM)
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

    code = run()
    gc.freeze()  # the end of the process would look for cycles once more, in all that was imported
    return code


if __name__ == "__main__":
    sys.exit(main())
