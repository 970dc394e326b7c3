# fish completion for gmr(1)
complete -c gmr -f
set -l commands report run list trigger core show symbolize scrub doctor help
function __gmr_using
    set -l words (commandline -opc)
    test (count $words) -gt 1; and contains -- $words[2] $argv
end
complete -c gmr -n "not __fish_seen_subcommand_from $commands" -a "$commands"
complete -c gmr -n "not __fish_seen_subcommand_from $commands" -l version -d 'Print the version'
complete -c gmr -n "__gmr_using report trigger doctor" -a "(__fish_complete_pids)"
complete -c gmr -n "__gmr_using report core show symbolize" -s f -l format -x -a "text json xml" -d 'View'
complete -c gmr -n "__gmr_using report core show symbolize scrub" -s o -l output -r -F -d 'File to write'
complete -c gmr -n "__gmr_using report" -l sections -x -d 'Only these sections' \
    -a "package findings threads green_threads stacks processes configuration own limits environment open_files modules resources cgroup host"
complete -c gmr -n "__gmr_using report" -l all-at-once -d 'Stop all threads together'
complete -c gmr -n "__gmr_using report" -l green -x -d 'Only these green threads'
complete -c gmr -n "__gmr_using report" -l max-stack-bytes -x -d 'Bytes of one stack'
complete -c gmr -n "__gmr_using report" -l timeout -x -d Seconds
complete -c gmr -n "__gmr_using report core" -l each-thread -d 'Print every stack'
complete -c gmr -n "__gmr_using report core show" -l all-frames -d 'With the functions of an interpreter'
complete -c gmr -n "__gmr_using report core" -l max-frames -x -d 'Frames of one stack'
complete -c gmr -n "__gmr_using report core" -l no-lines -d 'Function names only'
complete -c gmr -n "__gmr_using report core" -l no-cache -d 'Leave the symbol cache alone'
complete -c gmr -n "__gmr_using report core symbolize" -l debuginfod -d 'Fetch debug information'
complete -c gmr -n "__gmr_using run" -s s -l signal -x -a "USR1 USR2 HUP none" -d Signal
complete -c gmr -n "__gmr_using run" -s f -l view -x -a "text json xml" -d 'View of its reports'
complete -c gmr -n "__gmr_using run" -l log-dir -r -F -d 'Directory of report files'
complete -c gmr -n "__gmr_using run" -l service -x -d Name
complete -c gmr -n "__gmr_using run" -l watch-file -r -F -d 'File to watch'
complete -c gmr -n "__gmr_using run" -l config -r -F -d 'INI file'
complete -c gmr -n "__gmr_using run" -l on-crash -d 'Report on fatal signals'
complete -c gmr -n "__gmr_using run" -l no-socket -d 'No control socket'
complete -c gmr -n "__gmr_using run" -l follow -d 'Programs it starts as well'
complete -c gmr -n "__gmr_using symbolize" -l file -r -F -d 'Program, library or debug file'
complete -c gmr -n "__gmr_using scrub" -l addresses -d 'Take out addresses'
complete -c gmr -n "__gmr_using scrub" -l hosts -d 'Take out host names'
complete -c gmr -n "__gmr_using core show symbolize scrub" -F
complete -c gmr -n "__gmr_using help" -a "$commands"
