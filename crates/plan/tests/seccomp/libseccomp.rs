//! libseccomp, asked through a small C program, because a static test cannot rely on a static libseccomp and the suite
//! has to build without one.

use super::abi::{self, Abi};
use super::bpf::{self, Call};
use plan::seccomp::Instruction;
use spec::runtime::{Seccomp, SyscallArg};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

pub struct Libseccomp {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Libseccomp {
    /// `None`, with the reason printed, where there is no C compiler or no libseccomp to build with.
    pub fn start(test: &str) -> Option<Self> {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/seccomp/libseccomp.c");
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("libseccomp-{test}"));
        let built = Command::new("cc").arg("-o").args([program.as_os_str(), source.as_ref()]).arg("-lseccomp").output();
        match built {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                println!("skipped: cannot build with libseccomp: {}", String::from_utf8_lossy(&output.stderr));
                return None;
            }
            Err(error) => {
                println!("skipped: cannot run cc: {error}");
                return None;
            }
        }
        let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let questions = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Some(Self { child, questions, answers })
    }

    fn ask(&mut self, question: &str) -> String {
        writeln!(self.questions, "{question}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        answer.trim_end().to_owned()
    }

    fn ask_number(&mut self, question: &str) -> i32 {
        self.ask(question).parse().unwrap()
    }

    pub fn version(&mut self) -> String {
        self.ask("version")
    }

    /// The name of the ABI's call, as far as this libseccomp knows.
    pub fn name(&mut self, abi: Abi, number: u32) -> Option<String> {
        Some(self.ask(&format!("name {} {number}", abi.token()))).filter(|name| !name.is_empty())
    }

    /// The largest number that calls `name` through the ABI.
    fn last_number(&mut self, abi: Abi, name: &str) -> Option<u32> {
        let number = self.ask_number(&format!("number {} {name}", abi.token()));
        // What i386 multiplexes has a negative number there, whether or not it has a number of its own too.
        let direct = abi::I386_DIRECT.iter().find(|(direct, _)| *direct == name).map(|(_, number)| *number);
        match number {
            -120..=-101 if abi == Abi::X86 => direct.or(Some(102)),
            -224..=-201 if abi == Abi::X86 => direct.or(Some(117)),
            _ => u32::try_from(number).ok(),
        }
    }

    /// Whether this libseccomp knows the call on every ABI that has it. Some releases have a new call for x86_64 and not
    /// yet for x32.
    pub fn knows(&mut self, name: &str) -> bool {
        let mut number = |abi: Abi| self.ask_number(&format!("number {} {name}", abi.token()));
        let x86_64 = number(Abi::X86_64);
        x86_64 != UNKNOWN && (x86_64 < 424 || number(Abi::X32) > 0)
    }

    /// What runc makes of the profile, without its stub for newer calls. `None`: libseccomp refuses a rule, because
    /// it contradicts another.
    pub fn compile(&mut self, profile: &Seccomp, native: Abi) -> Option<Vec<Instruction>> {
        let default = action(&profile.default_action, profile.default_errno_ret);
        self.ask(&format!("begin {default} {}", native.token()));
        for abi in profile.architectures.iter().map(|name| Abi::from_name(name)).filter(|abi| *abi != native) {
            assert_eq!(self.ask(&format!("arch {}", abi.token())), "0");
        }
        for rule in &profile.syscalls {
            let action = action(&rule.action, rule.errno_ret);
            if action == default {
                continue;
            }
            for name in &rule.names {
                for conditions in alternatives(&rule.args) {
                    let conditions: String = conditions.iter().map(words).collect();
                    match self.ask_number(&format!("rule {action} {name}{conditions}")) {
                        0 => {}
                        EEXIST => return None,
                        error => panic!("{name}{conditions}: {error}"),
                    }
                }
            }
        }
        let program = self.ask("export");
        Some(program.split_whitespace().map(instruction).collect())
    }
}

impl Drop for Libseccomp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const EEXIST: i32 = -17;
/// `__NR_SCMP_ERROR`.
const UNKNOWN: i32 = -1;

fn instruction(text: &str) -> Instruction {
    let numbers: Vec<u32> = text.split(',').map(|number| number.parse().unwrap()).collect();
    Instruction { code: numbers[0] as u16, jt: numbers[1] as u8, jf: numbers[2] as u8, k: numbers[3] }
}

/// As runc splits a rule that tests one argument twice.
pub fn alternatives(args: &[SyscallArg]) -> Vec<Vec<SyscallArg>> {
    let twice = args.iter().enumerate().any(|(at, arg)| args[..at].iter().any(|other| other.index == arg.index));
    if twice { args.iter().map(|arg| vec![arg.clone()]).collect() } else { vec![args.to_vec()] }
}

fn words(arg: &SyscallArg) -> String {
    let op = match arg.op.as_str() {
        "SCMP_CMP_NE" => 1,
        "SCMP_CMP_LT" => 2,
        "SCMP_CMP_LE" => 3,
        "SCMP_CMP_EQ" => 4,
        "SCMP_CMP_GE" => 5,
        "SCMP_CMP_GT" => 6,
        "SCMP_CMP_MASKED_EQ" => 7,
        op => panic!("{op}"),
    };
    format!(" {} {op} {} {}", arg.index, arg.value, arg.value_two)
}

/// `SECCOMP_RET_*`.
pub fn action(name: &str, errno: Option<u32>) -> u32 {
    match name {
        "SCMP_ACT_KILL_PROCESS" => 0x8000_0000,
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => 0,
        "SCMP_ACT_TRAP" => 0x0003_0000,
        "SCMP_ACT_ERRNO" => 0x0005_0000 | errno.unwrap_or(1),
        "SCMP_ACT_NOTIFY" => 0x7fc0_0000,
        "SCMP_ACT_TRACE" => 0x7ff0_0000 | errno.unwrap_or(1),
        "SCMP_ACT_LOG" => 0x7ffc_0000,
        "SCMP_ACT_ALLOW" => 0x7fff_0000,
        name => panic!("{name}"),
    }
}

/// runc's stub in front of libseccomp's program: what is newer than the last call that the profile names on an ABI is
/// ENOSYS, unless the default action lets calls through.
pub struct Runc {
    program: Vec<Instruction>,
    last: Vec<(Abi, u32)>,
}

impl Runc {
    pub fn new(libseccomp: &mut Libseccomp, profile: &Seccomp, native: Abi) -> Option<Self> {
        let program = libseccomp.compile(profile, native)?;
        let mut last = Vec::new();
        if !["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"].contains(&profile.default_action.as_str()) {
            let listed = profile.architectures.iter().map(|name| Abi::from_name(name));
            let abis: Vec<Abi> = std::iter::once(native).chain(listed.filter(|abi| *abi != native)).collect();
            for abi in abis {
                let names = profile.syscalls.iter().flat_map(|rule| &rule.names);
                let numbers = names.filter_map(|name| libseccomp.last_number(abi, name));
                last.extend(numbers.max().map(|number| (abi, number)));
            }
        }
        Some(Self { program, last })
    }

    pub fn verdict(&self, call: &Call) -> u32 {
        let newer = |(abi, last): &(Abi, u32)| abi.serves(call) && call.number > *last;
        if self.last.iter().any(newer) { 0x0005_0026 } else { bpf::run(&self.program, call) }
    }
}
