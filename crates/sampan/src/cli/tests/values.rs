//! Each flag of `run`: a value it takes, and values it refuses.

use super::{message, run, split};
use crate::cli::tree;
use clap::ArgAction;
use engine::request::Run;
use std::collections::BTreeSet;
use std::fmt::Debug;

type Field = fn(&Run) -> Box<dyn Debug + '_>;

/// The flag with a value, the field it lands in, and what the field then is.
fn taken() -> Vec<(&'static str, Field, &'static str)> {
    macro_rules! rows {
        ($($words:literal $($field:ident).+ = $value:literal)*) => {
            vec![$(($words, |run: &Run| Box::new(&run.$($field).+), $value)),*]
        };
    }
    rows! {
        "--name web" name = "Some(ContainerId(\"web\"))"
        "--rm" remove = "true"
        "--detach" detach = "true"
        "-d" detach = "true"
        "--replace" replace = "true"
        "--health-cmd true" health.command = "Some([\"CMD-SHELL\", \"true\"])"
        "--health-interval 1m30s" health.interval = "Some(Duration(90s))"
        "--health-retries 5" health.retries = "Some(5)"
        "--health-timeout 500ms" health.timeout = "Some(Duration(500ms))"
        "--health-start-period 1s" health.start_period = "Some(Duration(1s))"
        "--health-start-interval 2s" health.start_interval = "Some(Duration(2s))"
        "--health-on-failure restart" health.on_failure = "Restart"
        "--no-healthcheck" health.none = "true"
        "--log-driver json-file" log.driver = "Some(JsonFile)"
        "--log-opt max-file=3" log.max_files = "Some(3)"
        "--requires a,b --requires c" requires = "[ContainerId(\"a\"), ContainerId(\"b\"), ContainerId(\"c\")]"
        "--restart always" restart = "Always"
        "--restart on-failure:3" restart = "OnFailure(Some(3))"
        "--restart on-failure:0" restart = "OnFailure(None)"
        "--restart unless-stopped" restart = "UnlessStopped"
        "--rootfs /r:O" rootfs = "Directory { path: \"/r\", overlay: true }"
        "--pull never" rootfs = "Image { reference: \"x\", pull: Never, platform: None }"
        "--platform linux/arm64/v8" rootfs = "Image { reference: \"x\", pull: Missing, \
            platform: Some(Platform { architecture: \"arm64\", variant: Some(\"v8\") }) }"
        "--pull newer" rootfs = "Image { reference: \"x\", pull: Newer, platform: None }"
        "--tls-verify" access.tls_verify = "Some(true)"
        "--tls-verify=false" access.tls_verify = "Some(false)"
        "--authfile /a" access.authfile = "Some(\"/a\")"
        "--creds u:secret" access.credentials = "Some(Password(\"u\"))"
        "--cert-dir /c" access.cert_dir = "Some(\"/c\")"
        "--storage-opt size=1g" files.layer_size = "Some(Size(1073741824))"
        "--retry 3" access.retry.times = "Some(3)"
        "--retry-delay 2s" access.retry.delay = "Some(2s)"
        "--http-proxy=false" no_proxies = "true"
        "--label a=b=c" labels = "[(\"a\", \"b=c\")]"
        "-l a" labels = "[(\"a\", \"\")]"
        "--annotation a=b" annotations = "[(\"a\", \"b\")]"
        "--cidfile /c" cidfile = "Some(\"/c\")"
        "--pidfile /p" pidfile = "Some(\"/p\")"
        "--runtime crun" runtime = "Some(\"crun\")"
        "--stop-signal SIGINT" stop.signal = "Some(Signal(2))"
        "--stop-timeout 30" stop.patience = "Some(Seconds(30))"
        "--stop-timeout -1" stop.patience = "Some(Endless)"
        "--explain" explain = "true"
        "--timings" timings = "true"
        "--quiet" quiet = "true"
        "-q" quiet = "true"

        "--entrypoint /bin/sh" process.entrypoint = "Some([\"/bin/sh\"])"
        "--entrypoint [\"a\",\"b\"]" process.entrypoint = "Some([\"a\", \"b\"])"
        "--env A=b" process.env = "[Variable { name: \"A\", value: Some(\"b\") }]"
        "-e A=" process.env = "[Variable { name: \"A\", value: Some(\"\") }]"
        "--env-file /dev/null" process.env = "[]"
        "--workdir /srv" process.workdir = "Some(\"/srv\")"
        "-w /" process.workdir = "Some(\"/\")"
        "--user 1000:staff" process.user = "Some(User { user: \"1000\", group: Some(\"staff\") })"
        "-u nobody" process.user = "Some(User { user: \"nobody\", group: None })"
        "--group-add 5 --group-add audio" process.groups = "[\"5\", \"audio\"]"
        "--init" process.init = "true"
        "--ulimit nofile=5:6" process.ulimits = "[Rlimit { kind: \"RLIMIT_NOFILE\", soft: 5, hard: 6 }]"
        "--oom-score-adj -500" process.oom_score_adj = "Some(-500)"

        "--interactive" terminal.interactive = "true"
        "--tty" terminal.tty = "true"
        "--detach-keys ctrl-a,d" terminal.detach_keys = "[1, 100]"
        "--sig-proxy=false" terminal.forward_signals = "false"

        "--volume /s:/t:ro" files.mounts = "[Mount { target: \"/t\", flags: Flags { read_only: true, exec: None, \
            dev: None, suid: None }, kind: Bind(Bind { source: \"/s\", create: true, recursion: Recursive, \
            propagation: None, relabel: None, chown: false, idmap: None }) }]"
        "--mount type=bind,src=/s,dst=/t" files.mounts = "[Mount { target: \"/t\", flags: Flags { read_only: false, \
            exec: None, dev: None, suid: None }, kind: Bind(Bind { source: \"/s\", create: false, \
            recursion: Recursive, propagation: None, relabel: None, chown: false, idmap: None }) }]"
        "--secret a,type=env,target=B" secrets = "[Secret { name: \"a\", way: Variable(\"B\") }]"
        "--volumes-from a:ro" files.volumes_from = "[From { container: ContainerId(\"a\"), read_only: true }]"
        "--tmpfs /t:size=1k" files.mounts = "[Mount { target: \"/t\", flags: Flags { read_only: false, exec: None, \
            dev: None, suid: None }, kind: Tmpfs(Tmpfs { size: Some(Bytes(Size(1024))), mode: None, uid: None, \
            gid: None, inodes: None }) }]"
        "--read-only" files.read_only = "true"
        "--shm-size 1k" files.shm_size = "Some(Size(1024))"
        "--device /dev/fuse:rw" files.devices = "[Device { host: \"/dev/fuse\", container: \"/dev/fuse\", \
            access: Access { read: true, write: true, mknod: false } }]"
        "--device-cgroup-rule c~1:*~r" limits.device_rules = "[DeviceRule { kind: Char, major: Some(1), minor: None, \
            access: Access { read: true, write: false, mknod: false } }]"

        "--network none" network.mode = "Some(None)"
        "--network a --network b:alias=x" network.mode = "Some(Networks([Endpoint { network: \"a\", ip: None, ip6: None, \
            mac: None, aliases: [], link: None, priority: 0 }, Endpoint { network: \"b\", ip: None, ip6: None, mac: None, \
            aliases: [\"x\"], link: None, priority: 0 }]))"
        "--network-alias x" network.aliases = "[\"x\"]"
        "--net container:web" network.mode = "Some(Container(ContainerId(\"web\")))"
        "--publish 127.0.0.1:8080:80/udp" network.publish = "[Publish { address: Some(127.0.0.1), \
            host: Some(Ports { first: 8080, last: 8080 }), container: Ports { first: 80, last: 80 }, protocol: Udp }]"
        "-p 80-81" network.publish = "[Publish { address: None, host: None, \
            container: Ports { first: 80, last: 81 }, protocol: Tcp }]"
        "--publish-all" network.publish_all = "true"
        "-P" network.publish_all = "true"
        "--expose 53/udp" network.expose = "[Expose { ports: Ports { first: 53, last: 53 }, protocol: Udp }]"
        "--hostname my-container" network.hostname = "Some(\"my-container\")"
        "-h a.b" network.hostname = "Some(\"a.b\")"
        "--domainname d" network.domainname = "Some(\"d\")"
        "--ip 10.0.0.7" network.ip = "Some(10.0.0.7)"
        "--ip6 fd00::7" network.ip6 = "Some(fd00::7)"
        "--mac-address 02:00:00:00:00:0a" network.mac = "Some(Mac([2, 0, 0, 0, 0, 10]))"
        "--dns 9.9.9.9 --dns ::1" network.dns = "[9.9.9.9, ::1]"
        "--dns-search a.org --dns-search ." network.dns_search = "[\"a.org\", \".\"]"
        "--dns-option ndots:2" network.dns_options = "[\"ndots:2\"]"
        "--dns-opt rotate" network.dns_options = "[\"rotate\"]"
        "--add-host db:10.0.0.7" network.add_host = "[AddHost { names: [\"db\"], address: Some(10.0.0.7) }]"

        "--pid host" namespaces.pid = "Host"
        "--ipc container:web" namespaces.ipc = "Container(ContainerId(\"web\"))"
        "--uts ns:/proc/1/ns/uts" namespaces.uts = "Path(\"/proc/1/ns/uts\")"
        "--cgroupns host" namespaces.cgroup = "Host"
        "--userns keep-id" namespaces.user = "Some(KeepId { uid: None, gid: None })"
        "--uidmap 0:5:1" namespaces.uid_map = "[IdMapping { container_id: 0, host_id: 5, size: 1 }]"
        "--gidmap 0:5" namespaces.gid_map = "[IdMapping { container_id: 0, host_id: 5, size: 1 }]"

        "--memory 100m" limits.memory = "Some(Size(104857600))"
        "--memory 1g --memory-swap -1" limits.memory_swap = "Some(Unlimited)"
        "--memory-swap 2g" limits.memory_swap = "Some(At(Size(2147483648)))"
        "--memory-reservation 1k" limits.memory_reservation = "Some(Size(1024))"
        "--memory-swappiness 0" limits.memory_swappiness = "Some(0)"
        "--oom-kill-disable" limits.oom_kill_disable = "true"
        "--cpus 0.25" limits.cpus = "Some(Cpus(250000000))"
        "--cpu-shares 512" limits.cpu_shares = "Some(512)"
        "-c 2" limits.cpu_shares = "Some(2)"
        "--cpu-quota 50000" limits.cpu_quota = "Some(At(50000))"
        "--cpu-period 1000" limits.cpu_period = "Some(1000)"
        "--cpuset-cpus 0-1,3" limits.cpuset_cpus = "Some(Numbers { runs: [(0, 1), (3, 3)] })"
        "--cpuset-mems 0" limits.cpuset_mems = "Some(Numbers { runs: [(0, 0)] })"
        "--pids-limit 64" limits.pids = "Some(At(64))"
        "--pids-limit 0" limits.pids = "Some(Unlimited)"
        "--blkio-weight 500" limits.blkio_weight = "Some(500)"
        "--blkio-weight-device /dev/sda:10" limits.blkio_weight_device = "[DeviceWeight { device: \"/dev/sda\", \
            weight: 10 }]"
        "--device-read-bps /dev/sda:1mb" limits.device_read_bps = "[DeviceRate { device: \"/dev/sda\", \
            rate: Size(1048576) }]"
        "--device-write-bps /dev/sda:1" limits.device_write_bps = "[DeviceRate { device: \"/dev/sda\", \
            rate: Size(1) }]"
        "--device-read-iops /dev/sda:5" limits.device_read_iops = "[DeviceRate { device: \"/dev/sda\", \
            rate: Operations(5) }]"
        "--device-write-iops /dev/sda:5" limits.device_write_iops = "[DeviceRate { device: \"/dev/sda\", \
            rate: Operations(5) }]"
        "--cgroup-parent batch" limits.cgroup_parent = "Some(\"/batch\")"

        "--privileged" security.privileged = "true"
        "--cap-add net_admin" security.cap_add = "[Named(\"CAP_NET_ADMIN\")]"
        "--cap-drop ALL" security.cap_drop = "[All]"
        "--security-opt no-new-privileges" security.no_new_privileges = "true"
        "--security-opt seccomp=unconfined" security.seccomp = "Unconfined"
        "--sysctl net.core.somaxconn=5" security.sysctls = "[(\"net.core.somaxconn\", \"5\")]"
    }
}

/// The flag with a wrong value, why it is wrong, and the way to write it.
const REFUSED: &[(&str, &str, &str)] = &[
    ("--health-cmd [", "neither a line nor a list in JSON", "[\"program\", \"argument\"]"),
    ("--health-interval x", "unknown unit \"x\"", "write numbers with h, m, s, ms, us or ns: 1m30s"),
    ("--health-timeout x", "unknown unit \"x\"", "write numbers with h, m, s, ms, us or ns: 1m30s"),
    ("--health-start-period x", "unknown unit \"x\"", "write numbers with h, m, s, ms, us or ns: 1m30s"),
    ("--health-start-interval x", "unknown unit \"x\"", "write numbers with h, m, s, ms, us or ns: 1m30s"),
    ("--health-retries 0", "not a number of times", "3"),
    ("--health-on-failure burn", "unknown action \"burn\"", "one of none, kill, restart, stop"),
    ("--log-driver none-such", "there is no log driver \"none-such\"", "one of k8s-file, json-file, journald, none"),
    ("--log-opt colour=red", "there is no log option \"colour\"", "one of max-size, max-file, path, tag, labels, env"),
    (
        "--requires /b",
        "invalid container name \"/b\": only [a-zA-Z0-9][a-zA-Z0-9_.-]* are allowed",
        "a letter or digit, then letters, digits, _, . and -; 128 at most",
    ),
    ("--restart sometimes", "unknown restart policy", "one of no, on-failure[:TIMES], always, unless-stopped"),
    ("--restart always:3", "a number of times is for on-failure only", "on-failure:3"),
    ("--restart on-failure:x", "\"x\" is no number of times", ""),
    (
        "--name /web",
        "invalid container name \"/web\": only [a-zA-Z0-9][a-zA-Z0-9_.-]* are allowed",
        "a letter or digit, then letters, digits, _, . and -; 128 at most",
    ),
    ("--rootfs --rm", "a flag where the directory should be", "write the directory after --rootfs"),
    ("--rootfs=", "an empty path", ""),
    ("--rootfs=:O", "an empty path", ""),
    ("--pull often", "unknown pull policy", "one of always, missing, never, newer"),
    ("--tls-verify=maybe", "\"maybe\" is neither true nor false", "write true or false"),
    ("--authfile=", "not a path", "write a path"),
    ("--http-proxy=maybe", "\"maybe\" is neither true nor false", "write true or false"),
    ("--retry-delay=x", "unknown unit \"x\"", "write numbers with h, m, s, ms, us or ns: 1m30s"),
    ("--storage-opt=x", "there is no such option of the storage", "size=BYTES"),
    ("--retry=x", "invalid digit found in string", ""),
    ("--cert-dir=", "not a path", "write a path"),
    ("--creds alice", "not a user and a password", "write USER:PASSWORD"),
    ("--platform arm64", "not a platform", "write os/architecture[/variant]: linux/arm64/v8"),
    ("--platform windows/amd64", "containers of \"windows\" cannot run on Linux", "linux/ARCHITECTURE"),
    ("--label =b", "no key before the =", "write KEY=VALUE"),
    ("--annotation =b", "no key before the =", "write KEY=VALUE"),
    ("--cidfile=", "an empty path", ""),
    ("--pidfile=", "an empty path", ""),
    ("--runtime=", "an empty word", ""),
    ("--stop-signal TERMINATE", "unknown signal", "a name such as SIGTERM, or a number from 1 to 64"),
    ("--stop-timeout soon", "not a number of seconds", "10, or -1"),
    ("--entrypoint [sh]", "neither a program nor a list in JSON", "[\"program\", \"argument\"]"),
    ("--env =b", "a variable without a name", "write NAME=VALUE, or NAME to pass it on"),
    ("--workdir srv", "not an absolute path", "/srv"),
    ("--user :5", "\"\" is not a user or group", "write NAME or NUMBER, with :GROUP after it if needed: 1000:1000"),
    (
        "--group-add a:b",
        "\"a:b\" is not a user or group",
        "write NAME or NUMBER, with :GROUP after it if needed: 1000:1000",
    ),
    ("--ulimit nofile", "no value", "write NAME=SOFT[:HARD]: nofile=1024:2048"),
    ("--oom-score-adj 1001", "\"1001\" is not from -1000 to 1000", ""),
    ("--detach-keys ctrl", "unknown key \"ctrl\"", "characters or ctrl-X, by commas: ctrl-p,ctrl-q"),
    (
        "--volume a/b:/t",
        "\"a/b\" is no name of a volume",
        "a letter or digit, then letters, digits, _, . and -; for a directory write its path: ./NAME",
    ),
    ("--mount type=nfs,dst=/t", "unknown mount type \"nfs\"", "type=bind, volume, tmpfs, image or devpts"),
    ("--secret a,type=disk", "unknown type \"disk\"", "type=mount or type=env"),
    ("--volumes-from a:x", "unknown option \"x\"", "ro, rw or z"),
    ("--tmpfs run", "the container path \"run\" is not absolute", "/run"),
    ("--shm-size 1q", "unknown unit \"q\"", "write a number and b, k, m, g, t or p: 100m"),
    (
        "--device fuse",
        "the device path \"fuse\" is not absolute",
        "write DEVICE[:CONTAINER-PATH[:rwm]]: /dev/fuse, /dev/sda:/dev/xvda:r",
    ),
    (
        "--device-cgroup-rule c",
        "not a device rule",
        "write TYPE MAJOR:MINOR ACCESS: 'c 10:229 rw', with * for any number",
    ),
    ("--publish http", "\"http\" is not a port", "a number from 1 to 65535"),
    (
        "--network a/b",
        "no name of a network",
        "a letter or digit, then letters, digits, _, . and -; or one of none, \
        host, pasta, container:NAME, ns:PATH",
    ),
    ("--network-alias -x", "not a host name", "up to 64 letters, digits, -, _ and ."),
    ("--expose 0", "\"0\" is not a port", "a number from 1 to 65535"),
    ("--hostname a_b/c", "not a host name", "up to 64 letters, digits, -, _ and ."),
    ("--domainname=", "not a host name", "up to 64 letters, digits, -, _ and ."),
    ("--ip ::1", "not an IPv4 address", "four numbers, such as 10.88.0.7"),
    ("--ip6 10.0.0.7", "not an IPv6 address", "such as fd00::7"),
    ("--mac-address 02:42", "not an Ethernet address", "six bytes in hex: 02:42:ac:11:00:02"),
    ("--dns localhost", "not an IP address", "such as 9.9.9.9"),
    ("--dns-search -a", "not a domain name", "example.org, or . for no search list"),
    ("--dns-option=", "not a resolver option", "one word of resolv.conf(5), such as ndots:2"),
    ("--add-host db", "no address after the name", "write NAME:ADDRESS: db:10.0.0.7, or NAME:host-gateway"),
    ("--pid hots", "unknown namespace mode", "one of private, host, container:NAME, ns:PATH"),
    ("--ipc none", "unknown namespace mode", "one of private, host, container:NAME, ns:PATH"),
    ("--uts ns:x", "the path after ns: is not absolute", "ns:/proc/PID/ns/KIND"),
    ("--cgroupns=", "unknown namespace mode", "one of private, host, container:NAME, ns:PATH"),
    (
        "--userns none",
        "unknown namespace mode",
        "one of host, private, auto, keep-id[:uid=N,gid=N], container:NAME, ns:PATH",
    ),
    ("--uidmap 0", "not an id mapping", "write CONTAINER-ID:HOST-ID:SIZE: 0:100000:65536"),
    ("--gidmap 0:0:0", "an empty range, or one past 4294967294", "write CONTAINER-ID:HOST-ID:SIZE: 0:100000:65536"),
    ("--memory 100q", "unknown unit \"q\"", "write a number and b, k, m, g, t or p: 100m"),
    ("--memory -1", "a size cannot be negative", "write a number and b, k, m, g, t or p: 100m"),
    ("--memory-swap -2", "a size cannot be negative", "write a number and b, k, m, g, t or p: 100m"),
    ("--memory-reservation all", "a size starts with a number", "write a number and b, k, m, g, t or p: 100m"),
    ("--memory-swappiness 101", "\"101\" is not from 0 to 100", ""),
    ("--cpus two", "not a number of CPUs", "write a number of CPUs: 0.25, 1.5, 2"),
    ("--cpu-shares 1", "\"1\" is not from 2 to 262144", ""),
    ("--cpu-quota 10", "not a quota in microseconds", "1000 or more, or -1 for no quota"),
    ("--cpu-period 999", "\"999\" is not from 1000 to 1000000", ""),
    ("--cpuset-cpus 3-1", "\"3-1\" is not a list of numbers", "0-3,5"),
    ("--cpuset-mems a", "\"a\" is not a list of numbers", "0-3,5"),
    ("--pids-limit many", "not a number of processes", "64, or -1"),
    ("--blkio-weight 1001", "\"1001\" is not from 10 to 1000", ""),
    ("--blkio-weight-device /dev/sda:9", "the weight \"9\" is not from 10 to 1000", ""),
    ("--device-read-bps sda:1", "\"sda\" is not a path under /dev", "write the device and the value: /dev/sda:1mb"),
    ("--device-write-bps /dev/sda", "no value after the device", "write the device and the value: /dev/sda:1mb"),
    ("--device-read-iops /dev/sda:1k", "\"1k\" is not a number of operations a second", "write a plain number"),
    ("--device-write-iops /dev/sda:-1", "\"-1\" is not a number of operations a second", "write a plain number"),
    ("--cgroup-parent /a/../b", "not a path of cgroups", "names joined by /: /batch/night"),
    ("--cap-add ADMIN", "unknown capability", "did you mean NET_ADMIN?"),
    ("--cap-drop NOSUCH", "unknown capability", "a name of capabilities(7) such as NET_ADMIN, or ALL"),
    (
        "--security-opt secomp=x",
        "unknown security option \"secomp\"",
        "no-new-privileges, seccomp=, apparmor=, label=, mask=, unmask=, systempaths=unconfined",
    ),
    ("--sysctl a=b", "not a kernel parameter", "write NAME=VALUE: net.ipv4.ip_unprivileged_port_start=0"),
];

#[test]
fn each_flag_lands_in_its_field() {
    for (words, field, value) in taken() {
        let request = run(&format!("{words} x"));
        assert_eq!(format!("{:?}", field(&request)), value, "{words}");
    }
}

#[test]
fn each_wrong_value_is_explained() {
    for (words, why, hint) in REFUSED {
        let (flag, value) = words.split_once(['=', ' ']).filter(|(flag, _)| !flag.is_empty()).unwrap();
        let mut expected = format!("error: invalid value {value:?} for {flag}\n  {why}\n");
        if !hint.is_empty() {
            expected += &format!("hint: {hint}\n");
        }
        let words: Vec<&str> =
            if words.contains(' ') { vec!["run", flag, value, "x"] } else { vec!["run", words, "x"] };
        assert_eq!(message(&words), (expected, Some(125)), "{words:?}");
    }
}

#[test]
fn files_that_cannot_be_used_are_named() {
    for flag in ["--env-file", "--label-file"] {
        let (text, code) = message(&["run", flag, "/no/such", "x"]);
        assert_eq!(text, "error: cannot read /no/such\n  ENOENT (no such file or directory)\n");
        assert_eq!(code, Some(125));
    }
    let (text, _) = message(&["run", "--env-file", "/proc/self/status", "x"]);
    assert!(text.starts_with("error: cannot use /proc/self/status\n  line "), "{text}");
}

/// No flag without a row in the tables above.
#[test]
fn the_tables_are_complete() {
    let tree = tree();
    let command = tree.find_subcommand("run").unwrap();
    let flags = |rows: &mut dyn Iterator<Item = &str>| -> BTreeSet<String> {
        let words = rows.flat_map(split).collect::<Vec<_>>();
        let names = words.iter().filter_map(|word| word.strip_prefix("--"));
        names.map(|name| name.split('=').next().unwrap_or_default().to_owned()).collect()
    };
    // Those of a pod are looked up before there is a request.
    let files = ["env-file", "label-file", "pod", "pod-id-file"];
    let taken = flags(&mut taken().iter().map(|(words, ..)| *words));
    let refused = flags(&mut REFUSED.iter().map(|(words, ..)| *words));
    for arg in command.get_arguments().filter(|arg| arg.get_id() != "help") {
        let Some(long) = arg.get_long() else { continue };
        assert!(taken.contains(long) || files.contains(&long), "no value for --{long}");
        let switch = matches!(arg.get_action(), ArgAction::SetTrue);
        assert!(switch || refused.contains(long) || files.contains(&long), "no wrong value for --{long}");
    }
}

#[test]
fn parts_that_do_not_go_together() {
    let refused = |words: &str| run(words).check().unwrap_err().to_string();
    for (words, text) in [
        ("--cpus 1 --cpu-quota 5000 x", "cannot combine --cpus with --cpu-quota"),
        ("--cpus 1 --cpu-period 5000 x", "cannot combine --cpus with --cpu-period"),
        ("--memory-swap 1g x", "cannot limit memory and swap to 1g: memory alone has no limit"),
        (
            "-m 2g --memory-swap 1g x",
            "cannot limit memory and swap to 1g: --memory-swap counts memory and swap together, and --memory is 2g",
        ),
        ("-m 1g --memory-reservation 2g x", "cannot reserve 2g of memory: --memory is 1g"),
        ("--rootfs /r", "no command to run"),
        ("-v /a:/t --tmpfs /t/ x", "cannot mount /t twice"),
        ("--uts host --hostname a x", "cannot combine --hostname with --uts"),
        ("--userns host --uidmap 0:0:1 x", "cannot combine --uidmap with --userns"),
        ("--userns keep-id --gidmap 0:0:1 x", "cannot combine --gidmap with --userns"),
        ("--net host --ip 10.0.0.7 x", "cannot combine --ip with --network host"),
        ("--net none --mac-address 02:00:00:00:00:0a x", "cannot combine --mac-address with --network none"),
        ("--net container:a -p 80 x", "cannot combine --publish with --network container:a"),
        ("--net container:a --dns 9.9.9.9 x", "cannot combine --dns with --network container:a"),
        ("--net container:a --hostname b x", "cannot combine --hostname with --network container:a"),
        ("--net ns:/n -P x", "cannot combine --publish-all with --network ns:/n"),
    ] {
        assert!(refused(words).starts_with(text), "{words}: {}", refused(words));
    }
    for (words, warnings) in [
        ("x", vec![]),
        ("-m 1g --memory-swap -1 --cpu-quota 5000 --cpu-period 5000 x", vec![]),
        ("--memory-swap -1 x", vec![]),
        ("--net host -p 80 x", vec!["published ports have no effect with --network host"]),
        ("--net none -P x", vec!["published ports have no effect with --network none"]),
        ("--ipc host --shm-size 1m x", vec!["--shm-size has no effect where the IPC namespace is another's"]),
        ("--oom-kill-disable x", vec!["--oom-kill-disable without --memory can hang the machine when memory runs out"]),
        ("--rootfs /r --entrypoint sh", vec![]),
        ("--uidmap 0:0:1 x", vec![]),
        ("--net bridge --ip 10.0.0.7 -h a x", vec![]),
    ] {
        assert_eq!(run(words).check().unwrap(), warnings, "{words}");
    }
}
