# Runs one program and ends it when the process guard, this script's standard input, is
# closed: by the process that holds it, or by the kernel when that process dies.
#
#   process_guard.sh SIGNAL GRACE PROGRAM [ARGUMENT]...
#
# Standard output reports the program's process id and, at the end, its exit status.
# The program's own output goes to standard error.
signal=$1
tenths=$2
shift 2

# A background job of sh loses its standard input, so the pipe moves to another number.
exec 3<&0
"$@" </dev/null >&2 3<&- &
child=$!
echo "$child"

(
    read -r _ <&3
    kill -s "$signal" "$child"
    # A paused program acts on the signal only once it goes on.
    kill -s CONT "$child"
    while [ "$tenths" -gt 0 ]; do
        kill -s 0 "$child" || exit 0
        sleep 0.1
        tenths=$((tenths - 1))
    done
    kill -s KILL "$child"
) </dev/null >/dev/null 2>&1 &
watcher=$!

wait "$child"
status=$?
# Before anything else: once the child is reaped, its process id may be given away.
kill -s KILL "$watcher"
echo "exit $status"
