//! CRIU's requests and answers: the fields of its rpc.proto that are used here, by their numbers there.

use super::wire::{Fields, Message, Value};
use plan::checkpoint::Cgroups;
use std::os::fd::RawFd;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Dump = 1,
    Restore = 2,
    PreDump = 4,
}

const NOTIFY: i64 = 6;
const FEATURE_CHECK: i64 = 9;
const VERSION: i64 = 10;

/// What CRIU is asked for; fds are numbers that it inherits.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub images: RawFd,
    /// For its log and what else it makes on the way; without, the images' directory.
    pub work: Option<RawFd>,
    pub log: String,
    /// The first process of the container that is saved.
    pub pid: Option<i32>,
    pub root: String,
    /// Where the images of the one before are, from these.
    pub parent: String,
    pub leave_running: bool,
    pub ext_unix_sk: bool,
    pub tcp_established: bool,
    pub tcp_skip_in_flight: bool,
    pub shell_job: bool,
    pub file_locks: bool,
    pub link_remap: bool,
    pub lazy_pages: bool,
    pub auto_dedup: bool,
    pub page_server: Option<(String, u16)>,
    /// The cgroup by which the processes are held still.
    pub freezer: String,
    pub cgroups: Cgroups,
    /// Controllers as /proc/PID/cgroup has them, and where below each the container goes.
    pub cgroup_roots: Vec<(String, String)>,
    /// Mounts that are the host's: when saved, where, and its name; when restored, its name, and what of the host.
    pub mounts: Vec<(String, String)>,
    /// `net[INODE]:NAME`
    pub external: Vec<String>,
    /// Files by their names in the images.
    pub inherited: Vec<(String, RawFd)>,
    /// Namespaces that it joins: the kernel's word, and the path.
    pub joined: Vec<(String, String)>,
    pub lsm_profile: String,
    pub lsm_mount_context: String,
    pub config: String,
}

const CLONE_NEWNET: i64 = 0x4000_0000;

impl Options {
    fn encode(&self, kind: Kind) -> Message {
        let restore = kind == Kind::Restore;
        let mut it = Message::default();
        it.number(1, self.images.into());
        if let Some(pid) = self.pid {
            it.number(2, pid.into());
        }
        it.flag(3, self.leave_running);
        it.flag(4, self.ext_unix_sk);
        it.flag(5, self.tcp_established);
        // Devices whose nodes it cannot find by their number are opened by their path.
        it.flag(6, restore);
        it.flag(7, self.shell_job);
        it.flag(8, self.file_locks);
        it.number(9, 4);
        it.text(10, &self.log);
        if let Some((address, port)) = &self.page_server {
            let mut server = Message::default();
            server.text(1, address);
            server.number(2, (*port).into());
            it.message(11, &server);
        }
        it.flag(12, true);
        it.text(13, &self.root);
        it.text(14, &self.parent);
        it.flag(15, kind == Kind::PreDump || !self.parent.is_empty());
        it.flag(16, self.auto_dedup);
        if let Some(work) = self.work {
            it.number(17, work.into());
        }
        it.flag(18, self.link_remap);
        pairs(&mut it, 23, &self.mounts);
        it.flag(24, true);
        pairs(&mut it, 25, &self.cgroup_roots);
        // Our child, not CRIU's: with us it goes to who waits for it.
        it.flag(26, restore);
        for (name, fd) in &self.inherited {
            let mut file = Message::default();
            file.text(1, name);
            file.number(2, (*fd).into());
            it.message(27, &file);
        }
        it.number(
            34,
            match self.cgroups {
                Cgroups::Ignore => 0,
                Cgroups::Soft => 3,
                Cgroups::Full => 4,
                Cgroups::Strict => 5,
                Cgroups::Default => 6,
            },
        );
        self.external.iter().for_each(|name| it.text(37, name));
        // Links are made by who makes networks, in a hook, as those of a new container.
        it.number(38, CLONE_NEWNET);
        pairs(&mut it, 39, &self.joined);
        it.text(44, &self.freezer);
        it.flag(46, self.tcp_skip_in_flight);
        it.flag(48, self.lazy_pages);
        // A terminal whose master nobody in the container has.
        it.flag(50, true);
        it.text(51, &self.config);
        it.text(53, &self.lsm_profile);
        it.text(63, &self.lsm_mount_context);
        it
    }
}

/// The second is required, and may be empty.
fn pairs(it: &mut Message, field: u32, pairs: &[(String, String)]) {
    for (key, value) in pairs {
        let mut pair = Message::default();
        pair.text(1, key);
        pair.bytes(2, value.as_bytes());
        it.message(field, &pair);
    }
}

fn request(kind: i64, fill: impl FnOnce(&mut Message)) -> Message {
    let mut it = Message::default();
    it.number(1, kind);
    fill(&mut it);
    it
}

pub(super) fn ask(kind: Kind, options: &Options) -> Message {
    request(kind as i64, |it| it.message(2, &options.encode(kind)))
}

pub(super) fn heard(success: bool) -> Message {
    request(NOTIFY, |it| it.number(3, success.into()))
}

pub(super) fn version() -> Message {
    request(VERSION, |_| {})
}

/// Which of these this kernel has for it: tracking of memory, lazy pages.
pub(super) fn features() -> Message {
    let mut all = Message::default();
    all.flag(1, true);
    all.flag(2, true);
    request(FEATURE_CHECK, |it| it.message(5, &all))
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Features {
    pub mem_track: bool,
    pub lazy_pages: bool,
}

/// What CRIU says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) kind: i64,
    pub(super) success: bool,
    pub(super) errno: i32,
    pub(super) message: String,
    /// Of the first process that was restored, or of whom the event is about.
    pub(super) pid: Option<i32>,
    /// Where it is, and waits for a word.
    pub(super) event: Option<String>,
    pub(super) features: Features,
    /// Major, minor, sublevel.
    pub(super) version: [u64; 3],
}

impl Answer {
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let mut it = Self::default();
        for field in Fields(bytes) {
            match field {
                (1, Value::Number(kind)) => it.kind = kind.cast_signed(),
                (2, Value::Number(success)) => it.success = success != 0,
                (4, Value::Bytes(restored)) => it.pid = number(restored, 1).map(|pid| pid as i32),
                (5, Value::Bytes(event)) => {
                    it.event = Some(text(event, 1));
                    it.pid = number(event, 2).map(|pid| pid as i32);
                }
                (7, Value::Number(errno)) => it.errno = errno as i32,
                (8, Value::Bytes(features)) => {
                    let has = |field| number(features, field) == Some(1);
                    it.features = Features { mem_track: has(1), lazy_pages: has(2) };
                }
                (9, Value::Bytes(message)) => it.message = String::from_utf8_lossy(message).into_owned(),
                (10, Value::Bytes(version)) => {
                    it.version = [1, 2, 4].map(|field| number(version, field).unwrap_or_default());
                }
                _ => {}
            }
        }
        it
    }
}

fn number(bytes: &[u8], field: u64) -> Option<u64> {
    Fields(bytes).find_map(|found| match found {
        (number, Value::Number(value)) if number == field => Some(value),
        _ => None,
    })
}

fn text(bytes: &[u8], field: u64) -> String {
    let found = Fields(bytes).find_map(|found| match found {
        (number, Value::Bytes(value)) if number == field => Some(String::from_utf8_lossy(value).into_owned()),
        _ => None,
    });
    found.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Answer, Features, Kind, Options, ask};
    use crate::criu::wire::{Fields, Value};

    #[test]
    fn answers() {
        let event = Answer::parse(b"\x08\x06\x10\x01\x2a\x11\x0a\x0cpost-restore\x10\xd2\x0f");
        assert_eq!(event.event.as_deref(), Some("post-restore"));
        assert_eq!((event.kind, event.success, event.pid), (6, true, Some(2002)));
        let version = Answer::parse(b"\x08\x0a\x10\x01\x52\x06\x08\x04\x10\x02\x20\x01");
        assert_eq!(version.version, [4, 2, 1]);
        let failed = Answer::parse(b"\x08\x01\x10\x00\x38\x03");
        assert_eq!((failed.kind, failed.success, failed.errno), (1, false, 3));
        let features = Answer::parse(b"\x08\x09\x10\x01\x42\x04\x08\x00\x10\x01").features;
        assert_eq!(features, Features { mem_track: false, lazy_pages: true });
    }

    #[test]
    fn a_request_says_what_was_asked() {
        let options =
            Options { images: 5, pid: Some(9), mounts: vec![("/a".into(), "/b".into())], ..Options::default() };
        let request = ask(Kind::Dump, &options);
        let outer: Vec<_> = Fields(request.as_bytes()).collect();
        assert_eq!(outer[0], (1, Value::Number(1)));
        let Value::Bytes(inner) = outer[1].1 else { panic!("no options") };
        let inner: Vec<_> = Fields(inner).collect();
        assert!(inner.contains(&(1, Value::Number(5))) && inner.contains(&(2, Value::Number(9))));
        assert!(inner.contains(&(23, Value::Bytes(b"\x0a\x02/a\x12\x02/b"))));
        assert!(!inner.iter().any(|(field, _)| *field == 26));
    }
}
