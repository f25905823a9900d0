//! Seccomp filters of bundles are compiled once.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::bundle::{Bundle, id};
use serde_json::json;
use std::fs;
use std::path::PathBuf;

/// The kept filters whose profile has these words.
fn kept(words: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir("/run/sampan/filters").into_iter().flatten().flatten();
    let has =
        |path: &PathBuf| fs::read(path).is_ok_and(|text| text.windows(words.len()).any(|it| it == words.as_bytes()));
    entries.map(|entry| entry.path()).filter(has).collect()
}

#[test]
fn a_filter_is_compiled_once_and_only_for_its_own_text() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("filters");
    // What no profile says, so that the text is nobody else's.
    let profile = |call: &str| {
        let rule = json!([{ "names": [call], "action": "SCMP_ACT_ERRNO", "errnoRet": 70 }]);
        json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": rule, "org.example.test": id })
    };
    let script = "cd /dev; mkdir d 2>&1; ln -s null l 2>&1; echo $(ls -d d l 2>/dev/null)";
    bundle.sh(script);
    let mut run = |call: &str| {
        bundle.config["linux"]["seccomp"] = profile(call);
        bundle.save().oci(&["run", &id]).ok()
    };
    let refused =
        ["mkdir: can't create directory 'd': Communication error on send\nl", "ln: l: Communication error on send\nd"];
    assert_eq!(run("mkdir"), refused[0]);
    let [file] = &kept(&id)[..] else { panic!("{:?}", kept(&id)) };
    let before = fs::metadata(file).unwrap().modified().unwrap();
    assert_eq!(run("mkdir"), refused[0]);
    assert_eq!(fs::metadata(file).unwrap().modified().unwrap(), before);
    assert_eq!(run("symlink"), refused[1]);
    assert_eq!(kept(&id).len(), 2);
    // A filter of another text, or of which the end is missing, is none.
    let other = kept(&id).into_iter().find(|path| path != file).unwrap();
    let text = fs::read(&other).unwrap();
    fs::write(file, &text).unwrap();
    assert_eq!(run("mkdir"), refused[0]);
    fs::write(&other, &text[..text.len() - 8]).unwrap();
    assert_eq!(run("symlink"), refused[1]);
    assert_eq!(fs::read(&other).unwrap(), text);
    for path in kept(&id) {
        fs::remove_file(path).unwrap();
    }
    bundle.nothing_left(&id);
}
