//! Pods: containers that share namespaces which a process of the pod's own holds.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "clippy.toml allows them in tests, not in what tests share"
)]

mod ground;

use ground::world::World;
use ground::{Ran, ran, until};
use serde_json::Value;

struct Pods {
    world: World,
    rootfs: String,
}

impl Pods {
    fn new() -> Option<Self> {
        let world = World::new()?;
        let rootfs = format!("{}:O", world.ground.rootfs().display());
        Some(Self { world, rootfs })
    }

    fn sampan(&self, words: &[&str]) -> Ran {
        self.world.host.inside(|| ran(self.world.ground.command(words).output().unwrap()))
    }

    fn pod(&self, words: &[&str]) -> Ran {
        self.sampan(&[&["pod"], words].concat())
    }

    /// A container of the test's root file system.
    fn make(&self, words: &[&str], command: &[&str]) -> Ran {
        self.sampan(&[words, &["--rootfs", &self.rootfs], command].concat())
    }

    /// As `pod ps` says.
    fn listed(&self, columns: &str) -> String {
        self.pod(&["ps", "--format", columns]).ok()
    }

    fn link(&self, container: &str, namespace: &str) -> String {
        self.sampan(&["exec", container, "readlink", &format!("/proc/self/ns/{namespace}")]).ok()
    }

    /// All but sampan's own files, of which some stay.
    fn host(&self) -> String {
        let own = |line: &&str| !line.contains("/data") && !line.contains("/state");
        self.world.picture().lines().filter(own).collect::<Vec<_>>().join("\n")
    }

    fn infra(&self, pod: &str) -> Value {
        let id = self.pod(&["inspect", "--format", "{{.InfraContainerID}}", pod]).ok();
        let text = self.sampan(&["inspect", &id]).ok();
        serde_json::from_str::<Value>(&text).unwrap()[0].take()
    }
}

#[test]
fn containers_of_a_pod_share_what_its_own_process_holds() {
    let Some(pods) = Pods::new() else { return };
    let before = pods.host();
    let id = pods.pod(&["create", "--name=shop", "-p", "8080:80", "--label=a=b"]).ok();
    assert_eq!(id.len(), 64);
    assert_eq!(pods.listed("{{.Name}} {{.Status}} {{.NumberOfContainers}}"), "shop Created 1");
    // It is made before there is somebody to share with, and starts him.
    pods.make(&["create", "--name=web", "--pod=shop"], &["httpd", "-f", "-p", "80", "-h", "/etc"]).ok();
    pods.sampan(&["start", "web"]).ok();
    pods.make(&["run", "-d", "--name=other", "--pod", &id[..8]], &["sleep", "1000"]).ok();
    assert_eq!(pods.listed("{{.Name}} {{.Status}} {{.NumberOfContainers}}"), "shop Running 3");
    for (namespace, shared) in [("net", true), ("uts", true), ("ipc", true), ("mnt", false), ("pid", false)] {
        assert_eq!(pods.link("web", namespace) == pods.link("other", namespace), shared, "{namespace}");
    }
    assert_eq!(pods.sampan(&["exec", "other", "hostname"]).ok(), "shop");
    let asked = ["exec", "other", "wget", "-q", "-O", "-", "http://127.0.0.1/group"];
    assert!(pods.sampan(&asked).ok().starts_with("root:x:0:"), "by the network that they share");
    // The port is the pod's, and reached from the host.
    let page =
        pods.world.host.sh("exec 3<>/dev/tcp/127.0.0.1/8080; printf 'GET /group HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3");
    assert!(page.contains("root:x:0:"), "{page}");

    let rows = pods.sampan(&["ps", "--filter=pod=shop", "--format", "{{.Names}} {{.PodName}} {{.Ports}}"]).ok();
    let infra = format!("{}-infra", &id[..12]);
    assert!(rows.contains("other shop") && rows.contains(&format!("{infra} shop 0.0.0.0:8080->80/tcp")), "{rows}");
    let document: Value = serde_json::from_str(&pods.pod(&["inspect", "shop"]).ok()).unwrap();
    let document = &document[0];
    assert_eq!((&document["Id"], &document["State"]), (&id.into(), &"Running".into()));
    assert_eq!(document["SharedNamespaces"], serde_json::json!(["ipc", "net", "uts"]));
    assert_eq!((&document["NumContainers"], &document["Labels"]["a"]), (&3.into(), &"b".into()));
    assert_eq!(document["InfraConfig"]["PortBindings"]["80/tcp"][0]["HostPort"], "8080");
    // What holds them can do nothing.
    let pid = pods.infra("shop")["State"]["Pid"].as_i64().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    for line in ["Name:\tinit", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(status.contains(line), "{line} is not in {status}");
    }
    pods.sampan(&["rm", "--force", &infra]).fails(1, "it holds the namespaces of pod shop");

    assert_eq!(pods.pod(&["rm", "--force", "--time=0", "shop"]).ok().len(), 64);
    assert_eq!(pods.listed("{{.Name}}"), "");
    pods.world.ground.is_empty();
    // Its bridge lingers.
    for _ in 0..200 {
        if pods.host() != before {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
    assert_eq!(pods.host(), before);
}

#[test]
fn verbs_of_pods_are_for_all_that_are_in_one() {
    let Some(pods) = Pods::new() else { return };
    pods.pod(&["create", "--network=none", "many"]).ok();
    for name in ["one", "two"] {
        let script = format!("echo I am {name}; exec sleep 1000");
        pods.make(&["create", "--pod=many", "--stop-signal=KILL", "--name", name], &["sh", "-c", &script]).ok();
    }
    let state = |expected: &str| assert_eq!(pods.listed("{{.Status}} {{.ContainerStatuses}}"), expected);
    state("Created created,created,created");
    assert_eq!(pods.pod(&["start", "many"]).ok(), "many");
    state("Running running,running,running");
    pods.pod(&["pause", "many"]).ok();
    state("Paused paused,paused,paused");
    pods.pod(&["unpause", "--all"]).ok();
    pods.sampan(&["stop", "--time=0", "one"]).ok();
    state("Degraded running,exited,running");
    let first = pods.infra("many")["State"]["Pid"].clone();
    pods.pod(&["restart", "many"]).ok();
    state("Running running,running,running");
    assert_ne!(pods.infra("many")["State"]["Pid"], first);

    until("logs", || pods.pod(&["logs", "--names", "many"]).ok().contains("two I am two"));
    assert!(pods.pod(&["logs", "--container=one", "--tail=1", "many"]).ok().ends_with("I am one"));
    let top = pods.pod(&["top", "many", "args"]).ok();
    assert_eq!(top.lines().filter(|line| line.starts_with("sleep 1000")).count(), 2, "{top}");
    let stats = pods.pod(&["stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}", "many"]).ok();
    assert!(stats.contains("one 1") && stats.contains("two 1") && stats.lines().count() == 3, "{stats}");

    pods.pod(&["rm", "many"]).fails(1, "its container one is running");
    pods.pod(&["kill", "many"]).ok();
    state("Exited exited,exited,exited");
    pods.pod(&["start", "--latest"]).ok();
    pods.pod(&["stop", "--time=0", "many"]).ok();
    assert_eq!(pods.pod(&["exists", "many"]).code, 0);
    pods.pod(&["prune", "--force"]).ok();
    assert_eq!(pods.pod(&["exists", "many"]).code, 1);
    pods.world.ground.is_empty();
    let events = pods.sampan(&["events", "--stream=false", "--filter=pod=many", "--format", "{{.Action}}"]).ok();
    let expected = "create start pause unpause stop start kill start stop remove";
    assert_eq!(events.lines().collect::<Vec<_>>().join(" "), expected);
}

#[test]
fn what_belongs_to_a_pod_is_not_its_containers_to_ask_for() {
    let Some(pods) = Pods::new() else { return };
    let run = |flags: &[&str]| pods.make(&[&["run", "--rm"], flags].concat(), &["hostname"]);
    pods.pod(&["create", "--share=uts,pid", "--hostname=inn", "a"]).ok();
    pods.pod(&["create", "a"]).fails(1, "there is a pod of that name already");
    assert_eq!(run(&["--pod=a", "--network=none"]).ok(), "inn");
    run(&["--pod=a", "--hostname=x"]).fails(125, "its host name is the pod's");
    // Its network is the container's own.
    assert_eq!(run(&["--pod=a", "-p", "9090:80", "--dns=192.0.2.53"]).ok(), "inn");
    let processes = pods.make(&["run", "--rm", "--pod=a", "--network=none"], &["cat", "/proc/1/comm"]);
    assert_eq!(processes.ok(), "init");

    pods.pod(&["create", "b"]).ok();
    run(&["--pod=b", "-p", "9090:80"]).fails(125, "its ports are the pod's");
    run(&["--pod=none"]).fails(125, "no pod has this name or id");
    assert_eq!(run(&["--pod=b", "--network=none"]).ok(), "b");

    pods.pod(&["create", "--infra=false", "--share=net", "c"]).fails(1, "need a process that holds them");
    pods.pod(&["create", "--share=cpu", "c"]).fails(1, "no namespace that a pod can share");
    pods.pod(&["create", "--exit-policy=stop", "c"]).fails(1, "goes on when its last container has ended");
    let file = pods.world.ground.dir.join("pod");
    let file = file.to_str().unwrap();
    let id = pods.pod(&["create", "--infra=false", "--pod-id-file", file, "c"]).ok();
    assert_eq!(std::fs::read_to_string(file).unwrap(), id);
    // A name for them, and no more.
    assert_ne!(run(&["--pod-id-file", file, "--network=none"]).ok(), "c");
    assert_eq!(pods.listed("{{.Name}} {{.NumberOfContainers}}"), "c 0\nb 1\na 1");

    // One is made for a container, with the network that this asks for.
    pods.make(&["run", "-d", "--pod=new:d", "--name=d1", "-p", "9091:80"], &["sleep", "1000"]).ok();
    assert_eq!(pods.infra("d")["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"], "9091");
    pods.pod(&["rm", "--all", "--force", "--time=0"]).ok();
    pods.world.ground.is_empty();
}

#[test]
fn a_pod_whose_monitor_was_killed_starts_again() {
    let Some(pods) = Pods::new() else { return };
    pods.pod(&["create", "p"]).ok();
    pods.make(&["run", "-d", "--pod=p", "--stop-signal=KILL", "--name=c"], &["sleep", "1000"]).ok();
    let id = pods.pod(&["inspect", "--format", "{{.InfraContainerID}}", "p"]).ok();
    let record = std::fs::read(pods.world.ground.dir.join(format!("state/containers/{id}.json"))).unwrap();
    let monitor = serde_json::from_slice::<Value>(&record).unwrap()["monitor"].as_i64().unwrap();
    let monitor = rustix::process::Pid::from_raw(i32::try_from(monitor).unwrap()).unwrap();
    rustix::process::kill_process(monitor, rustix::process::Signal::KILL).unwrap();
    until("the end to be seen", || pods.listed("{{.Status}} {{.ContainerStatuses}}") == "Degraded exited,running");
    // The namespaces are there as long as somebody is in them.
    assert_eq!(pods.sampan(&["exec", "c", "hostname"]).ok(), "p");
    pods.pod(&["restart", "p"]).ok();
    assert_eq!(pods.listed("{{.Status}}"), "Running");
    pods.pod(&["rm", "--force", "--time=0", "p"]).ok();
    pods.world.ground.is_empty();
}
