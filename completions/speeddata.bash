# bash completion for speeddata, written by `python -m speeddata.manual`

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
