//! The few fields of an ELF file that decide whether it can run here (elf(5)).

use std::fs::File;
use std::os::unix::fs::FileExt;

const MAGIC: &[u8] = b"\x7fELF";
const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const PT_INTERP: u32 = 3;
/// A program with more segments than this is not one.
const MAX_SEGMENTS: u16 = 512;
const MAX_INTERP: u64 = 4096;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elf {
    pub machine: u16,
    pub wide: bool,
    pub big_endian: bool,
    /// The dynamic loader. None: statically linked.
    pub interpreter: Option<String>,
}

/// `None`: not ELF, or not an executable of it.
pub fn read(file: &File) -> Option<Elf> {
    let mut head = [0; 64];
    let length = read_at(file, &mut head, 0);
    let head = &head[..length];
    if !head.starts_with(MAGIC) {
        return None;
    }
    let (wide, big_endian) = (*head.get(4)? == 2, *head.get(5)? == 2);
    let at = Fields { bytes: head, big_endian };
    if !matches!(at.u16(16)?, ET_EXEC | ET_DYN) {
        return None;
    }
    let (offset, size, count) = match wide {
        true => (at.u64(32)?, at.u16(54)?, at.u16(56)?),
        false => (at.u32(28)?.into(), at.u16(42)?, at.u16(44)?),
    };
    let mut interpreter = None;
    for n in 0..count.min(MAX_SEGMENTS) {
        let mut bytes = [0; 56];
        let start = offset.checked_add(u64::from(n) * u64::from(size))?;
        let length = read_at(file, &mut bytes, start);
        let segment = Fields { bytes: &bytes[..length], big_endian };
        if segment.u32(0)? == PT_INTERP {
            let (start, length) = match wide {
                true => (segment.u64(8)?, segment.u64(32)?),
                false => (segment.u32(4)?.into(), segment.u32(16)?.into()),
            };
            let mut text = vec![0; usize::try_from(length.min(MAX_INTERP)).ok()?];
            let length = read_at(file, &mut text, start);
            let text = text[..length].split(|b| *b == 0).next().unwrap_or_default();
            interpreter = Some(String::from_utf8_lossy(text).into_owned());
        }
    }
    Some(Elf { machine: at.u16(18)?, wide, big_endian, interpreter })
}

impl Elf {
    /// What this kernel runs without help: this machine's own, and the 32-bit forms that its 64-bit kernels run too.
    pub fn is_native(&self) -> bool {
        let (machine, compatible) = match std::env::consts::ARCH {
            "x86_64" => (62, Some(3)),
            "x86" => (3, None),
            "aarch64" => (183, Some(40)),
            "arm" => (40, None),
            "riscv64" => (243, None),
            "powerpc64" => (21, None),
            "s390x" => (22, None),
            "loongarch64" => (258, None),
            _ => (self.machine, None),
        };
        let endian = self.big_endian == cfg!(target_endian = "big");
        endian && (self.machine == machine || Some(self.machine) == compatible)
    }

    pub fn machine_name(&self) -> String {
        match self.machine {
            3 => "386",
            8 => "mips",
            20 => "ppc",
            21 if self.big_endian => "ppc64",
            21 => "ppc64le",
            22 => "s390x",
            40 => "arm",
            62 => "amd64",
            183 => "arm64",
            243 => "riscv64",
            258 => "loong64",
            other => return format!("machine {other}"),
        }
        .to_owned()
    }
}

struct Fields<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

impl Fields<'_> {
    fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        let mut bytes: [u8; N] = self.bytes.get(at..at + N)?.try_into().ok()?;
        if self.big_endian {
            bytes.reverse();
        }
        Some(bytes)
    }

    fn u16(&self, at: usize) -> Option<u16> {
        self.array(at).map(u16::from_le_bytes)
    }

    fn u32(&self, at: usize) -> Option<u32> {
        self.array(at).map(u32::from_le_bytes)
    }

    fn u64(&self, at: usize) -> Option<u64> {
        self.array(at).map(u64::from_le_bytes)
    }
}

/// How much there was: a truncated file is judged by what it has.
fn read_at(file: &File, buffer: &mut [u8], start: u64) -> usize {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], start + done as u64) {
            Ok(0) | Err(_) => break,
            Ok(n) => done += n,
        }
    }
    done
}
