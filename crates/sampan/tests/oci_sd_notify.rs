//! `NOTIFY_SOCKET`: what a container says to the service manager of its caller (sd_notify(3)).
//!
//! What speaks in the container is this program itself.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::bundle::{Bundle, id};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use serde_json::json;
use std::fs;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::{Child, Command};
use std::time::Duration;

/// Of a container: say each of these.
const SAY: &str = "/speak --quiet --exact speaks >/dev/null";

#[test]
fn speaks() {
    let Ok(words) = std::env::var("SAY") else { return };
    let socket = UnixDatagram::unbound().unwrap();
    socket.send_to(words.replace(',', "\n").as_bytes(), std::env::var("NOTIFY_SOCKET").unwrap()).unwrap();
}

struct Service {
    bundle: Bundle,
    manager: UnixDatagram,
    name: String,
}

impl Service {
    fn new(script: &str) -> Option<Self> {
        let mut bundle = Bundle::new()?;
        let own = std::env::current_exe().unwrap();
        bundle.config["mounts"].as_array_mut().unwrap().push(json!({
            "destination": "/speak", "source": own, "type": "bind", "options": ["bind", "ro"],
        }));
        bundle.sh(script);
        bundle.oci(&["features"]).ok();
        let path = bundle.at("manager");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Some(Self { bundle, manager, name: path.to_str().unwrap().to_owned() })
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.bundle.command(&self.bundle.at("sampan-oci"), words);
        command.env("NOTIFY_SOCKET", &self.name);
        command
    }

    fn create(&self, id: &str) {
        let output = fs::File::create(self.bundle.at("output")).unwrap();
        let errors = output.try_clone().unwrap();
        let status = self.command(&["create", id]).stdout(output).stderr(errors).status();
        assert!(status.unwrap().success(), "{}", self.bundle.output());
    }

    /// What the manager is told, and the file that comes along.
    fn told(&self) -> (String, Option<OwnedFd>) {
        let mut bytes = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let length = rustix::net::recvmsg(&self.manager, &mut parts, &mut control, RecvFlags::empty()).unwrap().bytes;
        let file = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut files) => files.next(),
            _ => None,
        });
        (String::from_utf8(bytes[..length].to_vec()).unwrap(), file)
    }

    fn hears(&self, text: &str) {
        assert_eq!(self.told().0, text);
    }

    /// That it is ready; and lets whoever says so wait for a while.
    #[track_caller]
    fn acknowledges(&self, teller: &mut Child) {
        let (text, file) = self.told();
        assert!(text == "BARRIER=1" && file.is_some(), "{text}");
        still_waits(teller);
        drop(file);
        assert_eq!(teller.wait().unwrap().code(), Some(0));
    }
}

#[track_caller]
fn still_waits(child: &mut Child) {
    std::thread::sleep(Duration::from_millis(200));
    assert!(child.try_wait().unwrap().is_none());
}

#[test]
fn a_start_waits_until_it_is_ready() {
    let script = format!(
        "SAY=STATUS=half,MAINPID=1 {SAY}; until [ -e /go ]; do usleep 10000; done
        SAY=FDSTORE=1 {SAY}; SAY=READY=1,MAINPID=1 {SAY}; sleep 1000"
    );
    let Some(service) = Service::new(&script) else { return };
    let id = id("ready");
    service.create(&id);
    let mut start = service.command(&["start", &id]).spawn().unwrap();
    service.hears("STATUS=half");
    still_waits(&mut start);
    // Nobody else waits.
    let bundle = &service.bundle;
    assert_eq!(bundle.state(&id)["status"], "running");
    assert_eq!(bundle.oci(&["exec", &id, "sh", "-c", "echo $NOTIFY_SOCKET"]).ok(), "");
    fs::write(bundle.at("rootfs/go"), "").unwrap();
    service.hears(&format!("READY=1\nMAINPID={}", bundle.state(&id)["pid"]));
    service.acknowledges(&mut start);
    bundle.oci(&["delete", "--force", &id]).ok();
    bundle.nothing_left(&id);
}

#[test]
fn a_run_in_the_background_waits_too() {
    let Some(mut service) = Service::new(&format!("SAY=READY=1 {SAY}; sleep 1000")) else { return };
    let id = id("ready-run");
    let output = fs::File::create(service.bundle.at("output")).unwrap();
    let run = ["run", "--detach", &id];
    let mut running = service.command(&run).stdout(output.try_clone().unwrap()).spawn().unwrap();
    let (text, _) = service.told();
    assert_eq!(text, format!("READY=1\nMAINPID={}", service.bundle.state(&id)["pid"]));
    service.acknowledges(&mut running);
    service.bundle.oci(&["delete", "--force", &id]).ok();
    // What ends without a word is not waited for.
    service.bundle.sh("exit 3");
    assert!(service.command(&run).stdout(output).status().unwrap().success());
    service.bundle.oci(&["delete", "--force", &id]).ok();
    service.bundle.nothing_left(&id);
}

/// Who stays is the service, and what the container says goes on to its end; to a manager with an abstract name.
#[test]
fn a_run_in_the_foreground_passes_all_on() {
    let script = format!("SAY=STATUS=one {SAY}; SAY=READY=1 {SAY}; SAY=WATCHDOG=1 {SAY}; SAY=STOPPING=1 {SAY}; exit 3");
    let Some(mut service) = Service::new(&script) else { return };
    service.bundle.config["process"]["user"] = json!({ "uid": 1000, "gid": 1001 });
    // Of somebody else's.
    service.bundle.config["process"]["env"] = json!(["PATH=/bin", "NOTIFY_SOCKET=/nowhere"]);
    service.bundle.save();
    let id = id("ready-stays");
    service.name = format!("@sampan/{id}");
    service.manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&service.name[1..]).unwrap()).unwrap();
    service.manager.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut run = service.command(&["run", &id]).spawn().unwrap();
    service.hears("STATUS=one");
    service.hears(&format!("READY=1\nMAINPID={}", run.id()));
    service.hears("WATCHDOG=1");
    service.hears("STOPPING=1");
    assert_eq!(run.wait().unwrap().code(), Some(3));
    service.bundle.nothing_left(&id);
}

#[test]
fn a_manager_that_is_gone_is_told_of_in_the_log() {
    let Some(mut service) = Service::new(&format!("SAY=READY=1 {SAY}; exit 3")) else { return };
    let id = id("ready-alone");
    service.name += ".gone";
    let log = service.bundle.at("log");
    let run = service.command(&["--log", log.to_str().unwrap(), "run", &id]).status().unwrap();
    assert_eq!(run.code(), Some(3));
    let log = fs::read_to_string(&log).unwrap();
    assert!(log.contains("level=warning") && log.contains("manager.gone"), "{log}");
    service.name = "vsock:2:1234".to_owned();
    let refused = ground::ran(service.command(&["run", &id]).output().unwrap());
    refused
        .fails(1, "cannot use the NOTIFY_SOCKET vsock:2:1234: it is neither a path nor the name of an abstract socket");
    service.bundle.nothing_left(&id);
}

/// What of the container was not made for it has nothing of a start's.
#[test]
fn who_was_created_without_one_has_none() {
    let Some(mut service) = Service::new("echo $NOTIFY_SOCKET; sleep 1000") else { return };
    let id = id("ready-none");
    let env = json!(["PATH=/bin", "NOTIFY_SOCKET=/its/own"]);
    service.bundle.config["process"]["env"] = env;
    service.bundle.save().create(&id, &[]).ok();
    assert!(service.command(&["start", &id]).status().unwrap().success());
    ground::until("it says so", || service.bundle.output() == "/its/own\n");
    service.bundle.oci(&["delete", "--force", &id]).ok();
    service.bundle.nothing_left(&id);
}
