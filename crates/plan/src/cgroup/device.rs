//! Which device nodes a container may make, read and write: as exceptions for v1, as an eBPF program for v2.
//!
//! Invariant: as soon as there is one rule, what no rule speaks of is denied; of several rules the last one holds.

use crate::Rejected;
use spec::runtime::DeviceRule;
use std::fmt;

/// What docker lets every container do: make any node (the capability is the fence there), and use those without which
/// no program runs.
#[must_use]
pub fn default_rules() -> Vec<DeviceRule> {
    let rule = |allow, kind: &str, major, minor, access: &str| DeviceRule {
        allow,
        kind: kind.into(),
        major,
        minor,
        access: access.into(),
    };
    let mut rules =
        vec![rule(false, "a", None, None, "rwm"), rule(true, "c", None, None, "m"), rule(true, "b", None, None, "m")];
    // null zero full random urandom; tty console ptmx, and all of devpts (Documentation/admin-guide/devices.txt)
    for (major, minor) in [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)] {
        rules.push(rule(true, "c", Some(major), Some(minor), "rwm"));
    }
    rules.push(rule(true, "c", Some(136), None, "rwm"));
    rules
}

/// `BPF_DEVCG_DEV_*` has the numbers of the two kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Block = 1,
    Char = 2,
}

/// Bits of `BPF_DEVCG_ACC_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access(u8);

impl Access {
    const ALL: Self = Self(7);

    fn parse(text: &str) -> Option<Self> {
        let bits = text.chars().try_fold(0, |bits, c| match c {
            'm' => Some(bits | 1),
            'r' => Some(bits | 2),
            'w' => Some(bits | 4),
            // All of it, as where it stands for the kind.
            'a' => Some(bits | 7),
            _ => None,
        })?;
        // An absent access is all of it, as runc and crun have it.
        Some(if bits == 0 { Self::ALL } else { Self(bits) })
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (bit, letter) in [(2, 'r'), (4, 'w'), (1, 'm')] {
            if self.0 & bit != 0 {
                write!(f, "{letter}")?;
            }
        }
        Ok(())
    }
}

/// Some devices: `None` is every number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Devices {
    pub kind: Kind,
    pub major: Option<u32>,
    pub minor: Option<u32>,
}

impl Devices {
    fn holds(&self, other: &Self) -> bool {
        let holds = |mine: Option<u32>, other| mine.is_none() || mine == other;
        self.kind == other.kind && holds(self.major, other.major) && holds(self.minor, other.minor)
    }

    fn meets(&self, other: &Self) -> bool {
        let meets = |mine: Option<u32>, other: Option<u32>| mine.is_none() || other.is_none() || mine == other;
        self.kind == other.kind && meets(self.major, other.major) && meets(self.minor, other.minor)
    }
}

/// One line of v1's devices.allow, devices.deny and devices.list: `c 1:3 rwm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exception {
    pub devices: Devices,
    pub access: Access,
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |number: Option<u32>| number.map_or("*".to_owned(), |number| number.to_string());
        let letter = if self.devices.kind == Kind::Block { 'b' } else { 'c' };
        write!(f, "{letter} {}:{} {}", number(self.devices.major), number(self.devices.minor), self.access)
    }
}

/// A checked rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    allow: bool,
    /// `None`: all devices, and then all access.
    what: Option<Devices>,
    access: Access,
}

pub(super) fn parse(rules: &[DeviceRule]) -> Result<Vec<Rule>, Rejected> {
    rules.iter().map(parse_one).collect()
}

fn parse_one(rule: &DeviceRule) -> Result<Rule, Rejected> {
    let bad = |why: &str| Rejected::new(format!("cannot apply the device rule {}", text(rule)), why);
    // 12 and 20 bits are all that a dev_t has; -1 is the old way to say "any".
    let number = |number: Option<i64>, bits: u32| match number {
        None | Some(-1) => Ok(None),
        Some(n) => match u32::try_from(n) {
            Ok(n) if n >> bits == 0 => Ok(Some(n)),
            _ => Err(bad("there is no such device number")),
        },
    };
    let (major, minor) = (number(rule.major, 12)?, number(rule.minor, 20)?);
    let access = Access::parse(&rule.access).ok_or_else(|| bad("its access is not made of r, w and m"))?;
    let kind = match rule.kind.as_str() {
        "c" | "u" => Kind::Char,
        "b" => Kind::Block,
        "a" | "" if major.is_none() && minor.is_none() && access == Access::ALL => {
            return Ok(Rule { allow: rule.allow, what: None, access });
        }
        "a" | "" => return Err(bad("a rule for all kinds has no numbers, and is for all access")),
        _ => return Err(bad("its type is none of a, b and c")),
    };
    Ok(Rule { allow: rule.allow, what: Some(Devices { kind, major, minor }), access })
}

fn text(rule: &DeviceRule) -> String {
    let number = |number: Option<i64>| number.map_or("*".to_owned(), |number| number.to_string());
    let verb = if rule.allow { "allow" } else { "deny" };
    format!("`{verb} {} {}:{} {}`", rule.kind, number(rule.major), number(rule.minor), rule.access)
}

/// What v1 can hold: a default and what departs from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exceptions {
    pub allow_by_default: bool,
    pub list: Vec<Exception>,
}

/// v1 takes away only an exception of the very same numbers and ignores any other removal without a word
/// (Documentation/admin-guide/cgroup-v1/devices.rst), so the rules are worked out here.
pub(super) fn exceptions(rules: &[Rule]) -> Result<Exceptions, Rejected> {
    let mut state = Exceptions { allow_by_default: false, list: Vec::new() };
    for rule in rules {
        match rule.what {
            None => state = Exceptions { allow_by_default: rule.allow, list: Vec::new() },
            Some(devices) if rule.allow != state.allow_by_default => add(&mut state.list, devices, rule.access),
            Some(devices) => remove(&mut state.list, devices, rule.access)?,
        }
    }
    Ok(state)
}

fn add(list: &mut Vec<Exception>, devices: Devices, access: Access) {
    match list.iter_mut().find(|exception| exception.devices == devices) {
        Some(exception) => exception.access.0 |= access.0,
        None => list.push(Exception { devices, access }),
    }
}

fn remove(list: &mut Vec<Exception>, devices: Devices, access: Access) -> Result<(), Rejected> {
    for exception in list.iter_mut().filter(|exception| exception.access.0 & access.0 != 0) {
        if devices.holds(&exception.devices) {
            exception.access.0 &= !access.0;
        } else if devices.meets(&exception.devices) {
            return Err(Rejected::new(
                format!("cannot take `{}` out of `{exception}`", Exception { devices, access }),
                "cgroup v1 can't make an exception from a device rule's exception",
            )
            .hint("name the devices to allow one by one"));
        }
    }
    list.retain(|exception| exception.access.0 != 0);
    Ok(())
}

/// One eBPF instruction, as `struct bpf_insn` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Insn {
    pub code: u8,
    pub dst: u8,
    pub src: u8,
    pub off: i16,
    pub imm: i32,
}

// linux/bpf_common.h, linux/bpf.h: class | operation | source.
const LDX_MEM_W: u8 = 0x61;
const MOV32_IMM: u8 = 0xb4;
const MOV32_REG: u8 = 0xbc;
const AND32_IMM: u8 = 0x54;
const RSH32_IMM: u8 = 0x74;
const JNE32_IMM: u8 = 0x56;
const JEQ32_IMM: u8 = 0x16;
const EXIT: u8 = 0x95;

// Registers. r0 and r1 are the ABI's.
const VERDICT: u8 = 0;
const CONTEXT: u8 = 1;
/// The access bits that are asked for and not yet allowed.
const OPEN: u8 = 2;
const KIND: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

fn insn(code: u8, dst: u8, imm: i32) -> Insn {
    Insn { code, dst, src: 0, off: 0, imm }
}

/// The program of type `BPF_PROG_TYPE_CGROUP_DEVICE`: returns 1 to allow. It goes through the rules from the last to
/// the first, because the last one that matches a bit decides it.
pub(super) fn program(rules: &[Rule]) -> Vec<Insn> {
    // struct bpf_cgroup_dev_ctx { u32 access_type (access << 16 | kind), major, minor }
    let load = |dst, off| Insn { code: LDX_MEM_W, dst, src: CONTEXT, off, imm: 0 };
    let mut program = vec![
        load(KIND, 0),
        Insn { code: MOV32_REG, dst: OPEN, src: KIND, off: 0, imm: 0 },
        insn(RSH32_IMM, OPEN, 16),
        insn(AND32_IMM, KIND, 0xffff),
        load(MAJOR, 4),
        load(MINOR, 8),
    ];
    for rule in rules.iter().rev() {
        program.extend(block(rule));
        // Nothing gets past it, and the verifier rejects dead code.
        if rule.what.is_none() {
            return program;
        }
    }
    program.extend(verdict(false));
    program
}

fn verdict(allow: bool) -> [Insn; 2] {
    [insn(MOV32_IMM, VERDICT, i32::from(allow)), insn(EXIT, 0, 0)]
}

/// One rule; a test that fails jumps behind it.
fn block(rule: &Rule) -> Vec<Insn> {
    let mut block = Vec::with_capacity(8);
    if let Some(devices) = rule.what {
        block.push(insn(JNE32_IMM, KIND, devices.kind as i32));
        block.extend(devices.major.map(|major| insn(JNE32_IMM, MAJOR, major.cast_signed())));
        block.extend(devices.minor.map(|minor| insn(JNE32_IMM, MINOR, minor.cast_signed())));
    }
    let bits = i32::from(rule.access.0);
    match (rule.access == Access::ALL, rule.allow) {
        (true, _) => {}
        (false, true) => block.extend([insn(AND32_IMM, OPEN, 7 & !bits), insn(JNE32_IMM, OPEN, 0)]),
        (false, false) => block.extend([
            Insn { code: MOV32_REG, dst: VERDICT, src: OPEN, off: 0, imm: 0 },
            insn(AND32_IMM, VERDICT, bits),
            insn(JEQ32_IMM, VERDICT, 0),
        ]),
    }
    block.extend(verdict(rule.allow));
    let end = block.len();
    for (at, insn) in block.iter_mut().enumerate() {
        if insn.code == JNE32_IMM || insn.code == JEQ32_IMM {
            // Counted from the next instruction. A block has ten at most.
            insn.off = i16::try_from(end - at - 1).unwrap_or(i16::MAX);
        }
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Vec<Rule> {
        let rule = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (major, minor) = words[2].split_once(':').unwrap();
            let number = |text: &str| text.parse().ok();
            parse_one(&DeviceRule {
                allow: words[0] == "allow",
                kind: words[1].into(),
                major: number(major),
                minor: number(minor),
                access: words[3].into(),
            })
            .unwrap()
        };
        text.split(';').map(rule).collect()
    }

    #[test]
    fn the_access_a_is_all_of_it() {
        for text in ["deny c 1:11 rwa", "deny c 1:11 a", "deny c 1:11 rwm"] {
            assert_eq!(rules(text)[0].access, Access::ALL, "{text}");
        }
        assert!(Access::parse("rx").is_none());
    }

    /// What an interpreter of the few instructions says to one access.
    fn run(program: &[Insn], kind: Kind, major: u32, minor: u32, access: u8) -> bool {
        let mut registers = [0_u32; 6];
        let mut at = 0;
        loop {
            let Insn { code, dst, src, off, imm } = program[at];
            let (dst, src, imm) = (usize::from(dst), usize::from(src), imm.cast_unsigned());
            at += 1;
            match code {
                LDX_MEM_W => registers[dst] = [u32::from(access) << 16 | kind as u32, major, minor][off as usize / 4],
                MOV32_IMM => registers[dst] = imm,
                MOV32_REG => registers[dst] = registers[src],
                AND32_IMM => registers[dst] &= imm,
                RSH32_IMM => registers[dst] >>= imm,
                JNE32_IMM if registers[dst] != imm => at += off as usize,
                JEQ32_IMM if registers[dst] == imm => at += off as usize,
                JNE32_IMM | JEQ32_IMM => {}
                EXIT => return registers[0] == 1,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    /// The rules' meaning, without any of the code above: for each bit the last rule that speaks of it.
    fn allowed(rules: &[Rule], kind: Kind, major: u32, minor: u32, access: u8) -> bool {
        [1, 2, 4].into_iter().filter(|bit| access & bit != 0).all(|bit| {
            let device = Devices { kind, major: Some(major), minor: Some(minor) };
            let says = |rule: &&Rule| rule.access.0 & bit != 0 && rule.what.is_none_or(|what| what.holds(&device));
            rules.iter().rev().find(says).is_some_and(|rule| rule.allow)
        })
    }

    #[test]
    fn the_program_says_what_the_rules_say() {
        let default = parse(&default_rules()).unwrap();
        for rules in [
            default,
            rules("deny a *:* rwm"),
            rules("allow a *:* rwm"),
            rules("allow c 1:3 r"),
            rules("allow a *:* rwm; deny c 1:3 w; deny b *:0 r"),
            rules("deny a *:* rwm; allow c 1:* rw; deny c 1:3 w; allow c *:3 m"),
            rules("allow c 1:3 rw; allow b 8:1 rwm; deny a *:* rwm; allow c 1:5 r; allow c 1:5 w; deny c 1:* r"),
        ] {
            let program = program(&rules);
            for kind in [Kind::Char, Kind::Block] {
                for major in [0, 1, 5, 8, 136] {
                    for minor in 0..6 {
                        for access in 1..8 {
                            assert_eq!(
                                run(&program, kind, major, minor, access),
                                allowed(&rules, kind, major, minor, access),
                                "{rules:?} {kind:?} {major}:{minor} {access}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn v1_exceptions() {
        let list = |text| {
            exceptions(&rules(text)).map(|it| {
                let lines: Vec<String> = it.list.iter().map(ToString::to_string).collect();
                (it.allow_by_default, lines.join(", "))
            })
        };
        assert_eq!(list("deny a *:* rwm; allow c 1:3 rw; allow c 1:3 m").unwrap(), (false, "c 1:3 rwm".into()));
        assert_eq!(list("allow c 1:3 rw; deny c 1:* w").unwrap(), (false, "c 1:3 r".into()));
        assert_eq!(list("allow c 1:3 rw; allow a *:* rwm; deny b 8:0 rwm").unwrap(), (true, "b 8:0 rwm".into()));
        assert_eq!(list("allow c 1:* rw; deny c 1:3 m").unwrap(), (false, "c 1:* rw".into()));
        let error = list("allow c 1:* rw; deny c 1:3 w").unwrap_err();
        assert_eq!(error.what, "cannot take `c 1:3 w` out of `c 1:* rw`");
    }

    #[test]
    fn bad_rules() {
        let rule = |kind: &str, major, access: &str| {
            parse_one(&DeviceRule { kind: kind.into(), major, access: access.into(), ..DeviceRule::default() })
        };
        assert!(rule("c", Some(4096), "rwm").is_err());
        assert!(rule("c", Some(-2), "rwm").is_err());
        assert!(rule("x", None, "rwm").is_err());
        assert!(rule("a", Some(1), "rwm").is_err());
        assert!(rule("a", None, "r").is_err());
        assert_eq!(rule("c", None, "x").unwrap_err().what, "cannot apply the device rule `deny c *:* x`");
        assert_eq!(rule("p", None, "").unwrap_err().why, "its type is none of a, b and c");
    }
}
