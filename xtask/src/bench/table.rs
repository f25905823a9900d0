//! The table of one session, and the machine that it was taken on.

use super::Times;
use std::fs;
use std::time::Duration;

pub struct Line<'a> {
    pub name: &'static str,
    /// So that the numbers are not compared blindly.
    pub makes: &'static str,
    pub times: &'a Times,
}

/// Beside the medians of these two.
///
/// # Errors
/// Sampan itself is among those that failed.
pub fn print(lines: &[Line], bases: [&str; 2]) -> Result<(), String> {
    let [one, other] = bases.map(|name| format!("x {name}"));
    println!("{:<16} {:>10} {:>10} {one:>9} {other:>9}   makes", "", "median ms", "min ms");
    let [one, other] = bases.map(|name| {
        let line = lines.iter().find(|line| line.name.starts_with(name))?;
        line.times.as_deref().ok().map(median)
    });
    for line in lines {
        let times = match line.times {
            Ok(times) => times,
            Err(why) => {
                println!("{:<16} failed: {why}", line.name);
                continue;
            }
        };
        let own = self::median(times);
        let least = times.iter().min().copied().unwrap_or_default();
        let ratio = |base: Option<Duration>| {
            base.map_or_else(|| "-".to_owned(), |base| format!("{:.2}", own.as_secs_f64() / base.as_secs_f64()))
        };
        let (own, least) = (milliseconds(own), milliseconds(least));
        println!("{:<16} {own:>10} {least:>10} {:>9} {:>9}   {}", line.name, ratio(one), ratio(other), line.makes);
    }
    let mut own = lines.iter().filter(|line| line.name.starts_with("sampan"));
    own.try_for_each(|line| line.times.as_ref().map(drop).map_err(Clone::clone))
}

pub fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1e3)
}

pub fn machine() -> String {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let model =
        processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|pair| pair.1));
    let cores = processors.lines().filter(|line| line.starts_with("processor")).count();
    let load = read("/proc/loadavg");
    let cgroups = if fs::exists("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default() { 2 } else { 1 };
    format!(
        "{cores} x {}, kernel {}, cgroup v{cgroups}, load {}",
        model.unwrap_or("unknown processor"),
        read("/proc/sys/kernel/osrelease").trim(),
        load.split(' ').next().unwrap_or("unknown"),
    )
}

#[cfg(test)]
mod tests {
    use super::median;
    use std::time::Duration;

    #[test]
    fn the_median_is_the_middle_one() {
        let times = [3, 1, 2].map(Duration::from_millis);
        assert_eq!(median(&times), Duration::from_millis(2));
        assert_eq!(median(&[]), Duration::ZERO);
    }
}
