#!/bin/sh
# Watches a new service after its deployment has ended, with no deployer alive: guard.sh NEW OLD SECONDS ERRORS
# NEW and OLD are places behind the proxy, SECONDS the time of the watch, ERRORS the share of NEW's answers that may be 5xx.
# Where NEW is found down or fails, OLD answers again at once, and the reason is left in /tmp/guard for the deployment log.
set -eu
new=$1 old=$2 seconds=$3 errors=$4
report=/tmp/guard

ask() {
    printf '%s\n' "$1" | socat -t10 - UNIX-CONNECT:/tmp/admin.sock
}

# How many requests a place has answered, how many of them with 5xx, how often it was found down, and whether it is down now.
look() {
    ask "show stat" | awk -F, -v slot="$1" '
        NR == 1 { sub(/^# /, ""); for (i = 1; i <= NF; i++) at[$i] = i; next }
        $(at["svname"]) == slot {
            failed += $(at["hrsp_5xx"]); down += $(at["chkdown"])
            answered += $(at["hrsp_2xx"]) + $(at["hrsp_4xx"]) + $(at["hrsp_5xx"])
            if ($(at["status"]) !~ /^UP/) off = 1
        }
        END { print answered + 0, failed + 0, down + 0, off + 0 }'
}

go_back() {
    ask "set map /etc/haproxy/share.map share 0; set map /etc/haproxy/roles.map main $old; set map /etc/haproxy/roles.map other $new; set server blue_first/$new state maint; set server green_first/$new state maint" > /dev/null
    echo "returned $new $old $(date +%s) $1" > "$report"
    exit 0
}

echo $$ > /tmp/guard.pid
echo "watching $new $old $(date +%s)" > "$report"
set -- $(look "$new")
first_answered=$1 first_failed=$2 first_down=$3 downs=0
end=$(($(date +%s) + seconds))
while [ "$(date +%s)" -lt "$end" ]; do
    sleep 0.5
    set -- $(look "$new")
    answered=$(($1 - first_answered)) failed=$(($2 - first_failed)) down=$(($3 - first_down))
    if [ "$4" = 1 ]; then downs=$((downs + 1)); else downs=0; fi
    # Without an old service that could answer there is nothing to go back to.
    [ "$(look "$old" | cut -d' ' -f4)" = 0 ] || continue
    # Each place is checked twice over, once for either leader: two of both are no hiccup.
    if [ "$downs" -ge 2 ] || [ "$down" -ge 4 ]; then
        # What hangs there is ended, for its clients would wait on for nothing.
        trap 'ask "shutdown sessions server blue_first/$new; shutdown sessions server green_first/$new" > /dev/null' EXIT
        times=$((($down + 1) / 2))
        if [ "$times" -le 1 ]; then times=once; else times="$times times"; fi
        go_back "it was found down, crashed or hanging, $times"
    fi
    if awk -v failed="$failed" -v answered="$answered" -v errors="$errors" 'BEGIN { exit !(failed > errors * answered) }'; then
        go_back "$failed of $answered requests failed"
    fi
done
echo "kept $new $old $(date +%s)" > "$report"
