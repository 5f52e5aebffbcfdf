"""``vaultsession completion``: what makes a shell complete."""

from __future__ import annotations

from typing import Literal

from typer import Argument
from typer.completion import get_completion_script  # type: ignore[attr-defined]  # there, and not in __all__

from .. import output
from ..main import COMPLETION

_BASH = r"""
_vaultsession_completion() {
    # Words are cut at blanks alone: an id may hold a colon or an equals sign, at which bash would cut as well.
    local IFS=$'\n' line="${COMP_LINE:0:COMP_POINT}" word cut
    word="${line##* }"
    local -a words
    IFS=' ' read -r -a words <<< "$line"
    [[ -n "$word" ]] || words+=("''")
    COMPREPLY=( $( COMP_WORDS="${words[*]}" COMP_CWORD=$(( ${#words[@]} - 1 )) \
                   _VAULTSESSION_COMPLETE=complete_bash "$1" 2>/dev/null ) )
    cut="${word%"${word##*[:=]}"}"
    [[ -n "$cut" ]] && COMPREPLY=( "${COMPREPLY[@]#"$cut"}" )
    return 0
}

complete -o default -F _vaultsession_completion vaultsession
"""


Shell = Literal["bash", "zsh", "fish"]


def completion(shell: Shell = Argument(..., metavar="SHELL", help="bash, zsh or fish.")) -> None:
    """Print what makes a shell complete commands, options and ids.

    Ids are completed where the vault opens without a question: with a key in a file or in the environment. Nothing is
    asked, changed or complained of while a line is completed.
    """
    if shell == "bash":
        output.line(_BASH.strip())
    else:
        output.line(get_completion_script(prog_name="vaultsession", complete_var=COMPLETION, shell=shell))
