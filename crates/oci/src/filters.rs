//! Compiled seccomp filters, by the text that they were compiled from: engines give all their containers the same few.
//!
//! Invariant: what comes out is what the compiler of this very program made of the same text for the same machine; the
//! text is kept beside it, and compared. What cannot be read or written only costs time, and is not told.
//! Must not: keep a filter that notifies: where it is loaded, the profile is asked for more.
//!
//! On the tmpfs of a runtime directory, so that a boot empties it. A file is a line (form, program, machine, flags),
//! the text, and eight bytes an instruction.

use plan::Plan;
use plan::host::Host;
use plan::seccomp::{Instruction, Program};
use plan::step::InitStep;
use spec::runtime::SeccompSection;
use std::collections::hash_map::DefaultHasher;
use std::fs::{File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

/// As many as are kept: engines have one or two profiles, users a few.
const MOST: usize = 32;

#[derive(Debug, Clone)]
pub(crate) struct Filters(Option<PathBuf>);

impl Filters {
    /// In this directory of the caller's, if there is one.
    pub(crate) fn below(runtime: Option<PathBuf>) -> Self {
        Self(runtime.map(|path| path.join("sampan/filters")))
    }

    /// That of the section.
    pub(crate) fn of(&self, section: Option<&SeccompSection>, host: &Host) -> Option<Program> {
        self.find(section?.text()?, &host.machine)
    }

    /// The plan's, which was made without one of ours.
    pub(crate) fn keep_of(&self, section: Option<&SeccompSection>, host: &Host, plan: &Plan) {
        let program = plan.init.iter().find_map(|step| match step {
            InitStep::Seccomp { program, .. } => Some(program),
            _ => None,
        });
        if let (Some(text), Some(program)) = (section.and_then(SeccompSection::text), program) {
            self.keep(text, &host.machine, program);
        }
    }

    fn find(&self, text: &str, machine: &str) -> Option<Program> {
        let head = head(machine)?;
        let file = File::open(self.path(&head, text)?).ok()?;
        let found = file.metadata().ok()?;
        // Of somebody else it could be anything.
        if found.uid() != runtime::observe::euid() || found.mode() & 0o022 != 0 {
            return None;
        }
        let mut bytes = Vec::with_capacity(usize::try_from(found.len()).ok()?);
        file.take(1 << 20).read_to_end(&mut bytes).ok()?;
        decode(&bytes, &head, text)
    }

    fn keep(&self, text: &str, machine: &str, program: &Program) {
        if !program.notifies() {
            let _ = self.write(text, machine, program);
        }
    }

    fn write(&self, text: &str, machine: &str, program: &Program) -> Option<()> {
        let head = head(machine)?;
        let path = self.path(&head, text)?;
        let directory = path.parent()?;
        // What the engine keeps beside it is passed through by the root of containers' user namespaces.
        std::fs::DirBuilder::new().recursive(true).mode(0o711).create(directory).ok()?;
        self.make_room();
        let new = directory.join(format!(".{}", std::process::id()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).ok()?;
        let written = file.write_all(&encode(program, &head, text)).and_then(|()| std::fs::rename(&new, &path));
        if written.is_err() {
            let _ = std::fs::remove_file(&new);
        }
        written.ok()
    }

    fn make_room(&self) -> Option<()> {
        let entries = std::fs::read_dir(self.0.as_ref()?).ok()?.flatten();
        let mut all: Vec<_> =
            entries.filter_map(|it| Some((it.metadata().ok()?.modified().ok()?, it.path()))).collect();
        all.sort_unstable();
        let surplus = (all.len() + 1).saturating_sub(MOST);
        all.iter().take(surplus).for_each(|(_, path)| drop(std::fs::remove_file(path)));
        Some(())
    }

    fn path(&self, head: &str, text: &str) -> Option<PathBuf> {
        let mut hasher = DefaultHasher::new();
        (head, text).hash(&mut hasher);
        Some(self.0.as_ref()?.join(format!("{:016x}", hasher.finish())))
    }
}

/// Of the program that compiles: another may do it otherwise.
fn head(machine: &str) -> Option<String> {
    let own = std::fs::metadata("/proc/self/exe").ok()?;
    Some(format!("1 {}-{}-{}.{} {machine}", own.ino(), own.size(), own.mtime(), own.mtime_nsec()))
}

fn encode(program: &Program, head: &str, text: &str) -> Vec<u8> {
    let mut bytes = format!("{head} {} {}\n{text}", program.flags, program.instructions.len()).into_bytes();
    for Instruction { code, jt, jf, k } in &program.instructions {
        bytes.extend(code.to_le_bytes());
        bytes.extend([*jt, *jf]);
        bytes.extend(k.to_le_bytes());
    }
    bytes
}

fn decode(bytes: &[u8], head: &str, text: &str) -> Option<Program> {
    let rest = bytes.strip_prefix(head.as_bytes())?.strip_prefix(b" ")?;
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let (flags, count) = std::str::from_utf8(&rest[..end]).ok()?.split_once(' ')?;
    let (instructions, torn) = rest[end + 1..].strip_prefix(text.as_bytes())?.as_chunks::<8>();
    let instructions: Vec<_> = instructions.iter().map(|bytes| instruction(*bytes)).collect();
    let whole = torn.is_empty() && count.parse() == Ok(instructions.len());
    whole.then_some(Program { instructions, flags: flags.parse().ok()? })
}

fn instruction([c0, c1, jt, jf, k0, k1, k2, k3]: [u8; 8]) -> Instruction {
    Instruction { code: u16::from_le_bytes([c0, c1]), jt, jf, k: u32::from_le_bytes([k0, k1, k2, k3]) }
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};
    use plan::seccomp::{Instruction, Program};

    #[test]
    fn only_the_same_comes_back() {
        let instructions = vec![Instruction { code: 0x15, jt: 1, jf: 255, k: 0xc000_003e }; 2];
        let program = Program { instructions, flags: 4 };
        let bytes = encode(&program, "1 me x86_64", "{}");
        assert_eq!(decode(&bytes, "1 me x86_64", "{}"), Some(program));
        assert_eq!(decode(&bytes, "1 you x86_64", "{}"), None);
        assert_eq!(decode(&bytes, "1 me aarch64", "{}"), None);
        assert_eq!(decode(&bytes, "1 me x86_64", "{ }"), None);
        for end in 0..bytes.len() {
            assert_eq!(decode(&bytes[..end], "1 me x86_64", "{}"), None, "{end}");
        }
    }
}
