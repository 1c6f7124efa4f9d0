# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Completion of qbench for bash; the words come from the program itself. Files where it offers none.
_qbench() {
    local IFS=$'\n'
    # shellcheck disable=SC2207 # one word a line
    COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" \
        -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _qbench qbench
