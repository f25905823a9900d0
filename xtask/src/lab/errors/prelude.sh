# What a case of `cargo xtask lab errors` stands on; bash, as root, in namespaces of its own that end with it.
# By the lab: ENGINE (sampan, podman or docker), SAMPAN, LAB (its folder), OUT (an empty one for the case), SHORT.
set -eu
mount --make-rshared /
mount -t tmpfs -o mode=755 run /run
ip link set lo up
DIR=$OUT/dir; mkdir -p $DIR; cd $DIR
DATA=$LAB/store
export HOME=$DIR PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
unset XDG_RUNTIME_DIR XDG_DATA_HOME XDG_CONFIG_HOME DOCKER_HOST DOCKER_CONFIG CONTAINER_HOST TERM
for variable in ${!http_proxy@} ${!HTTP_PROXY@} ${!https_proxy@} ${!HTTPS_PROXY@} no_proxy NO_PROXY; do unset $variable; done

# The case's own file over one of the host's, which stays as it is.
cover() { cat >$OUT/cover.$(basename $1); [ -e $1 ] || skip "no $1 on this machine"; mount --bind $OUT/cover.$(basename $1) $1; }
skip() { echo "$*" >$OUT/skipped; exit 0; }
need() { for program; do command -v $program >/dev/null || skip "no $program on this machine"; done; }
# The words, or what they mean, are sampan's alone.
only() { [ $ENGINE = sampan ] || skip "sampan's own"; }
without() { [ $ENGINE != $1 ] || skip "${2:-not a thing of $1}"; }
slow() { [ -z "$SHORT" ] || skip "takes too long for the short form"; }
quietly() { "$@" >/dev/null 2>$OUT/set-up.err || { cat $OUT/set-up.err >&2; return 1; }; }

AS=()
# crun knows no v1 with a v2 tree beside it; and what docker and sampan know of 127.0.0.1 podman is told.
RUNTIME=; ! command -v runc >/dev/null || RUNTIME=--runtime=runc
if [ $ENGINE = podman ]; then
    printf '[[registry]]\nlocation = "127.0.0.1:5000"\ninsecure = true\n' >$OUT/registries.conf
    export CONTAINERS_REGISTRIES_CONF=$OUT/registries.conf
fi
engine() {
    case $ENGINE in
    sampan) "${AS[@]}" $SAMPAN --root $DATA --state ${STATE:-/run/sampan} "$@" ;;
    podman) "${AS[@]}" podman $RUNTIME --root $LAB/podman --runroot /run/podman --cgroup-manager=cgroupfs --events-backend=none "$@" ;;
    docker) docker --host unix:///run/docker.sock "$@" ;;
    esac
}
run() { engine run --rm --network=none "$@"; }

# An account of the case's only, who has ids to give to containers.
user() {
    account() { { cat /etc/$1; echo "$2"; } | cover /etc/$1; }
    account passwd "errors:x:4321:4321::$DIR:/bin/sh"; account group errors:x:4321:
    account subuid errors:500000:65536; account subgid errors:500000:65536
    mkdir -m 700 /run/errors; chown 4321:4321 /run/errors $DIR
    mount -t tmpfs net /dev/net; mknod -m 666 /dev/net/tun c 10 200
    export XDG_RUNTIME_DIR=/run/errors USER=errors; DATA=$DIR/data STATE=$DIR/state
    [ $ENGINE = sampan ] || skip "looked at with sampan only"
    AS=(setpriv --reuid=4321 --regid=4321 --clear-groups)
    cp $SAMPAN $DIR/sampan; SAMPAN=$DIR/sampan; ROOTFS=$DIR/rootfs
    mkdir $ROOTFS; tar -C $ROOTFS -xf $LAB/rootfs.tar; chown -R 4321:4321 $ROOTFS
}

# Accepts a connection after the other and answers each with these lines, whatever is asked.
answers() {
    need busybox
    printf '#!/bin/sh\nwhile read line; do line=${line%%?}; [ -n "$line" ] || break; done\nprintf "%%s\\r\\n" "HTTP/1.1 %s" ' "$1" >answer
    shift; printf "'%s' " "$@" Connection:\ close >>answer; printf '"" ""\n' >>answer; chmod +x answer
    busybox nc -ll -p 5000 -e $DIR/answer & listening 5000
}
listening() {
    local port; port=$(printf ':%04X ' $1)
    for _ in {1..200}; do ! grep -q "$port.*0A " /proc/net/tcp /proc/net/tcp6 || return 0; sleep 0.05; done; return 1
}

# Debian's registry at 127.0.0.1:5000, also called registry.test; the arguments are more of its configuration.
registry() {
    need docker-registry
    printf '127.0.0.1 localhost registry.test other.test\n' | cover /etc/hosts
    printf '%s\n' 'version: 0.1' 'log: {level: error, accesslog: {disabled: true}}' \
        "storage: {filesystem: {rootdirectory: $DIR/registry}}" 'http:' '  addr: :5000' '  secret: x' "$@" >config.yml
    docker-registry serve config.yml >registry.log 2>&1 & listening 5000
}
# An authority and a certificate of it for registry.test.
certificate() {
    need openssl
    local key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
    quietly openssl req -x509 -subj /CN=authority -days 2 -out ca.crt -keyout ca.key $key
    quietly openssl req -new -subj /CN=registry.test -out server.csr -keyout server.key $key
    printf 'subjectAltName=DNS:registry.test\n' >san
    quietly openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days ${1:-2} -extfile san -out server.pem
}
trusted() { for root in /etc/docker /etc/containers; do mkdir -p $root; mount -t tmpfs c $root; install -D ca.crt $root/certs.d/registry.test:5000/ca.crt; done; }
TLS="  tls: {certificate: server.pem, key: server.key}"
# The lab's image at the plain registry.
pushed() { quietly engine tag lab 127.0.0.1:5000/lab; quietly engine push $( [ $ENGINE != podman ] || echo --tls-verify=false ) 127.0.0.1:5000/lab; quietly engine rmi 127.0.0.1:5000/lab; }

# What could be left: mounts, links, rules, files and processes of an engine.
picture() {
    cut -d' ' -f5 /proc/self/mountinfo | sed 's/^/mount /' | sort
    ls /sys/class/net | sed 's/^/link /'
    ! command -v nft >/dev/null || nft -s list ruleset
    [ $ENGINE = sampan ] || return 0
    find $DATA/containers $DATA/names $DATA/tmp $DATA/partial $DATA/volumes ${STATE:-/run/sampan}/containers \
        ${STATE:-/run/sampan}/networks -mindepth 1 -maxdepth 2 2>/dev/null | grep -v -e '/\.' -e /upper$ -e /work$ | sort || true
    for process in /proc/[0-9]*/cmdline; do tr '\0' ' ' <$process; echo; done 2>/dev/null | grep -a -e ^sampan -e "^$SAMPAN" | sort || true
}

# The user's command: what it says, its code, and that the host is as before.
fails() {
    picture >$OUT/before
    local code=0
    "$@" </dev/null >$OUT/stdout 2>$OUT/stderr || code=$?
    # A bridge lingers after its last container (docs/adr/0006-bridge-removal.md).
    for _ in {1..60}; do picture >$OUT/after; ! cmp -s $OUT/before $OUT/after || break; sleep 0.1; done
    diff $OUT/before $OUT/after >$OUT/left || true
    echo $code >$OUT/code
}

begin() {
    [ $ENGINE = docker ] || return 0
    dockerd --config-file <(echo '{}') --data-root $LAB/docker --exec-root /run/docker --pidfile /run/docker.pid \
        --host unix:///run/docker.sock --bridge none --iptables=false >$OUT/dockerd.log 2>&1 &
    for _ in {1..300}; do engine version >/dev/null 2>&1 && return; sleep 0.1; done
    cat $OUT/dockerd.log >&2; exit 1
}
end() {
    [ $ENGINE = docker ] || { AS=(); engine rm --force --all >/dev/null 2>&1 || true; return; }
    engine rm --force $(engine ps -aq) >/dev/null 2>&1 || true
    kill $(cat /run/docker.pid); wait
}
