//! `sampan events`: what happened.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

mod ground;

use ground::{Ground, Ran, ran, until};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

fn sampan(ground: &Ground, words: &[&str]) -> Ran {
    ran(ground.command(words).output().unwrap())
}

/// `TYPE ACTION` of all that happened so far.
fn happened(ground: &Ground, filters: &[&str]) -> String {
    let words = ["events", "--stream=false", "--format", "{{.Type}} {{.Action}}"];
    let filters = filters.iter().flat_map(|filter| ["-f", filter]).collect::<Vec<_>>();
    sampan(ground, &[&words[..], &filters].concat()).ok().replace('\n', ",")
}

#[test]
fn what_happens_to_containers_and_images_is_told() {
    let Some(ground) = Ground::new() else { return };
    assert_eq!(happened(&ground, &[]), "");
    ground.run(&["--name", "web", "-l", "kind=it"], &["sh", "-c", "exit 3"]).fails(3, "");
    assert_eq!(happened(&ground, &[]), "container create,container start,container die,container destroy");
    let die = sampan(&ground, &["events", "--stream=false", "-f", "event=die", "--format", "json"]).ok();
    let die: Value = serde_json::from_str(&die).unwrap();
    assert_eq!((&die["status"], &die["id"]), (&die["Action"], &die["Actor"]["ID"]));
    let attributes = &die["Actor"]["Attributes"];
    assert_eq!(
        (&attributes["exitCode"], &attributes["name"], &attributes["kind"]),
        (&"3".into(), &"web".into(), &"it".into())
    );
    let line = sampan(&ground, &["events", "--stream=false", "-f", "event=start"]).ok();
    let (time, rest) = line.split_once(' ').unwrap();
    assert!(time.len() == 30 && time.ends_with('Z'), "{line}");
    assert!(rest.starts_with(&format!("container start {} (image=", die["Actor"]["ID"].as_str().unwrap())), "{line}");
    assert!(rest.ends_with(", kind=it, name=web)"), "{line}");
    let template = "{{.Status}} {{.Name}} {{.Actor.Attributes.exitCode}} {{.Scope}}";
    let words = ["events", "--stream=false", "-f", "event=die", "--format", template];
    assert_eq!(sampan(&ground, &words).ok(), "die web 3 local");
    sampan(&ground, &["events", "--stream=false", "--format", "{{.Colour}}"]).fails(64, "there is no Colour");
    sampan(&ground, &["events", "-f", "colour=red"]).fails(1, "there is no filter colour");

    sampan(&ground, &["image", "bootstrap", "busybox"]).ok();
    sampan(&ground, &["run", "--network=none", "--name", "db", "busybox", "true"]).ok();
    for words in [
        &["tag", "busybox", "other:1"][..],
        &["untag", "busybox", "other:1"],
        &["commit", "db", "third"],
        &["save", "-o", &ground.dir.join("a.tar").to_string_lossy(), "third"],
        &["load", "-i", &ground.dir.join("a.tar").to_string_lossy()],
        &["export", "-o", &ground.dir.join("b.tar").to_string_lossy(), "db"],
        &["import", &ground.dir.join("b.tar").to_string_lossy(), "fourth"],
        &["rmi", "third"],
        &["image", "prune", "-f"],
        &["rm", "db"],
    ] {
        sampan(&ground, words).ok();
    }
    assert_eq!(
        happened(&ground, &["type=image"]),
        "image tag,image untag,image save,image load,image import,image untag,image delete,image prune"
    );
    assert_eq!(
        happened(&ground, &["container=db"]),
        "container create,container start,container die,container commit,container export,container destroy"
    );
    assert_eq!(happened(&ground, &["image=third", "event=load"]), "image load");
}

#[test]
fn who_waits_is_told_what_comes() {
    let Some(ground) = Ground::new() else { return };
    ground.run(&["--name", "before"], &["true"]).ok();
    let mut events = ground.command(&["events", "--format", "{{.Action}} {{.Name}}"]);
    let mut child = events.stdout(Stdio::piped()).spawn().unwrap();
    let watches = || {
        let fds = std::fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap();
        fds.flatten().any(|fd| std::fs::read_link(fd.path()).is_ok_and(|path| path.ends_with("anon_inode:inotify")))
    };
    until("it waits", watches);
    // Its beginning is the moment at which it was called.
    ground.run(&["--name", "after"], &["true"]).ok();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    for action in ["create", "start", "die", "destroy"] {
        assert_eq!(lines.next().unwrap(), format!("{action} after"));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // One that ends at a moment to come does.
    let until = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 2;
    let words = ["events", "--since", "1", "--until", &until.to_string(), "-f", "event=start", "--format", "{{.Name}}"];
    assert_eq!(sampan(&ground, &words).ok(), "before\nafter");
}
