//! The machine: QEMU with a kernel and an initramfs of busybox and sampan. It boots once and its memory is kept: each later
//! start is that machine, which has not seen its disk yet, so that a cut costs no boot.

use super::kernel::Kernel;
use crate::command;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

pub const QEMU: &str = "qemu-system-x86_64";
const STARTS: Duration = Duration::from_secs(120);

pub struct Machine {
    folder: PathBuf,
    kernel: PathBuf,
    qemu: PathBuf,
    accelerator: &'static str,
}

/// One that runs.
pub struct Awake {
    qemu: Child,
    control: UnixStream,
    monitor: UnixStream,
    said: Vec<u8>,
    asked: u64,
}

/// What a command came to.
#[derive(Debug)]
pub enum Answer {
    Ended(i32, String),
    /// The power failed before it had ended.
    Cut,
}

impl Machine {
    /// Boots once. `root` gets the initramfs's files and has those of the caller; `folder/disk.socket` is the disk.
    ///
    /// # Errors
    /// What it needs is not there, or it does not come up.
    pub fn boot(folder: &Path, root: &Path, kernel: &Kernel) -> Result<Self, String> {
        let qemu = command::find(QEMU).ok_or("no QEMU")?;
        let busybox = command::find("busybox").ok_or("no busybox")?;
        let put = |from: &Path, to: &str| {
            let to = root.join(to);
            let made = to.parent().map_or(Ok(()), fs::create_dir_all);
            made.and_then(|()| fs::copy(from, &to)).map(drop).map_err(|error| format!("cannot write {to:?}: {error}"))
        };
        put(&busybox, "bin/busybox")?;
        let init = root.join("init");
        fs::write(&init, include_str!("init")).map_err(|error| format!("cannot write {}: {error}", init.display()))?;
        command::output(Command::new("chmod").arg("755").arg(&init))?;
        let early = ["virtio_pci", "virtio_net", "ext4", "overlay", "nfnetlink", "nf_tables", "bridge", "veth"];
        kernel.modules(&early, &root.join("modules/early"))?;
        kernel.modules(&["virtio_blk", "virtio_rng"], &root.join("modules/late"))?;
        let pack = "cd \"$1\" && find . | busybox cpio -o -H newc >\"$2\" 2>/dev/null";
        command::output(Command::new("sh").args(["-ec", pack, "sh"]).arg(root).arg(folder.join("initramfs")))?;
        let own = Self { folder: folder.to_owned(), kernel: kernel.image.clone(), qemu, accelerator: accelerator() };
        let mut first = own.spawn(&[])?;
        let ready = first.wait_for(b"ready\n", STARTS, &|| false);
        ready.map_err(|why| format!("{why}; {}", own.console()))?.ok_or("it did not come up")?;
        first.save(&own.state())?;
        Ok(own)
    }

    fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    fn console(&self) -> String {
        let text = fs::read(self.folder.join("console")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join(" / ")
    }

    fn spawn(&self, more: &[String]) -> Result<Awake, String> {
        let at = |name: &str| self.folder.join(name).display().to_string();
        let socket = |name: &str| format!("unix:{},server=on,wait=off", at(name));
        for name in ["control", "monitor"] {
            let _ = fs::remove_file(self.folder.join(name));
        }
        let mut command = Command::new(&self.qemu);
        command.args(["-M", "pc", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        command.args(["-accel", self.accelerator, "-cpu", "max", "-smp", "1", "-m", "384"]);
        command.arg("-kernel").arg(&self.kernel).args(["-initrd", &at("initramfs")]);
        // What the kernel believes to be random before the memory is kept would come again each time.
        command
            .args(["-append", "console=ttyS0 rdinit=/init panic=-1 random.trust_cpu=off random.trust_bootloader=off"]);
        let disk = format!("if=none,id=disk,format=raw,cache=writeback,file=nbd:unix:{}", at("disk.socket"));
        command.args(["-drive", &disk, "-device", "virtio-blk-pci,drive=disk", "-device", "virtio-rng-pci"]);
        command.args(["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net"]);
        command.args(["-serial", &format!("file:{}", at("console")), "-serial", &socket("control")]);
        command.args(["-monitor", &socket("monitor")]).args(more);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut qemu = command.spawn().map_err(|error| format!("{QEMU}: {error}"))?;
        let start = Instant::now();
        let mut connect = |name: &str| loop {
            match UnixStream::connect(self.folder.join(name)) {
                Ok(stream) => return Ok(stream),
                Err(error) if start.elapsed() > STARTS || !matches!(qemu.try_wait(), Ok(None)) => {
                    let _ = qemu.kill();
                    return Err(format!("{QEMU} does not start: {error}"));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        let (control, monitor) = (connect("control")?, connect("monitor")?);
        let timeout = Some(Duration::from_millis(20));
        for stream in [&control, &monitor] {
            stream.set_read_timeout(timeout).map_err(|error| error.to_string())?;
        }
        Ok(Awake { qemu, control, monitor, said: vec![], asked: 0 })
    }

    /// As after a boot, with the disk mounted.
    ///
    /// # Errors
    /// It does not come up.
    pub fn wake(&self) -> Result<Awake, String> {
        let mut awake = self.spawn(&["-incoming".to_owned(), format!("exec:cat {}", self.state().display())])?;
        awake.until_status("paused")?;
        awake.order("cont")?;
        // What it is told before it runs, it forgets.
        awake.until_status("running")?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        match awake.ask(&format!("awake {now}"), STARTS, &|| false)? {
            Answer::Ended(0, _) => Ok(awake),
            other => Err(format!("cannot mount the disk: {other:?}; {}", self.console())),
        }
    }
}

/// Where /proc/cpuinfo names no virtualisation, a /dev/kvm is of another kind, and knows not what a kernel needs.
fn accelerator() -> &'static str {
    let flags = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let hardware = flags.split_whitespace().any(|flag| flag == "vmx" || flag == "svm");
    let usable = hardware && fs::File::options().read(true).write(true).open("/dev/kvm").is_ok();
    if usable { "kvm" } else { "tcg,thread=multi" }
}

impl Awake {
    /// Has a line of the shell done.
    ///
    /// # Errors
    /// It takes longer than `limit`, or the machine is gone by itself.
    pub fn ask(&mut self, line: &str, limit: Duration, cut: &dyn Fn() -> bool) -> Result<Answer, String> {
        self.asked += 1;
        let sent = writeln!(self.control, "{} {line}", self.asked);
        sent.map_err(|error| format!("{line}: the machine is gone: {error}"))?;
        let mark = format!("\n={} ", self.asked);
        let said = self.wait_for(mark.as_bytes(), limit, cut).map_err(|why| format!("{line}: {why}"))?;
        let Some(text) = said else { return Ok(Answer::Cut) };
        let code = self.wait_for(b"\n", limit, &|| false)?.unwrap_or_default();
        let code = code.trim().parse().map_err(|_| format!("{line}: it ended with {code:?}"))?;
        Ok(Answer::Ended(code, text.trim().to_owned()))
    }

    /// What is said before `mark`; `None` where the power is cut before it comes.
    fn wait_for(&mut self, mark: &[u8], limit: Duration, cut: &dyn Fn() -> bool) -> Result<Option<String>, String> {
        let start = Instant::now();
        let mut was_cut = false;
        loop {
            if let Some(at) = self.said.windows(mark.len()).position(|window| window == mark) {
                let text = String::from_utf8_lossy(&self.said[..at]).into_owned();
                self.said.drain(..at + mark.len());
                return Ok(Some(text));
            }
            let mut buffer = [0; 4096];
            match self.control.read(&mut buffer) {
                Ok(0) if was_cut => return Ok(None),
                Ok(0) => return Err("the machine is gone".to_owned()),
                Ok(n) => self.said.extend_from_slice(&buffer[..n]),
                Err(_) if was_cut => return Ok(None),
                Err(_) if cut() => {
                    // What it has said until now counts.
                    was_cut = true;
                    self.kill();
                }
                Err(_) if start.elapsed() > limit => {
                    let said = String::from_utf8_lossy(&self.said).into_owned();
                    return Err(format!("no answer after {} s; it has said {said:?}", limit.as_secs()));
                }
                Err(_) => {}
            }
        }
    }

    pub fn kill(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }

    fn order(&mut self, line: &str) -> Result<String, String> {
        const PROMPT: &[u8] = b"(qemu) ";
        writeln!(self.monitor, "{line}").map_err(|error| format!("the monitor is gone: {error}"))?;
        let start = Instant::now();
        let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
        // The echo comes first, and the prompt of the line before may, too.
        while !(text.ends_with(PROMPT) && text.windows(2).any(|pair| pair == b"\r\n")) {
            match self.monitor.read(&mut buffer) {
                Ok(0) => return Err("the monitor is gone".to_owned()),
                Ok(n) => text.extend_from_slice(&buffer[..n]),
                Err(_) if start.elapsed() > STARTS => return Err(format!("{line}: no answer")),
                Err(_) => {}
            }
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn until_status(&mut self, word: &str) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let said = self.order("info status")?;
            if said.contains(word) && !said.contains("inmigrate") {
                return Ok(());
            }
            if start.elapsed() > STARTS {
                return Err(format!("the machine is not {word}: {said}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its memory, and it ends.
    fn save(mut self, to: &Path) -> Result<(), String> {
        self.order("stop")?;
        self.order(&format!("migrate \"exec:cat >{}\"", to.display()))?;
        self.until_status("postmigrate")
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        self.kill();
    }
}
