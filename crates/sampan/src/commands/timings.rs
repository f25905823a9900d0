//! `sampan run --timings`: where the time goes.

use engine::Timed;
use engine::run::Timings;
use std::time::Duration;

/// A line for each part of the run; those with a step's number, down to the sum, add up to it.
pub fn lines(timings: &Timings) -> Vec<String> {
    let Timings { plan, start, command, undo } = timings;
    let step = |timed: &Timed| row(timed.took, &timed.number.to_string(), &timed.why);
    let beside = |timed: &Timed| row(timed.took, &timed.number.to_string(), &format!("meanwhile: {}", timed.why));
    let own = || start.before.iter().chain(&start.child);
    let mut lines = vec![format!("{:>9}  {:>4}  where the time goes", "ms", "step")];
    lines.push(row(*plan, "", "look at image and host, and plan"));
    lines.extend(own().map(step));
    lines.push(row(own().map(|timed| timed.took).sum(), "", "all steps, up to the command's exec"));
    lines.extend(start.beside.iter().map(beside));
    lines.push(row(*command, "", "the command"));
    lines.push(row(*undo, "", "undo"));
    lines
}

fn row(took: Duration, number: &str, what: &str) -> String {
    format!("{:>9.3}  {number:>4}  {what}", took.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_steps_add_up() {
        let timed = |number, micros, why: &str| Timed { number, took: Duration::from_micros(micros), why: why.into() };
        let start = engine::StartTimings {
            before: vec![timed(1, 40, "a directory"), timed(2, 1200, "a process")],
            child: vec![timed(4, 10, "a session")],
            beside: vec![timed(3, 700, "a link")],
        };
        let [plan, command, undo] = [900, 12_345_678, 5].map(Duration::from_micros);
        let text = "       ms  step  where the time goes
    0.900        look at image and host, and plan
    0.040     1  a directory
    1.200     2  a process
    0.010     4  a session
    1.250        all steps, up to the command's exec
    0.700     3  meanwhile: a link
12345.678        the command
    0.005        undo";
        assert_eq!(lines(&Timings { plan, start, command, undo }).join("\n"), text);
    }
}
