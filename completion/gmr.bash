# bash completion for gmr(1)
_gmr()
{
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]}
    local commands="report run list trigger core show symbolize scrub doctor help --version --help"
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$current")
        return
    fi
    case $previous in
        --format | --view | -f)
            mapfile -t COMPREPLY < <(compgen -W "text json xml" -- "$current")
            return
            ;;
        --sections)
            local before=""
            [[ $current == *,* ]] && before=${current%,*},
            mapfile -t COMPREPLY < <(compgen -P "$before" -W "package findings threads green_threads stacks processes configuration own limits environment
                open_files modules resources cgroup host" -- "${current##*,}")
            compopt -o nospace
            return
            ;;
        --signal | -s)
            mapfile -t COMPREPLY < <(compgen -W "USR1 USR2 HUP WINCH RTMIN+1 none" -- "$current")
            return
            ;;
        --output | -o | --config | --watch-file)
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            return
            ;;
        --log-dir)
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -d -- "$current")
            return
            ;;
    esac
    local options=""
    case $command in
        report) options="--format --output --sections --all-at-once --each-thread --all-frames --green --max-stack-bytes --max-frames --no-lines --no-cache
            --debuginfod --timeout --help" ;;
        run) options="--signal --log-dir --service --view --watch-file --config --on-crash --no-socket --follow --help --" ;;
        core) options="--format --output --each-thread --all-frames --max-frames --no-lines --no-cache --debuginfod --help" ;;
        show) options="--format --output --all-frames --help" ;;
        scrub) options="--addresses --hosts --output --help" ;;
        symbolize) options="--file --no-cache --debuginfod --format --output --help" ;;
        list | trigger | doctor) options="--help" ;;
        help) mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$current") && return ;;
    esac
    if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
        return
    fi
    case $command in
        report | trigger | doctor)
            mapfile -t COMPREPLY < <(compgen -W "$(ps -eo pid=,comm= 2>/dev/null)" -- "$current")
            ;;
        run)
            mapfile -t COMPREPLY < <(compgen -c -- "$current")
            ;;
        *)
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            ;;
    esac
}
complete -F _gmr gmr
