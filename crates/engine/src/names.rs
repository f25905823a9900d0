//! A name for a container that was given none.

const FIRST: [&str; 32] = [
    "amber", "bold", "brisk", "calm", "clear", "coral", "deft", "early", "fair", "fleet", "gentle", "golden", "hardy",
    "keen", "lively", "lucky", "merry", "mild", "noble", "patient", "plain", "quick", "quiet", "ready", "salty",
    "sober", "steady", "sunny", "swift", "tidy", "trim", "windy",
];
const SECOND: [&str; 32] = [
    "anchor", "barge", "beacon", "bowline", "buoy", "canoe", "capstan", "clipper", "current", "cutter", "delta",
    "dinghy", "dory", "estuary", "ferry", "gull", "harbour", "heron", "junk", "kayak", "keel", "lantern", "lugger",
    "mooring", "oar", "pilot", "raft", "rudder", "skiff", "sloop", "tide", "yawl",
];

/// Two words and two digits, out of the id's randomness.
#[must_use]
pub fn pick(id: &str) -> String {
    let number = |at: usize| id.get(at..at + 4).and_then(|hex| usize::from_str_radix(hex, 16).ok()).unwrap_or(0);
    format!("{}-{}-{:02}", FIRST[number(0) % 32], SECOND[number(4) % 32], number(8) % 100)
}
