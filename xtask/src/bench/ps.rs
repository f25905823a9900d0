//! What a list of many containers costs: `sampan ps -a` over copies of one container's record.

use super::table;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const LIB: &str = "/var/lib/sampan";

/// # Errors
/// sampan failed.
pub fn run(runs: usize) -> Result<(), String> {
    let sampan = crate::command::binary("release")?;
    let call = |words: &[&str]| -> Result<String, String> {
        let out = Command::new(&sampan).args(words).stdin(Stdio::null()).output();
        let out = out.map_err(|error| format!("cannot run sampan: {error}"))?;
        if !out.status.success() {
            return Err(format!("{words:?}: {}", String::from_utf8_lossy(&out.stderr)));
        }
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    };
    call(&["image", "bootstrap", "busybox"])?;
    call(&["run", "--network=none", "--name", "first", "-l", "kind=it", "busybox", "true"])?;
    let id = call(&["ps", "-aq", "--no-trunc"])?.trim().to_owned();
    let record = fs::read_to_string(Path::new(LIB).join("containers").join(&id).join("record.json"));
    let record = record.map_err(|error| format!("cannot read the record: {error}"))?;
    println!(
        "\n{}; {runs} runs of each\n\n{:>10} {:>10} {:>10}",
        table::machine(),
        "containers",
        "median ms",
        "min ms"
    );
    let mut there = 1;
    for count in [10, 100, 500, 2000] {
        (there..count).try_for_each(|number| copy(&record, &id, number))?;
        there = count;
        let time = |_| -> Result<Duration, String> {
            let start = Instant::now();
            let lines = call(&["ps", "-a"])?.lines().count();
            if lines == count + 1 { Ok(start.elapsed()) } else { Err(format!("{lines} lines for {count} containers")) }
        };
        time(0)?;
        let times = (0..runs).map(time).collect::<Result<Vec<_>, _>>()?;
        let least = times.iter().min().copied().unwrap_or_default();
        println!("{count:>10} {:>10.2} {:>10.2}", 1e3 * table::median(&times).as_secs_f64(), 1e3 * least.as_secs_f64());
    }
    Ok(())
}

/// Another container like that one.
fn copy(record: &str, id: &str, number: usize) -> Result<(), String> {
    let (new, name) = (format!("{number:064x}"), format!("copy-{number}"));
    let text = record.replace(id, &new).replace("\"first\"", &format!("\"{name}\""));
    let made = || -> std::io::Result<()> {
        let directory = Path::new(LIB).join("containers").join(&new);
        fs::create_dir(&directory)?;
        fs::write(directory.join("record.json"), text)?;
        std::os::unix::fs::symlink(&new, Path::new(LIB).join("names").join(&name))
    };
    made().map_err(|error| format!("cannot make a container: {error}"))
}
