//! Kubernetes' way to a runtime: pods by the Container Runtime Interface of containerd, with `sampan oci` below.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;
#[path = "ground/cri.rs"]
mod messages;

use ground::room::Room;
use ground::{Ran, until};
use messages::*;
use serde_json::json;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Child;

const SHIM: &str = "containerd-shim-runc-v2";
const SOCKET: &str = "/run/containerd/socket";
const IMAGE: &str = "localhost/busybox:1";
/// Where the shim has the runtime keep its containers; it adds the namespace.
const STATE: &str = "/run/containers";

/// A containerd of the room's, with an image and a runtime.
struct Cri {
    room: Room,
    daemon: Child,
}

impl Cri {
    fn new(name: &str) -> Option<Self> {
        let mut room = Room::new(name, &["containerd", "ctr", SHIM, "curl", "sha256sum", "ip"])?;
        let (root, cni, runtime) = (room.at("containerd"), room.at("cni"), room.runtime());
        // Where AppArmor is on, its profile would be loaded into the machine's kernel.
        let config = format!(
            r#"
version = 2
root = {root:?}
state = "/run/containerd/state"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
address = {SOCKET:?}
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = {IMAGE:?}
disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = {CNI:?}
conf_dir = {cni:?}
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
default_runtime_name = "sampan"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.sampan]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.sampan.options]
BinaryName = {runtime:?}
Root = {STATE:?}
"#
        );
        room.file("config.toml", &config, None);
        fs::create_dir(room.at("logs")).unwrap();
        fs::create_dir(room.at("cni")).unwrap();
        let conflist = json!({"cniVersion": "0.4.0", "name": "room", "plugins": [{
            "type": "bridge", "bridge": "cni0", "isGateway": true,
            "ipam": {"type": "host-local", "dataDir": "/run/cni", "ranges": [[{"subnet": "10.77.0.0/24"}]]},
        }]});
        room.file("cni/10-room.conflist", &conflist.to_string(), None);
        // What the network's plugins keep below /var/lib is the room's.
        room.run(&["sh", "-c", "mount -t tmpfs var /var/lib && ip link set lo up"]).ok();
        let daemon = Self::serve(&room);
        let cri = Self { room, daemon };
        until("containerd answers", || cri.ctr(&["version"]).code == 0);
        cri.import();
        Some(cri)
    }

    fn serve(room: &Room) -> Child {
        room.daemon(&["containerd", "--config", &room.at("config.toml")], "containerd.log")
    }

    fn ctr(&self, words: &[&str]) -> Ran {
        self.room.run(&[&["ctr", "--address", SOCKET, "--namespace", "k8s.io"], words].concat())
    }

    /// The ground's root file system as an archive of `docker save`, whose first process is that of a sandbox.
    fn import(&self) {
        let at = |path: &str| self.room.at(path);
        let sum = self.room.run(&["sha256sum", &at("rootfs.tar")]).ok();
        let layer = format!("sha256:{}", sum.split_once(' ').unwrap().0);
        let config = json!({
            "architecture": if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" }, "os": "linux",
            "config": {"Entrypoint": ["/pause"], "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [layer]},
        });
        let manifest = json!([{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["rootfs.tar"]}]);
        fs::write(at("config.json"), config.to_string()).unwrap();
        fs::write(at("manifest.json"), manifest.to_string()).unwrap();
        let files = ["manifest.json", "config.json", "rootfs.tar"];
        self.room.run(&[&["tar", "-C", &at(""), "-cf", &at("image.tar")], files.as_slice()].concat()).ok();
        self.ctr(&["images", "import", "--no-unpack", &at("image.tar")]).ok();
        let image = ImageStatus { image: Some(Image { name: IMAGE.to_owned() }) };
        until("the image is there", || {
            self.ask::<ImageStatus>("ImageService/ImageStatus", &image).is_ok_and(|found| found.image.is_some())
        });
    }

    fn ask<A: prost::Message + Default>(&self, method: &str, request: &impl prost::Message) -> Result<A, Failed> {
        call(&self.room, SOCKET, method, request)
    }

    #[track_caller]
    fn get<A: prost::Message + Default>(&self, method: &str, request: &impl prost::Message) -> A {
        self.ask(&format!("RuntimeService/{method}"), request).unwrap_or_else(|failed| {
            let log = fs::read_to_string(self.room.at("containerd.log")).unwrap();
            panic!("{method}: {failed:?}\n{log}")
        })
    }

    #[track_caller]
    fn pod(&self, name: &str, namespaces: Namespaces) -> Pod<'_> {
        let security = SandboxSecurity { namespaces: Some(namespaces), ..Default::default() };
        let cgroup_parent = format!("/{}/{name}", self.room.id);
        self.pod_of(name, SandboxLinux { cgroup_parent, security: Some(security), ..Default::default() })
    }

    #[track_caller]
    fn pod_of(&self, name: &str, linux: SandboxLinux) -> Pod<'_> {
        let metadata =
            SandboxMetadata { name: name.to_owned(), uid: format!("uid-{name}"), namespace: "default".to_owned() };
        // As kubelet does: that of the node is left alone.
        let node =
            linux.security.iter().flat_map(|security| &security.namespaces).any(|one| one.network() == Mode::Node);
        let config = SandboxConfig {
            metadata: Some(metadata),
            hostname: if node { "" } else { name.rsplit('/').next().unwrap() }.to_owned(),
            log_directory: self.room.at("logs"),
            linux: Some(linux),
        };
        let request = RunSandbox { config: Some(config.clone()), handler: "sampan".to_owned() };
        let Id { id, .. } = self.get("RunPodSandbox", &request);
        Pod { cri: self, config, id }
    }

    #[track_caller]
    fn nothing_left(mut self) {
        for list in ["ListContainers", "ListPodSandbox"] {
            assert_eq!(self.get::<List>(list, &()).items, []);
        }
        self.room.nothing_left(&[&format!("{STATE}/k8s.io"), "/run/cni/room/10*", "/run/netns"], &[SHIM]);
        let mounts = self.room.run(&["grep", "-c", "-e", "/run/containerd/", "-e", "netns/", "/proc/self/mountinfo"]);
        assert_eq!(mounts.out, "0\n");
        // Those of the pods are kubelet's own: what is below is the runtime's.
        assert_eq!(self.room.cgroups("/pod/"), [""; 0]);
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

struct Pod<'a> {
    cri: &'a Cri,
    config: SandboxConfig,
    id: String,
}

/// That the container is called by and runs, with all else as asked by the caller.
fn config(name: &str, command: &[&str], linux: ContainerLinux) -> ContainerConfig {
    ContainerConfig {
        metadata: Some(ContainerMetadata { name: name.to_owned() }),
        image: Some(Image { name: IMAGE.to_owned() }),
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        log_path: format!("{name}.log"),
        linux: Some(linux),
        ..Default::default()
    }
}

impl Pod<'_> {
    #[track_caller]
    fn create(&self, mut config: ContainerConfig) -> Container<'_> {
        let name = config.metadata.as_ref().unwrap().name.clone();
        // Those of the pod, where nothing else is said, as by kubelet.
        let of_the_pod = || self.config.linux.as_ref()?.security.as_ref()?.namespaces.clone();
        let security = config.linux.get_or_insert_default().security.get_or_insert_default();
        security.namespaces = security.namespaces.take().or_else(of_the_pod);
        let request = CreateContainer {
            sandbox: self.id.clone(),
            config: Some(config),
            sandbox_config: Some(self.config.clone()),
        };
        let Id { id, .. } = self.cri.get("CreateContainer", &request);
        Container { cri: self.cri, name, id }
    }

    #[track_caller]
    fn start(&self, config: ContainerConfig) -> Container<'_> {
        let container = self.create(config);
        self.cri.get::<()>("StartContainer", &container.request(0));
        container
    }

    #[track_caller]
    fn start_with(&self, name: &str, security: Security, script: &str) -> Container<'_> {
        let linux = ContainerLinux { security: Some(security), ..Default::default() };
        self.start(config(name, &["sh", "-c", script], linux))
    }

    fn status(&self) -> SandboxStatus {
        let request = Id { id: self.id.clone(), timeout: 0 };
        self.cri.get::<SandboxStatusResponse>("PodSandboxStatus", &request).status.unwrap()
    }

    #[track_caller]
    fn remove(self) {
        let request = Id { id: self.id.clone(), timeout: 0 };
        self.cri.get::<()>("StopPodSandbox", &request);
        assert_eq!(self.status().state, SANDBOX_NOT_READY);
        self.cri.get::<()>("RemovePodSandbox", &request);
    }
}

struct Container<'a> {
    cri: &'a Cri,
    name: String,
    id: String,
}

impl Container<'_> {
    fn request(&self, timeout: i64) -> Id {
        Id { id: self.id.clone(), timeout }
    }

    fn status(&self) -> ContainerStatus {
        self.cri.get::<ContainerStatusResponse>("ContainerStatus", &self.request(0)).status.unwrap()
    }

    #[track_caller]
    fn ends(&self) -> ContainerStatus {
        until("it ends", || self.status().state == EXITED);
        self.status()
    }

    fn try_exec(&self, command: &[&str], timeout: i64) -> Result<ExecSyncResponse, Failed> {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        self.cri.ask("RuntimeService/ExecSync", &ExecSync { id: self.id.clone(), command, timeout })
    }

    /// What the script writes.
    #[track_caller]
    fn sh(&self, script: &str) -> String {
        let ran = self.try_exec(&["sh", "-c", script], 0).unwrap();
        assert_eq!(ran.exit_code, 0, "{}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap()
    }

    /// What its log has of a stream. A line is the time, the stream, F as it is a full one, and the text.
    fn log(&self, stream: &str) -> String {
        let text = fs::read_to_string(self.cri.room.at(&format!("logs/{}.log", self.name))).unwrap();
        let parts = text.lines().map(|line| line.splitn(4, ' ').collect::<Vec<_>>());
        parts.filter(|parts| parts[1..3] == [stream, "F"]).map(|parts| format!("{}\n", parts[3])).collect()
    }

    #[track_caller]
    fn stop(&self, timeout: i64) -> ContainerStatus {
        self.cri.get::<()>("StopContainer", &self.request(timeout));
        let status = self.status();
        assert_eq!(status.state, EXITED);
        status
    }

    #[track_caller]
    fn remove(self) {
        self.cri.get::<()>("RemoveContainer", &self.request(0));
    }

    fn cgroup_file(&self, names: [&str; 2]) -> String {
        let dirs = self.cri.room.cgroups(&self.id);
        let found = dirs.iter().flat_map(|dir| names.map(|name| fs::read_to_string(format!("{dir}/{name}"))));
        found.flatten().next().unwrap_or_default()
    }
}

/// The network of the room.
fn node() -> Namespaces {
    Namespaces { network: Mode::Node.into(), pid: Mode::Container.into(), ..Default::default() }
}

const CNI: &str = "/usr/lib/cni";
const MIB: i64 = 1 << 20;

#[test]
fn a_pod_lives() {
    let Some(cri) = Cri::new("cri-life") else { return };
    assert_eq!(cri.get::<VersionResponse>("Version", &()).name, "containerd");
    let pod = cri.pod("pod", node());
    assert_eq!(pod.status().state, SANDBOX_READY);
    let script = "trap 'echo bye; exit 3' TERM; echo out; echo err >&2; while :; do sleep 0.1; done";
    let one = pod.create(config("one", &["sh", "-c", script], ContainerLinux::default()));
    assert_eq!(one.status().state, CREATED);
    cri.get::<()>("StartContainer", &one.request(0));
    assert_eq!(one.status().state, RUNNING);
    let ran = one.try_exec(&["sh", "-c", "echo hi; echo no >&2; exit 9"], 0).unwrap();
    assert_eq!((ran.stdout.as_slice(), ran.stderr.as_slice(), ran.exit_code), (&b"hi\n"[..], &b"no\n"[..], 9));
    let failed = one.try_exec(&["nosuch"], 0).unwrap_err();
    assert!(failed.why.contains("cannot execute nosuch: executable file not found in $PATH"), "{failed:?}");
    assert_eq!(one.try_exec(&["sleep", "4321"], 1).unwrap_err().code, DEADLINE_EXCEEDED);
    assert_eq!(cri.room.processes(&["sleep 4321"]), "");
    assert_eq!(one.stop(10).exit_code, 3);
    assert_eq!([one.log("stdout"), one.log("stderr")], ["out\nbye\n", "err\n"]);
    one.remove();
    let deaf = pod.start_with("deaf", Security::default(), "trap '' TERM; while :; do sleep 0.1; done");
    assert_eq!(deaf.stop(1).exit_code, 137);
    deaf.remove();
    let seven = pod.start_with("seven", Security::default(), "exit 7");
    let status = seven.ends();
    assert_eq!((status.exit_code, status.reason.as_str()), (7, "Error"));
    seven.remove();
    let nosuch = pod.create(config("nosuch", &["nosuch"], ContainerLinux::default()));
    let failed = cri.ask::<()>("RuntimeService/StartContainer", &nosuch.request(0)).unwrap_err();
    assert!(failed.why.contains("cannot execute nosuch: executable file not found in $PATH"), "{failed:?}");
    assert_eq!(nosuch.status().reason, "StartError");
    nosuch.remove();
    let never = pod.create(config("never", &["sleep", "1000"], ContainerLinux::default()));
    never.remove();
    // One that runs goes with its pod.
    pod.start_with("last", Security::default(), "sleep 1000");
    pod.remove();
    cri.nothing_left();
}

#[test]
fn limits_hold_and_change() {
    let Some(cri) = Cri::new("cri-limits") else { return };
    let pod = cri.pod("pod", node());
    let resources = Resources {
        cpu_period: 100_000,
        cpu_quota: 50_000,
        memory: 50 * MIB,
        oom_score_adj: 500,
        cpus: "0".to_owned(),
        ..Default::default()
    };
    let linux = |resources| ContainerLinux { resources: Some(resources), ..Default::default() };
    let one = pod.start(config("one", &["sleep", "1000"], linux(resources)));
    let memory = || one.cgroup_file(["memory.max", "memory.limit_in_bytes"]);
    let quota = || one.cgroup_file(["cpu.max", "cpu.cfs_quota_us"]);
    let cpus = one.cgroup_file(["cpuset.cpus", "cpuset.cpus"]);
    assert_eq!((memory().as_str(), cpus.as_str()), ("52428800\n", "0\n"));
    assert!(quota().starts_with("50000"), "{}", quota());
    assert_eq!(one.sh("cat /proc/1/oom_score_adj"), "500\n");
    let more = Resources { cpu_period: 100_000, cpu_quota: 25_000, memory: 100 * MIB, ..Default::default() };
    cri.get::<()>("UpdateContainerResources", &Update { id: one.id.clone(), linux: Some(more) });
    assert_eq!(memory(), "104857600\n");
    assert!(quota().starts_with("25000"), "{}", quota());
    // What one executes counts, too.
    assert_eq!(one.sh("dd if=/dev/zero of=/dev/null bs=200M count=1 2>/dev/null; echo $?"), "137\n");
    let small = linux(Resources { memory: 20 * MIB, ..Default::default() });
    let two = pod.start(config("two", &["dd", "if=/dev/zero", "of=/dev/null", "bs=64M"], small));
    let status = two.ends();
    assert_eq!((status.exit_code, status.reason.as_str()), (137, "OOMKilled"));
    pod.remove();
    cri.nothing_left();
}

/// Of /proc/self/status, and whether the root can be written.
const RIGHTS: &str = "grep -e ^Uid -e ^Gid -e ^Groups -e CapEff -e CapBnd -e NoNewPrivs -e Seccomp: /proc/self/status; \
    touch /new && echo writable";

fn rights([uid, gid]: [u32; 2], groups: &str, [effective, bounding]: [u64; 2], rest: [&str; 3]) -> String {
    let ids = |id| format!("{id}\t{id}\t{id}\t{id}");
    let [no_new_privs, seccomp, writable] = rest;
    format!(
        "Uid:\t{}\nGid:\t{}\nGroups:\t{groups} \nCapEff:\t{effective:016x}\nCapBnd:\t{bounding:016x}\n\
         NoNewPrivs:\t{no_new_privs}\nSeccomp:\t{seccomp}\n{writable}",
        ids(uid),
        ids(gid)
    )
}

#[test]
fn the_security_context_is_in_force() {
    let Some(cri) = Cri::new("cri-security") else { return };
    let mut security = SandboxSecurity { namespaces: Some(node()), privileged: true, ..Default::default() };
    security.seccomp = Some(Profile::default());
    let cgroup_parent = format!("/{}/pod", cri.room.id);
    let pod = cri.pod_of("pod", SandboxLinux { cgroup_parent, security: Some(security), ..Default::default() });
    let output = |name, security, script: &str| {
        let container = pod.start_with(name, security, &format!("exec 2>&1; {script}"));
        container.ends();
        let output = container.log("stdout");
        container.remove();
        output
    };
    let default = 0xa804_25fb;
    let plain = rights([0, 0], "0", [default, default], ["0", "0", "writable\n"]);
    assert_eq!(output("plain", Security::default(), RIGHTS), plain);
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let capabilities = Capabilities { add: names(&["NET_BIND_SERVICE"]), drop: names(&["ALL"]) };
    let mut strict = Security { capabilities: Some(capabilities), no_new_privs: true, ..Default::default() };
    (strict.readonly_rootfs, strict.seccomp) = (true, Some(Profile::default()));
    let bind = 1 << 10;
    let root = rights([0, 0], "0", [bind, bind], ["1", "2", "touch: /new: Read-only file system\n"]);
    assert_eq!(output("root", strict.clone(), RIGHTS), root);
    (strict.user, strict.group) = (Some(Int64 { value: 1000 }), Some(Int64 { value: 1001 }));
    strict.groups = vec![29, 4242];
    // With the group of the image's that the user is a member of.
    let app = rights([1000, 1001], "10 29 1001 4242", [0, bind], ["1", "2", "touch: /new: Read-only file system\n"]);
    assert_eq!(output("app", strict, RIGHTS), app);
    let named = Security { user_name: "app".to_owned(), ..Default::default() };
    assert_eq!(output("named", named, "id"), "uid=1000(app) gid=1001(app) groups=10(wheel),1001(app)\n");
    let masked = Security {
        masked_paths: names(&["/proc/meminfo", "/sys/kernel"]),
        readonly_paths: names(&["/proc/sys"]),
        ..Default::default()
    };
    let script = "wc -c </proc/meminfo; ls /sys/kernel | wc -l; echo 1 >/proc/sys/kernel/shm_rmid_forced";
    let readonly = "sh: can't create /proc/sys/kernel/shm_rmid_forced: Read-only file system\n";
    assert_eq!(output("masked", masked, script), format!("0\n0\n{readonly}"));
    let filter = json!({"defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]});
    fs::write(cri.room.at("filter.json"), filter.to_string()).unwrap();
    let filtered = Profile { kind: LOCALHOST, path: cri.room.at("filter.json") };
    let filtered = Security { seccomp: Some(filtered), ..Default::default() };
    assert_eq!(
        output("filtered", filtered, "mkdir /new; rmdir /home/app"),
        "mkdir: can't create directory '/new': No space left on device\n"
    );
    let privileged = Security { privileged: true, ..Default::default() };
    let script = "grep CapEff /proc/self/status; test -c /dev/net/tun && mount -t tmpfs t /tmp && echo mounted";
    let all = cri.room.run(&["grep", "CapEff", "/proc/self/status"]).out;
    assert_eq!(output("privileged", privileged, script), format!("{all}mounted\n"));
    pod.remove();
    cri.nothing_left();
}

#[test]
fn containers_of_a_pod_share_namespaces() {
    let Some(cri) = Cri::new("cri-namespaces") else { return };
    let pod_mode = Namespaces { network: Mode::Node.into(), ..Default::default() };
    let security = SandboxSecurity { namespaces: Some(pod_mode.clone()), ..Default::default() };
    let pod = cri.pod_of(
        "pod",
        SandboxLinux {
            cgroup_parent: format!("/{}/pod", cri.room.id),
            security: Some(security),
            sysctls: [("kernel.shm_rmid_forced".to_owned(), "1".to_owned())].into(),
        },
    );
    let start = |name, pid: Mode, target: &str, script| {
        let namespaces = Namespaces { pid: pid.into(), target: target.to_owned(), ..pod_mode.clone() };
        pod.start_with(name, Security { namespaces: Some(namespaces), ..Default::default() }, script)
    };
    let one = start("one", Mode::Pod, "", "sleep 1111 & sleep 1112; true");
    let own = start("own", Mode::Container, "", "sleep 1113; true");
    let target = start("target", Mode::Target, &own.id, "sleep 1000");
    let of_the_room =
        Namespaces { network: Mode::Node.into(), pid: Mode::Node.into(), ipc: Mode::Node.into(), ..Default::default() };
    let node_pod = cri.pod("pod/node", of_the_room);
    let node = node_pod.start_with("node", Security::default(), "sleep 1114 & sleep 1115; true");
    let first = |container: &Container| container.sh("tr '\\0' ' ' </proc/1/cmdline");
    assert_eq!(first(&one), "sleep 1000 ");
    assert_eq!(first(&own), "sh -c sleep 1113; true ");
    assert_eq!(first(&target), first(&own));
    assert_eq!(first(&node), cri.room.run(&["sh", "-c", "tr '\\0' ' ' </proc/1/cmdline"]).out);
    let link = |container: &Container, name| container.sh(&format!("readlink /proc/self/ns/{name}"));
    assert_eq!(link(&target, "pid"), link(&own, "pid"));
    let room = |name: &str| cri.room.run(&["readlink", &format!("/proc/1/ns/{name}")]).out;
    assert_eq!(link(&node, "pid"), room("pid"));
    assert_eq!([link(&one, "net"), link(&one, "uts")], [room("net"), room("uts")]);
    assert_eq!(link(&node, "ipc"), room("ipc"));
    assert_eq!(link(&one, "ipc"), link(&own, "ipc"));
    assert_ne!(link(&one, "ipc"), room("ipc"));
    assert_eq!(one.sh("cat /proc/sys/kernel/shm_rmid_forced"), "1\n");
    own.sh("echo shared >/dev/shm/file");
    assert_eq!(one.sh("cat /dev/shm/file"), "shared\n");
    // All the processes of a container end with it, and nobody else's, though none of them is the first of a namespace.
    let left = || cri.room.processes(&["sleep 111"]).lines().filter(|line| !line.contains("sh -c")).count();
    assert_eq!(left(), 5);
    one.stop(0);
    assert_eq!(left(), 3);
    node.stop(0);
    assert_eq!(left(), 1);
    node_pod.remove();
    pod.remove();
    cri.nothing_left();
}

#[test]
fn pods_have_a_network() {
    let Some(cri) = Cri::new("cri-network") else { return };
    if ["bridge", "loopback", "host-local"].iter().any(|plugin| !Path::new(CNI).join(plugin).exists()) {
        println!("skipped: no network plugins in {CNI}");
        return;
    }
    let namespaces = Namespaces { pid: Mode::Container.into(), ..Default::default() };
    let [left, right] = ["left", "right"].map(|name| cri.pod(&format!("pod/{name}"), namespaces.clone()));
    let [from, to] = [&left, &right].map(|pod| pod.status().network.unwrap().ip);
    assert!(from.starts_with("10.77.0.") && to.starts_with("10.77.0.") && from != to);
    let [one, two] = ["one", "two"].map(|name| left.start_with(name, Security::default(), "sleep 1000"));
    assert!(one.sh("ip address show eth0").contains(&format!("inet {from}/24 ")));
    assert_eq!(one.sh("hostname; cat /etc/hostname"), "left\nleft\n");
    let serve = "mkdir /www; echo hi >/www/index.html; httpd -h /www -p 80; sleep 1000";
    right.start_with("server", Security::default(), serve);
    until("the server answers", || {
        one.try_exec(&["wget", "-qO", "/dev/null", &to], 5).is_ok_and(|ran| ran.exit_code == 0)
    });
    assert_eq!(two.sh(&format!("wget -qO - {to}")), "hi\n");
    // What is in one container of a pod is localhost's for the other.
    one.sh("httpd -h /etc -p 81");
    assert!(two.sh("wget -qO - localhost:81/group").contains("wheel"));
    assert_eq!(one.sh("readlink /proc/self/ns/net"), two.sh("readlink /proc/self/ns/net"));
    one.remove();
    [left, right].into_iter().for_each(Pod::remove);
    assert!(!cri.room.run(&["ip", "link"]).ok().contains("veth"));
    cri.nothing_left();
}

#[test]
fn what_is_mounted_is_there() {
    let Some(cri) = Cri::new("cri-mounts") else { return };
    let pod = cri.pod("pod", node());
    for dir in ["plain", "read", "slave", "both"] {
        fs::create_dir_all(cri.room.at(dir)).unwrap();
        fs::write(cri.room.at(&format!("{dir}/file")), dir).unwrap();
    }
    let mount = |dir: &str, readonly, propagation| Mount {
        container_path: format!("/{dir}"),
        host_path: cri.room.at(dir),
        readonly,
        propagation,
        ..Default::default()
    };
    let device = |host_path: &str, container_path: &str, permissions: &str| Device {
        container_path: container_path.to_owned(),
        host_path: host_path.to_owned(),
        permissions: permissions.to_owned(),
    };
    let security = Security {
        capabilities: Some(Capabilities { add: vec!["SYS_ADMIN".to_owned()], drop: vec![] }),
        ..Default::default()
    };
    let linux = ContainerLinux { security: Some(security), ..Default::default() };
    let one = pod.start(ContainerConfig {
        mounts: vec![
            mount("plain", false, 0),
            mount("read", true, 0),
            mount("slave", false, HOST_TO_CONTAINER),
            mount("both", false, BIDIRECTIONAL),
        ],
        devices: vec![device("/dev/zero", "/dev/nothing", "rw"), device("/dev/kmsg", "/dev/log", "r")],
        envs: vec![KeyValue { key: "A".to_owned(), value: b"b c".to_vec() }],
        working_dir: "/made/for/it".to_owned(),
        tty: true,
        ..config("one", &["sh", "-c", "tty; pwd; echo $A; sleep 1000"], linux)
    });
    until("it is on its way", || one.log("stdout").contains("b c"));
    assert_eq!(one.log("stdout"), "/dev/pts/0\n/made/for/it\nb c\n");
    assert_eq!(
        one.sh("cat /plain/file /read/file /slave/file /both/file; echo more >/plain/more"),
        "plainreadslaveboth"
    );
    assert_eq!(fs::read_to_string(cri.room.at("plain/more")).unwrap(), "more\n");
    assert_eq!(one.sh("touch /read/more 2>&1 || true"), "touch: /read/more: Read-only file system\n");
    let written = "1\nsh: can't create /dev/log: Operation not permitted\n";
    assert_eq!(one.sh("head -c 1 /dev/nothing | wc -c; (: >/dev/log) 2>&1 || true"), written);
    let script = "for dir in plain slave both; do mkdir $0/$dir/sub; mount -t tmpfs room $0/$dir/sub; done";
    cri.room.run(&["sh", "-c", script, &cri.room.at("")]).ok();
    assert_eq!(one.sh("grep -o '/[a-z]*/sub ' /proc/self/mountinfo | sort"), "/both/sub \n/slave/sub \n");
    one.sh("mkdir /both/up /slave/up; mount -t tmpfs one /both/up; mount -t tmpfs one /slave/up");
    let seen = cri.room.run(&["grep", "-o", "/[a-z]*/up ", "/proc/self/mountinfo"]);
    assert_eq!(seen.out, "/both/up \n");
    pod.remove();
    cri.nothing_left();
}

#[test]
fn pods_outlive_containerd() {
    let Some(mut cri) = Cri::new("cri-restart") else { return };
    let (pod, container) = {
        let pod = cri.pod("pod", node());
        let one = pod.start_with("one", Security::default(), "trap 'exit 3' TERM; while :; do sleep 0.1; done");
        (pod.id.clone(), one.id.clone())
    };
    cri.room.run(&["sh", "-c", "kill -9 $(pidof containerd)"]).ok();
    cri.daemon.wait().unwrap();
    cri.daemon = Cri::serve(&cri.room);
    let config = SandboxConfig::default();
    let pod = Pod { cri: &cri, config, id: pod };
    let one = Container { cri: &cri, name: "one".to_owned(), id: container };
    until("containerd knows it", || one.try_exec(&["true"], 0).is_ok());
    assert_eq!((one.status().state, pod.status().state), (RUNNING, SANDBOX_READY));
    assert_eq!(one.sh("echo again"), "again\n");
    assert_eq!(one.stop(10).exit_code, 3);
    pod.remove();
    cri.nothing_left();
}

/// What containerd has since 2.0.
#[test]
fn users_of_a_pod_are_its_own() {
    let Some(cri) = Cri::new("cri-user") else { return };
    let version = cri.get::<VersionResponse>("Version", &()).version;
    if version.trim_start_matches('v').starts_with("1.") {
        println!("skipped: containerd {version} has no user namespaces and no recursively read-only mounts");
        return;
    }
    let ids = vec![IdMapping { host_id: 700_000, container_id: 0, length: 65_536 }];
    let user = UserNamespace { mode: Mode::Pod.into(), uids: ids.clone(), gids: ids.clone() };
    let namespaces = Namespaces { pid: Mode::Container.into(), user: Some(user), ..Default::default() };
    let pod = cri.pod("pod", namespaces);
    let volume = cri.room.at("volume");
    let below = "mkdir -p $0/below && mount -t tmpfs room $0/below";
    cri.room.run(&["sh", "-c", below, &volume]).ok();
    let mount = Mount { host_path: volume.clone(), uids: ids.clone(), gids: ids, ..Default::default() };
    let writable = Mount { container_path: "/volume".to_owned(), ..mount.clone() };
    let read = Mount { container_path: "/read".to_owned(), readonly: true, recursively_readonly: true, ..mount };
    let config = config("one", &["sleep", "1000"], ContainerLinux::default());
    let one = pod.start(ContainerConfig { mounts: vec![writable, read], ..config });
    assert_eq!(one.sh("cat /proc/self/uid_map | tr -s ' '; stat -c %u /bin/busybox"), " 0 700000 65536\n0\n");
    let owner = || fs::metadata(format!("{volume}/new")).unwrap().uid();
    one.sh("touch /volume/new");
    assert_eq!(owner(), 0);
    one.sh("chown 5:5 /volume/new");
    assert_eq!(owner(), 5);
    let refused = "touch: /read/new: Read-only file system\ntouch: /read/below/new: Read-only file system\n";
    assert_eq!(one.sh("touch /read/new /read/below/new 2>&1 || true"), refused);
    assert_eq!(one.sh("hostname; ip address show eth0 | grep -c 10.77"), "pod\n1\n");
    let first = cri.room.run(&["ps", "-eo", "uid,args"]).ok();
    assert!(first.lines().any(|line| line.trim() == "700000 sleep 1000"), "{first}");
    pod.remove();
    cri.nothing_left();
}
