//! The operations as data.

use std::ffi::{CString, c_char};
use std::os::fd::RawFd;

/// Directories that the child holds open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// The container's root.
    Root = 0,
    /// A scratch filesystem that only the child sees (the writable side of a throw-away overlay).
    Scratch = 1,
}

/// A path inside the directory of a slot, never outside: it is resolved with `openat2(RESOLVE_IN_ROOT)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub slot: Slot,
    /// `a`, `a/b`, `a/b/c`: each prefix, the whole path last. Empty: the slot's directory itself.
    pub prefixes: Vec<CString>,
    /// The last name of each prefix.
    pub names: Vec<CString>,
    /// `RESOLVE_NO_SYMLINKS` too: a /proc that is a link could lead the masks elsewhere (CVE-2025-31133's family).
    pub no_symlinks: bool,
    /// Where the last name is a link, the place is what it names.
    pub follow: bool,
}

/// What a mount's destination becomes when it is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Directory,
    File,
    /// As the source is, which only the child can tell.
    LikeSource,
    /// An absent destination is no error: nothing is mounted.
    SkipAbsent,
}

/// `MOUNT_ATTR_*` to set, and to clear before that.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags {
    pub set: u64,
    pub clear: u64,
}

/// Of the mount its own, of all below it too, and a propagation (`MS_PRIVATE` …, perhaps with `MS_REC`; 0 leaves it).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes {
    pub own: Flags,
    /// Of `own.clear` and `all.clear` what may not be left there.
    pub named: u64,
    pub all: Flags,
    /// What the mount has of flags that a user namespace could not take off stays.
    pub locked: bool,
    pub propagation: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `fsopen`, one `fsconfig` an entry (a flag without value), `fsmount`. `like`: and `mode`, as what it covers has it,
    /// if that is there.
    Filesystem { fstype: CString, config: Vec<(CString, Option<CString>)>, flags: u32, like: bool },
    /// `open_tree(OPEN_TREE_CLONE)` of a host path; `follow`: of what it names where it is a link. `below`: of what has
    /// this name in it, resolved inside of it (`RESOLVE_IN_ROOT`).
    Tree { path: CString, below: Option<CString>, recursive: bool, follow: bool },
    /// A detached mount or an `O_PATH` tree that the parent made.
    Detached { fd: RawFd },
    /// `open_tree` of a path inside the container's root.
    Inside { place: Place, recursive: bool },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A path of the host, in the child's own mount namespace; the new mount's root is kept in the slot.
    Host {
        path: CString,
        slot: Slot,
    },
    Place {
        place: Place,
        target: Target,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    pub source: Source,
    /// The parent shifts its ids, before it is attached.
    pub shifted: bool,
    pub destination: Destination,
    pub attributes: Attributes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Console {
    pub uid: u32,
    pub rows: u16,
    pub columns: u16,
    pub bind_console: bool,
}

#[derive(Debug)]
pub enum Op {
    /// Read one byte of the sync socket; end of file means that the parent is gone.
    Await,
    Setns {
        fd: RawFd,
        flags: i32,
    },
    /// The namespaces (`CLONE_NEW*`) of that process, all at once; its root is the slot's directory, even without flags.
    Enter {
        pidfd: RawFd,
        flags: u64,
    },
    Unshare {
        flags: i32,
    },
    /// The time namespace that this process has made and is not in yet.
    EnterTime,
    /// Uid and gid 0 of the user namespace, so that what is made next is owned by its root.
    BecomeRoot {
        clear_groups: bool,
    },
    /// `prctl(PR_SET_DUMPABLE, 0)`: from here to the exec its `/proc/PID/{exe,fd,mem,environ}` are closed to all but those
    /// with `CAP_SYS_PTRACE` in the user namespace of sampan itself (ptrace(2)). The exec takes it back.
    Undumpable,
    /// `mount(NULL, "/", NULL, flags)`.
    Propagation {
        flags: u64,
    },
    Mount(Mount),
    /// mount(2), with options of up to a page and paths in them that are relative to `from`; the new mount is the root.
    MountPage {
        fstype: CString,
        from: CString,
        at: CString,
        options: CString,
    },
    Directory {
        place: Place,
        mode: u32,
        owner: Option<(u32, u32)>,
    },
    Node {
        place: Place,
        mode: u32,
        device: u64,
        owner: (u32, u32),
    },
    Symlink {
        place: Place,
        to: CString,
    },
    Write {
        place: Place,
        data: Vec<u8>,
    },
    /// To a file that the parent opened.
    WriteFd {
        fd: RawFd,
        data: Vec<u8>,
    },
    /// To a file of the /proc that sampan's caller has, not of one that came with the container (CVE-2019-16884,
    /// CVE-2025-52881); so before the root is changed.
    WriteProc {
        path: CString,
        data: Vec<u8>,
    },
    /// setfsuid(2) and setfsgid(2): the rights with which overlayfs will read its layers. Other than 0 they take the
    /// file capabilities away for as long (capabilities(7)).
    FileSystemIds {
        uid: u32,
        gid: u32,
    },
    /// Cover with /dev/null (a file) or an empty read-only tmpfs, configured so (a directory); absent is no error.
    Mask {
        place: Place,
        config: Vec<(CString, Option<CString>)>,
    },
    /// The extended attribute `security.selinux` of a directory.
    Label {
        place: Place,
        label: CString,
    },
    /// Bind the place onto itself, read-only; absent is no error.
    Readonly {
        place: Place,
    },
    /// The mount that is there, and not those below it.
    ReadonlyMount {
        place: Place,
    },
    Console(Console),
    /// `dup2(fd, 0..=2)`.
    Stdio {
        fds: [RawFd; 3],
    },
    Session,
    /// Those of the standard files that are the null device, as the root's own /dev/null, if it has one.
    Null,
    /// The rest of them, given to the user as far as the kernel lets.
    StandardFiles {
        uid: u32,
        gid: u32,
    },
    Pivot,
    /// Into the root, or into that directory, which is the root from now on.
    Chroot {
        to: Option<RawFd>,
    },
    /// Move the root onto the old one, unmount these paths, and change to it. A `true` is covered where it cannot go.
    Move {
        hidden: Vec<(CString, bool)>,
    },
    /// The root, which is not `/` yet, as working directory.
    EnterRoot,
    Hostname(Vec<u8>),
    Domainname(Vec<u8>),
    /// Requests of rtnetlink in the child's network namespace.
    Netlink(crate::netlink::InChild),
    Keyring,
    Rlimit {
        resource: u32,
        soft: u64,
        hard: u64,
    },
    Groups(Vec<u32>),
    /// With `PR_SET_KEEPCAPS`: the capabilities are cut by `Capabilities`, not by the change of uid.
    Ids {
        uid: u32,
        gid: u32,
    },
    /// Bit sets. The bounding set must be cut while `CAP_SETPCAP` is there, so it comes before `Ids`.
    Bounding {
        keep: u64,
        last: u32,
    },
    Capabilities {
        effective: u64,
        permitted: u64,
        inheritable: u64,
        ambient: u64,
    },
    NoNewPrivileges,
    /// `struct sock_filter`s in native byte order, and `SECCOMP_FILTER_FLAG_*`.
    Seccomp {
        program: Vec<[u8; 8]>,
        flags: u32,
        listener: Option<Listener>,
    },
    /// The CPUs as a mask.
    Affinity(Vec<u64>),
    Scheduler(Scheduler),
    IoPriority(u32),
    Personality(u64),
    /// With the mode's flags; the nodes as a mask.
    MemoryPolicy {
        mode: u32,
        nodes: Vec<u64>,
    },
    Umask(u32),
    /// Working directory; it must be inside the root afterwards (CVE-2024-21626). `create`: made when absent. One that
    /// root may not enter is left to its user, after `Ids`.
    Chdir {
        path: CString,
        create: Option<Place>,
    },
    /// Hold a read-only mount of that file, which is this program's own: at the end pid 1 becomes [`super::reap`] by it,
    /// and the command its child.
    Reaper {
        path: CString,
        device: u64,
        inode: u64,
        /// There is no command.
        alone: bool,
    },
    /// What is open and not needed any more is closed, and not only on exec: a container that waits for its start is looked
    /// at by others (CVE-2024-21626).
    Close {
        keep: [RawFd; 2],
    },
    /// The command, and the interpreter that its `#!` names, must be no file of this device and inode.
    NotThis {
        device: u64,
        inode: u64,
    },
    /// Tell the parent that all is set up.
    Ready,
    /// Tell the parent that it may run its hooks, and wait until it has.
    AwaitHooks,
    Hook(Hook),
    /// A handler for each signal that would end a process; it exits with 128 and its number.
    EndBySignals,
    /// One of the exec's candidates is a file that can be executed.
    FindCommand,
    /// Let the parent go, with an end of file, and wait for a byte in the one pipe; to the other goes what is still to
    /// report.
    AwaitStart {
        gate: RawFd,
        outcome: RawFd,
    },
}

/// How the parent comes by what loading the filter yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// It is told the number, and takes it: a word for which the filter has to let write(2) through, and no more.
    Taken,
    /// It is sent it, by sendmsg(2).
    Sent,
}

/// `struct sched_attr` of linux/sched/types.h, in its first version.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Scheduler {
    pub size: u32,
    pub policy: u32,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
}

/// A program that is called and waited for.
#[derive(Debug)]
pub struct Hook {
    pub path: CString,
    pub argv: Strings,
    pub env: Strings,
    /// Its standard input, but for this process's own number, which comes between the two.
    pub state: [Vec<u8>; 2],
    /// Until it is killed.
    pub seconds: Option<u64>,
}

#[derive(Debug)]
pub struct Exec {
    /// Tried in order, as execvp(3) walks `PATH`.
    pub candidates: Vec<CString>,
    pub argv: Strings,
    pub env: Strings,
}

/// Strings with the null-terminated array of pointers that execve(2) wants, made while the heap may still be used.
#[derive(Debug)]
pub struct Strings {
    pointers: Vec<*const c_char>,
    /// What the pointers point to.
    _owned: Vec<CString>,
}

impl Strings {
    #[must_use]
    pub fn new(strings: Vec<CString>) -> Self {
        let pointers = strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect();
        Self { pointers, _owned: strings }
    }

    pub(super) fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }
}
