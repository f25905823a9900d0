//! `cargo xtask lab NAME`: what sampan claims, each claim as a command that anyone can run.
//!
//! Invariant: a lab that ends well has run what it printed; what it could not run it names and counts.
//! Must not: touch what it did not make. A lab needs the machine to itself only where its usage says so.

mod chaos;
mod dice;
pub mod errors;
mod escape;
mod firewall;
pub mod limits;
pub mod power;

/// A line for each lab.
pub const USAGE: &str = "  lab      proof of a claim, as root; the long form of what the tests do shortly
           lab chaos: random operations at once, killed at any moment; --operations N (2000), --seconds N,
               --workers N (4), --seed S, --round N (the first), --wild 1 (all on the same few)
           lab errors [--alone] [GROUP | WORDS]...: failures as users meet them, beside podman and docker
           lab escape: each kind of escape that SECURITY.md names is tried, --rounds N (1); then components of
               paths are swapped while sampan works, --seconds N (60)
           lab firewall: which ports are reached from where, beside each kind of firewall
           lab limits: each limit is in force on the cgroups of this host, or refused
           lab power: power cuts at random moments, in a virtual machine; --cuts N (200), --seconds N, --seed S
";

/// # Errors
/// The claim does not hold, or the lab cannot run here.
pub fn run(words: &[&str]) -> Result<(), String> {
    match words {
        ["chaos", flags @ ..] => chaos::run(&Flags::of(flags, &chaos::FLAGS)?),
        ["errors", words @ ..] => errors::run(words),
        ["escape", flags @ ..] => escape::run(&Flags::of(flags, &["rounds", "seconds"])?),
        ["firewall"] => firewall::run(),
        ["limits", words @ ..] => limits::run(words),
        ["power", flags @ ..] => power::run(&Flags::of(flags, &power::FLAGS)?),
        _ => Err(format!("usage: cargo xtask JOB\n{USAGE}")),
    }
}

/// `--NAME NUMBER` of a lab.
#[derive(Debug)]
pub struct Flags(Vec<(String, u64)>);

impl Flags {
    /// # Errors
    /// A flag that is not among `names`, or has no number.
    pub fn of(words: &[&str], names: &[&str]) -> Result<Self, String> {
        let mut flags = Vec::new();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").filter(|name| names.contains(name));
            let name = name.ok_or_else(|| format!("not a flag of this lab: {word}; it has {names:?}"))?;
            let value = words.next().and_then(|text| text.parse().ok());
            flags.push((name.to_owned(), value.ok_or_else(|| format!("{word} needs a number"))?));
        }
        Ok(Self(flags))
    }

    /// As they were given.
    pub fn words(&self) -> Vec<String> {
        self.0.iter().flat_map(|(name, value)| [format!("--{name}"), value.to_string()]).collect()
    }

    pub fn number(&self, name: &str, default: u64) -> u64 {
        self.0.iter().rev().find(|(flag, _)| flag == name).map_or(default, |(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::Flags;

    #[test]
    fn a_flag_is_known_and_has_a_number() {
        let names = ["seed", "workers"];
        let flags = Flags::of(&["--seed", "7"], &names);
        assert!(flags.is_ok_and(|flags| (flags.number("seed", 1), flags.number("workers", 4)) == (7, 4)));
        for wrong in [&["--seed"][..], &["--seed", "x"], &["--sed", "7"], &["seed", "7"]] {
            assert!(Flags::of(wrong, &names).is_err(), "{wrong:?}");
        }
    }
}
