//! The kernel's part: classic BPF on `struct seccomp_data`.

use plan::seccomp::Instruction;

/// `struct seccomp_data` without the instruction pointer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Call {
    pub number: u32,
    pub arch: u32,
    pub args: [u64; 6],
}

impl Call {
    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.number,
            4 => self.arch,
            16..64 if offset.is_multiple_of(4) => {
                let arg = self.args[(offset as usize - 16) / 8];
                if offset.is_multiple_of(8) { arg as u32 } else { (arg >> 32) as u32 }
            }
            _ => panic!("no word at {offset}"),
        }
    }
}

/// The program's verdict. Panics where the kernel's checker would refuse the program.
pub fn run(program: &[Instruction], call: &Call) -> u32 {
    let mut at = 0;
    let mut accumulator = 0;
    loop {
        let Instruction { code, jt, jf, k } = program[at];
        let branch = |yes: bool| usize::from(if yes { jt } else { jf });
        at += 1;
        match code {
            0x20 => accumulator = call.word(k),
            0x54 => accumulator &= k,
            0x05 => at += k as usize,
            0x15 => at += branch(accumulator == k),
            0x25 => at += branch(accumulator > k),
            0x35 => at += branch(accumulator >= k),
            0x45 => at += branch(accumulator & k != 0),
            0x06 => return k,
            _ => panic!("no instruction {code:#x}"),
        }
    }
}
