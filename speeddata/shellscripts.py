"""The completion scripts of the shells: they ask the program what fits, and know nothing of its commands.

It answers in lines of a kind, a text and what it means, with tabs between. Words are told as they are; files,
by a pattern (`*` all, `/` directories only), are the shell's own business.
"""

from __future__ import annotations

_BASH = r"""# bash completion for speeddata, written by `python -m speeddata.manual`

_speeddata() {
    local kind text help file
    COMPREPLY=()
    while IFS=$'\t' read -r kind text help; do
        case $kind in
            word)
                COMPREPLY+=("$text")
                ;;
            files)
                compopt -o filenames 2>/dev/null
                while IFS= read -r file; do
                    COMPREPLY+=("$file")
                done < <(
                    [[ $text == '*' ]] || compgen -d -- "$2"
                    [[ $text == / ]] || compgen -f -X "!$text" -- "$2"
                )
                ;;
        esac
    done < <(_SPEEDDATA_COMPLETE=bash "${1/#\~/$HOME}" "${COMP_LINE:0:COMP_POINT}" "$2" 2>/dev/null)
}

complete -F _speeddata speeddata
"""

_ZSH = r"""#compdef speeddata
# zsh completion for speeddata, written by `python -m speeddata.manual`

_speeddata() {
    local told kind text help
    local -a line shown patterns
    line=("${(@Q)words[2,CURRENT]}")
    for told in "${(@f)$(_SPEEDDATA_COMPLETE=zsh ${~words[1]} "${line[@]}" 2>/dev/null)}"; do
        kind=${told%%$'\t'*} text=${${told#*$'\t'}%%$'\t'*} help=${told##*$'\t'}
        case $kind in
            word) shown+=("${text//:/\\:}${help:+:$help}") ;;
            files) patterns+=("$text") ;;
        esac
    done
    [[ $line[-1] == --*=* ]] && compset -P '*='
    (( $#shown )) && _describe -V speeddata shown
    for text in $patterns; do
        if [[ $text == / ]]; then
            _files -/
        else
            _files -g "$text"
        fi
    done
}

if [[ $funcstack[1] == _speeddata ]]; then
    _speeddata "$@"
else
    compdef _speeddata speeddata
fi
"""

_FISH = r"""# fish completion for speeddata, written by `python -m speeddata.manual`

function __speeddata_complete
    set -l words (commandline -opc)
    set -l typed (commandline -ct)
    for told in (env _SPEEDDATA_COMPLETE=fish $words "$typed" 2>/dev/null)
        set -l part (string split \t -- $told)
        switch $part[1]
            case word
                printf '%s\t%s\n' $part[2] "$part[3]"
            case files
                set -l option (string match -r -- '^--[^=]*=' "$typed")
                set -l begun (string replace -- "$option" '' "$typed")
                set -l ending (string replace '*' '' -- $part[2])
                set -l pattern '(/|'(string escape --style=regex -- "$ending")')(\t.*)?$'
                test "$ending" = / -o -n "$ending"; or set pattern '.'
                for file in (__fish_complete_path "$begun" | string match -r -e -- $pattern)
                    printf '%s%s\n' "$option" $file
                end
        end
    end
end

complete -c speeddata -f -a '(__speeddata_complete)'
"""

SCRIPTS = {"speeddata.bash": _BASH, "_speeddata": _ZSH, "speeddata.fish": _FISH}
