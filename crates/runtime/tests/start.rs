//! A plan of `plan::plan`, run by `runtime::container::start` on the real kernel.

#![expect(clippy::unwrap_used, reason = "a test")]

use plan::order::{Existing, NetworkSteps};
use plan::step::Upper;
use plan::{Input, Rootfs};
use runtime::container::Call;
use runtime::journal::Journal;
use spec::runtime::{Config, Linux, Mount, Namespace, NamespaceKind, Process};
use std::path::{Path, PathBuf};

fn config(args: &[&str]) -> Config {
    let kinds = [
        NamespaceKind::Mount,
        NamespaceKind::Pid,
        NamespaceKind::Uts,
        NamespaceKind::Ipc,
        NamespaceKind::Network,
        NamespaceKind::Cgroup,
    ];
    let mount = |destination: &str, kind: &str, options: &[&str]| Mount {
        destination: destination.into(),
        kind: kind.into(),
        source: kind.into(),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..Mount::default()
    };
    Config {
        hostname: "box".into(),
        process: Some(Process {
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env: vec!["PATH=/bin".into()],
            cwd: "/".into(),
            ..Process::default()
        }),
        mounts: vec![
            mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
            mount("/dev", "tmpfs", &["nosuid", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", &["newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
        ],
        linux: Some(Linux {
            namespaces: kinds.map(|kind| Namespace { kind, path: None }).into(),
            masked_paths: vec!["/proc/keys".into(), "/proc/fs".into(), "/proc/tty".into(), "/proc/absent".into()],
            readonly_paths: vec!["/proc/sys".into()],
            ..Linux::default()
        }),
        ..Config::default()
    }
}

struct Ground {
    path: PathBuf,
}

impl Ground {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sampan-start-{name}-{}", std::process::id()));
        std::fs::create_dir_all(path.join("rootfs/bin")).unwrap();
        std::fs::copy("/bin/busybox", path.join("rootfs/bin/busybox")).unwrap();
        Self { path }
    }

    fn layer(&self, name: &str) -> String {
        self.path.join(name).to_str().unwrap().to_owned()
    }

    /// How the container's process ended; 99 when there was none, with the error in `out`.
    fn run(&self, config: &Config, host: &plan::host::Host, lower: Vec<String>, out: &Path) -> sys::process::Exit {
        let data = self.layer("c");
        let plan = plan::plan(Input {
            config,
            idmapped: false,
            volumes: Vec::new(),
            secrets: plan::secrets::Secrets::default(),
            rootfs: Rootfs::Overlay {
                lower,
                upper: Upper {
                    upper: format!("{data}/upper"),
                    work: format!("{data}/work"),
                    volatile: false,
                    limit: None,
                },
            },
            host,
            data: &data,
            files: vec![("hosts".into(), "127.0.0.1 localhost\n".into())],
            cgroup: plan::cgroup::Plan::default(),
            network: NetworkSteps::default(),
            first: plan::order::First::Command,
            foreground: true,
            create_cwd: false,
            existing: Existing::Nothing,
            state: spec::runtime::State::default(),
            bundle: None,
            compiled: None,
        })
        .unwrap();
        forked(|| {
            let mut journal = Journal::create(&self.path.join("journal")).unwrap();
            let null = std::fs::File::open("/dev/null").unwrap();
            let file = std::fs::File::create(out).unwrap();
            use std::os::fd::AsRawFd;
            let stdio = [null.as_raw_fd(), file.as_raw_fd(), file.as_raw_fd()];
            let context = runtime::apply::Context::new(None);
            let call = Call { stdio, passed: 0, timed: false, at: &mut |_, _, _| Ok(()) };
            let exit = match runtime::container::start(&plan, Some(&mut journal), context, call) {
                Ok(started) => sys::process::wait(&started.child).unwrap(),
                Err(error) => {
                    std::fs::write(out, error.to_string()).unwrap();
                    sys::process::Exit::Code(99)
                }
            };
            assert!(runtime::undo::replay(journal, None).is_empty());
            match exit {
                sys::process::Exit::Code(code) => code,
                sys::process::Exit::Signal(_) => 98,
            }
        })
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.path).unwrap();
    }
}

#[test]
fn runs_and_leaves_nothing() {
    // Tests run in threads; the clone wants a process with one.
    let ground = Ground::new("run");
    let out = ground.path.join("out");
    let script = "hostname; echo $$; cat /proc/keys; echo /proc/fs/* /proc/tty/*; pwd; echo x >/new; \
                  echo x >/proc/sys/kernel/domainname";
    let config = config(&["busybox", "sh", "-c", script]);
    let host = runtime::observe::host().unwrap();
    let child = ground.run(&config, &host, vec![ground.layer("rootfs")], &out);
    let output = std::fs::read_to_string(&out).unwrap();
    assert_eq!(child, sys::process::Exit::Code(1), "{output}");
    assert!(output.starts_with("box\n1\n/proc/fs/* /proc/tty/*\n/\n"), "{output}");
    assert!(output.contains("/proc/sys/kernel/domainname: Read-only file system"), "{output}");
    assert!(!ground.path.join("c").exists() && !ground.path.join("journal").exists());
    assert!(!ground.path.join("rootfs/new").exists());
}

/// More than fsconfig(2) takes at a time: as the kernel here takes them, and as one did before Linux 6.8.
#[test]
fn forty_five_layers() {
    let ground = Ground::new("layers");
    let out = ground.path.join("out");
    let mut lower: Vec<String> = (0..45).map(|number| ground.layer(&format!("layers, all/{number:040}"))).collect();
    for (number, path) in lower.iter().enumerate() {
        std::fs::create_dir_all(path).unwrap();
        std::fs::write(Path::new(path).join(format!("from-{number}")), "").unwrap();
        std::fs::write(Path::new(path).join("top"), format!("{number}\n")).unwrap();
    }
    lower.push(ground.layer("rootfs"));
    let config = config(&["busybox", "sh", "-c", "ls / | grep -c from-; cat /top; echo x >/top; pwd"]);
    let mut host = runtime::observe::host().unwrap();
    for kernel in [host.kernel, (6, 7)] {
        host.kernel = kernel;
        let exit = ground.run(&config, &host, lower.clone(), &out);
        let output = std::fs::read_to_string(&out).unwrap();
        assert_eq!((exit, output.as_str()), (sys::process::Exit::Code(0), "45\n0\n/\n"), "{kernel:?}");
    }
    assert!(!ground.path.join("c").exists());
}

/// In a process of its own with one thread.
fn forked(work: impl FnOnce() -> u8) -> sys::process::Exit {
    let one = sys::process::SingleThread::assume_for_test();
    sys::process::wait(&sys::process::fork(one, 0, work).unwrap()).unwrap()
}
