# fish completion for speeddata, written by `python -m speeddata.manual`

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
