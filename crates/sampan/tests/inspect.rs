//! `sampan inspect`: what is known, with docker's names.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

mod ground;

use ground::{Ground, Ran, ran, until};
use serde_json::{Value, json};
use std::process::Stdio;

fn sampan(ground: &Ground, words: &[&str]) -> Ran {
    ran(ground.command(words).output().unwrap())
}

/// docker 28 has these of any container.
const DOCKERS: [&str; 24] = [
    "AppArmorProfile",
    "Args",
    "Config",
    "Created",
    "Driver",
    "ExecIDs",
    "GraphDriver",
    "HostConfig",
    "HostnamePath",
    "HostsPath",
    "Id",
    "Image",
    "LogPath",
    "MountLabel",
    "Mounts",
    "Name",
    "NetworkSettings",
    "Path",
    "Platform",
    "ProcessLabel",
    "ResolvConfPath",
    "RestartCount",
    "State",
    "Config",
];

#[test]
fn a_container_is_told_in_dockers_document() {
    let Some(ground) = Ground::new() else { return };
    sampan(&ground, &["image", "bootstrap", "busybox"]).ok();
    let words = ["run", "--network=none", "--name", "web", "-l", "kind=it", "-e", "A=b", "-w", "/tmp", "busybox"];
    sampan(&ground, &[&words[..], &["sh", "-c", "echo 12345 >/file; exit 3"]].concat()).fails(3, "");
    let of = |template: &str| sampan(&ground, &["inspect", "-f", template, "web"]).ok();
    assert_eq!(
        of("{{.Name}} {{.State.Status}} {{.State.Running}} {{.State.ExitCode}} {{.State.Pid}}"),
        "/web exited false 3 0"
    );
    assert_eq!(of("{{.Path}} {{.Args}} {{.Config.WorkingDir}}"), "sh [-c echo 12345 >/file; exit 3] /tmp");
    assert_eq!(
        of("{{.Config.Image}} {{.ImageName}} {{index .Config.Labels \"kind\"}}"),
        "busybox:latest busybox:latest it"
    );
    assert!(of("{{range .Config.Env}}{{.}},{{end}}").contains("A=b,"));
    assert_eq!(of("{{.Id}}"), sampan(&ground, &["ps", "-aq", "--no-trunc"]).ok());
    assert_eq!(of("{{.Image}}"), sampan(&ground, &["images", "-q", "--no-trunc"]).ok());
    let started = of("{{.State.StartedAt}}");
    assert!(started.starts_with("20") && started <= of("{{.State.FinishedAt}}"), "{started}");
    let documents: Value = serde_json::from_str(&sampan(&ground, &["inspect", "--size", "web"]).ok()).unwrap();
    let document = &documents[0];
    for key in DOCKERS {
        assert!(document.get(key).is_some(), "{key}");
    }
    let (own, root) = (document["SizeRw"].as_u64().unwrap(), document["SizeRootFs"].as_u64().unwrap());
    assert!(own >= 4096 && root > own + 500_000, "{own} {root}");
    let one: Value =
        serde_json::from_str(&sampan(&ground, &["container", "inspect", "--format=json", "-l"]).ok()).unwrap();
    assert_eq!((&one[0]["Id"], one[0].get("SizeRw")), (&document["Id"], None));
}

#[test]
fn a_container_that_runs_is_told_as_it_is() {
    let Some(ground) = Ground::new() else { return };
    let mut run = ground.runner(&["--name", "live", "--cap-drop=all", "--cap-add=chown"], &["sleep", "1000"]);
    let mut child = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let inspect = |template: &str| sampan(&ground, &["container", "inspect", "-f", template, "live"]);
    until("the container runs", || inspect("{{.State.Running}}").out == "true\n");
    let pid = inspect("{{.State.Pid}}").ok();
    assert_eq!(std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap(), "sleep\n");
    assert_eq!(inspect("{{json .EffectiveCaps}} {{.State.FinishedAt}}").ok(), "[\"CAP_CHOWN\"] 0001-01-01T00:00:00Z");
    let hosts = inspect("{{.HostnamePath}}").ok();
    assert!(std::fs::read_to_string(&hosts).is_ok_and(|name| name.len() == 13), "{hosts}");
    sampan(&ground, &["rm", "-f", "live"]).ok();
    child.wait().unwrap();
}

#[test]
fn any_name_is_looked_for_and_what_is_missing_is_said() {
    let Some(ground) = Ground::new() else { return };
    sampan(&ground, &["image", "bootstrap", "busybox"]).ok();
    sampan(&ground, &["run", "--network=none", "--name", "both", "busybox", "true"]).ok();
    sampan(&ground, &["tag", "busybox", "both"]).ok();
    let word = |flags: &[&str], name: &str| sampan(&ground, &[&["inspect"], flags, &[name]].concat());
    assert_eq!(word(&["-f", "{{.Name}}"], "both").ok(), "/both");
    assert_eq!(word(&["-f", "{{len .RepoTags}}", "--type=image"], "both").ok(), "2");
    assert_eq!(word(&["-f", "{{.Os}}"], "busybox").ok(), "linux");
    sampan(&ground, &["volume", "create", "files"]).ok();
    assert_eq!(word(&["-f", "{{.Driver}}"], "files").ok(), "local");
    assert_eq!(word(&["-f", "{{.Name}}", "--type=volume"], "files").ok(), "files");
    assert_eq!(word(&["-f", "{{.Scope}} {{.Driver}}", "--type=network"], "bridge").ok(), "local bridge");
    word(&["--type=volume"], "both").fails(1, "cannot find volume both");
    let mixed = sampan(&ground, &["inspect", "-f", "{{.Name}}", "absent", "both"]);
    mixed.fails(1, "cannot find absent");
    assert_eq!(mixed.out, "/both\n");
    let nothing = word(&[], "absent");
    nothing.fails(1, "no container, image, network or volume has this name or id");
    assert_eq!(serde_json::from_str::<Value>(&nothing.out).unwrap(), json!([]));
    word(&["--type=image"], "absent").fails(1, "cannot find image absent");
    word(&["--type=pod"], "both").fails(1, "there is no type \"pod\"");
    word(&["-f", "{{.Foo}}"], "both").fails(1, "there is no Foo");
    word(&["-f", "{{.Name"], "both").fails(64, "unclosed action");
    word(&["-f", "table {{.Name}}"], "both").fails(1, "this is no list");
}

/// In a network namespace of its own, which the bridge is made in.
#[test]
fn where_a_container_is_in_its_networks_is_told() {
    let Some(ground) = Ground::new() else { return };
    sampan(&ground, &["image", "bootstrap", "busybox"]).ok();
    let line = |words: &[&str]| {
        let command = ground.command(words);
        let words = command.get_args().map(|word| format!("'{}'", word.to_string_lossy()));
        format!("{} {}", ground::SAMPAN, words.collect::<Vec<_>>().join(" "))
    };
    let script = [
        "ip link set lo up && ip link add up0 type dummy && ip link set up0 up".to_owned(),
        "ip address add 192.0.2.2/24 dev up0 && ip route add default via 192.0.2.1".to_owned(),
        line(&["network", "create", "--subnet=10.123.0.0/24", "mine"]),
        line(&[
            "run",
            "-d",
            "--name=web",
            "--network=mine",
            "--ip=10.123.0.7",
            "--dns=192.0.2.53",
            "busybox",
            "sleep",
            "1000",
        ]),
        line(&[
            "inspect",
            "-f",
            "{{.NetworkSettings.Networks.mine.IPAddress}} {{json .NetworkSettings.Networks.mine}}",
            "web",
        ]),
        line(&["ps", "-f", "network=mine", "--format", "{{.Names}} {{.Networks}}"]),
        line(&["ps", "-q", "-f", "network=bridge"]),
        line(&["rm", "-f", "web"]),
        line(&["network", "rm", "mine"]),
    ]
    .join("\n");
    let ran = ran(std::process::Command::new("unshare").args(["-n", "sh", "-ec", &script]).output().unwrap());
    let out = ran.ok();
    let lines: Vec<&str> = out.lines().collect();
    let (address, place) = lines[2].split_once(' ').unwrap();
    let place: Value = serde_json::from_str(place).unwrap();
    assert_eq!(address, "10.123.0.7");
    assert_eq!((&place["IPAddress"], &place["IPPrefixLen"]), (&"10.123.0.7".into(), &24.into()));
    assert_eq!((&place["Gateway"], place["MacAddress"].as_str().unwrap().len()), (&"10.123.0.1".into(), 17));
    assert_eq!(lines[3..], ["web mine", "web", "mine"]);
}
