//! The whole plan as a bash script that a person could type and run: what `--explain` prints.
//!
//! Invariant: every step is there once, with its reason, in the plan's order; where the shell cannot keep to the order,
//! or has no form of a step, the script says so.
//! Must not: know what a step does; that is said by the step.

use crate::Plan;
use crate::secrets::Variable;
use crate::shell::quote;
use crate::step::{At, AttachStep, Exec, HostStep, InitStep, Spawn, namespace_word};
use crate::undo::Verb;
use crate::{cgroup, network};
use spec::runtime::NamespaceKind;

/// Programs that are needed when the host's tree is gone from view.
const TOOLS: [&str; 6] = ["umount", "prlimit", "mkdir", "setsid", "setpriv", "env"];

const HEAD: &str = r#"#!/bin/bash
# What sampan does for this container, as commands: each step, why, and how. It runs, as the same user, once.
# Needs bash, util-linux, coreutils, findutils, hostname; for a network of its own iproute2 and nftables.
# sampan itself makes system calls instead, resolves the container's paths inside its root only, and reads each limit
# back. This script follows links as the image has them: run it with images that you trust.
set -euo pipefail
"#;

const UNDO: &str = r#"
# Each step says how it is undone before it is done; in the end all of it is, the last first.
UNDO=()
undo() { UNDO=("$1" "${UNDO[@]}"); }
finish() {
	local code=$? command
	trap - EXIT
	set +e
	for command in "${UNDO[@]}"; do eval "$command"; done
	exit "$code"
}
trap finish EXIT
"#;

/// The end of the init part that runs before these namespaces are entered.
const THROUGH: &str = r#"# A shell enters what is listed in THROUGH only by an exec, so it starts again there, at the line after this block.
exec "${THROUGH[@]}" bash "$0" inside
fi
"#;

const CLOSE: &str = r#"
# whatever the caller left open is not for the container (CVE-2024-21626); 255 is this file, which bash closes itself
for fd in /proc/self/fd/*; do
	fd=${fd##*/}
	[ "$fd" -le 2 ] || [ "$fd" = 255 ] || eval "exec $fd>&-"
done

"#;

const MASK: &str = r#"
# cover a file with nothing, a directory with an empty one; what is not there needs no cover
mask() {
	if [ -d "$ROOT$1" ]; then
		mount -t tmpfs ${2:+-o "context=\"$2\""} none "$ROOT$1"
		mount -o remount,bind,ro "$ROOT$1"
	elif [ -e "$ROOT$1" ]; then
		mount --bind "$ROOT/dev/null" "$ROOT$1"
	fi
}
"#;

const TAKE_ALONG: &str = r#"
# Once the root has changed none of the host's programs is there. Those that are still needed come along, with their
# libraries, in a tmpfs of this mount namespace. It goes with the old root, but stays usable for who stands in it.
mount -t tmpfs -o mode=755 tools "$DIR/tools"
cd "$DIR/tools"
for tool in "${TOOLS[@]}"; do
	file=$(type -P "$tool")
	cp "$file" .
	ldd "$file" | grep -o '/[^ ]*' | xargs -r cp -n -t . || :
done
LOADER=$(basename "$(ldd "$(type -P env)" | sed -n 's|^[[:space:]]*\(/[^ ]*\) (.*|\1|p')")
tool() { "./$LOADER" --library-path . ./"$@"; }
"#;

/// The clone as unshare(1) does it.
#[must_use]
pub fn spawn(spawn: &Spawn) -> String {
    let mut words = Vec::new();
    if let Some(path) = &spawn.join_pid {
        words.push(format!("nsenter --pid={}", quote(path)));
    }
    if !spawn.through.is_empty() {
        words.push("nsenter".to_owned());
        let option = |(kind, path): &(NamespaceKind, String)| format!("--{}={}", namespace_word(*kind), quote(path));
        words.extend(spawn.through.iter().map(option));
    }
    words.push("unshare".to_owned());
    words.extend(spawn.namespaces.iter().map(|kind| format!("--{}", namespace_word(*kind))));
    // A process that makes a user namespace has every right in it, until it executes something as nobody.
    if spawn.namespaces.contains(&NamespaceKind::User) {
        words.push("--keep-caps".to_owned());
    }
    words.push("--fork".to_owned());
    if spawn.die_with_parent {
        words.push("--kill-child".to_owned());
    }
    words.join(" ")
}

/// `interactive`: the container has the caller's standard input.
#[must_use]
pub fn script(plan: &Plan, interactive: bool) -> String {
    let verbs = plan.prepare.iter().flat_map(HostStep::undo).chain(plan.attach.iter().flat_map(AttachStep::undo));
    let verbs: Vec<Verb> = verbs.collect();
    let mut text = HEAD.to_owned();
    text += &variables(plan);
    text += UNDO;
    if verbs.iter().any(|verb| matches!(verb, Verb::Cgroup(_))) {
        text += &format!("\n{}", cgroup::Undo::FUNCTION);
    }
    if verbs.iter().any(|verb| matches!(verb, Verb::Network(network::Undo::Leave { .. }))) {
        text += &format!("\n{}", network::Undo::FUNCTION);
    }
    heading(&mut text, "On the host");
    for step in &plan.prepare {
        undo(&mut text, &step.undo());
        entry(&mut text, &step.why(), &step.shell());
    }
    if plan.prepare.iter().any(|step| matches!(step, HostStep::Network(network::HostStep::Claim { .. }))) {
        entry(&mut text, "the networks are no longer ours alone", "exec {LOCK}<&-");
    }
    init(&mut text, plan);
    attach(&mut text, plan);
    start(&mut text, plan, interactive);
    text
}

fn heading(text: &mut String, title: &str) {
    *text += &format!("\n### {title}\n");
}

fn entry(text: &mut String, why: &str, shell: &str) {
    *text += &format!("\n# {why}\n{shell}\n");
}

fn undo(text: &mut String, verbs: &[Verb]) {
    for verb in verbs {
        *text += &format!("\nundo {}", quote(&verb.shell()));
    }
}

fn variables(plan: &Plan) -> String {
    let data = plan.prepare.iter().find_map(|step| match step {
        HostStep::Home { path, .. } => Some(path.as_str()),
        _ => None,
    });
    let root = plan.init.iter().find_map(|step| match step {
        InitStep::Root { at, .. } | InitStep::EmptyRoot { at } | InitStep::Overlay { at: At::Root(at), .. } => Some(at),
        _ => None,
    });
    let root = root.map_or("", String::as_str);
    format!("\nDIR={}\nROOT={}\n", quote(data.unwrap_or_default()), quote(root))
}

/// The child's part, as a file that it runs.
fn init(text: &mut String, plan: &Plan) {
    heading(text, "In the container, up to its command: a file for the process that is started below");
    if plan.prepare.iter().any(|step| matches!(step, HostStep::Home { owner: Some(_), .. })) {
        let why =
            "until its ids are mapped the process is nobody there, and reads this file (sampan's child has it all)";
        entry(text, why, "chmod 711 \"$DIR\"");
    }
    *text += "\nmkdir \"$DIR/tools\"\ncat >\"$DIR/init\" <<'END_OF_INIT'\nset -euo pipefail\n";
    *text += &variables(plan);
    *text += &format!("GO=$DIR/go ATTACHED=$DIR/attached\nTOOLS=({})\nSETPRIV=() SESSION=()\n", TOOLS.join(" "));
    let enters = |step: &InitStep| {
        use InitStep::{BecomeRoot, Join, TimeNamespace, UnshareCgroup};
        matches!(step, Join { .. } | TimeNamespace { .. } | BecomeRoot { .. } | UnshareCgroup)
    };
    let (identity, rest) = match plan.init.iter().rposition(enters) {
        Some(last) => plan.init.split_at(last + 1),
        None => plan.init.split_at(0),
    };
    *text += CLOSE;
    *text += "if [ \"${1-}\" != inside ]; then\nTHROUGH=()\n";
    if let Some(dir) = &plan.spawn.cgroup {
        let why = "enter the cgroup v2 (sampan clones the process into it)";
        entry(text, why, &format!("echo 0 >{}", quote(&format!("{dir}/cgroup.procs"))));
    }
    if !plan.attach.is_empty() {
        let told = "read -r pid _ </proc/self/stat\necho \"$pid\" >\"$DIR/born\"";
        entry(text, "/proc is still the host's, so this is the number by which the host knows this process", told);
    }
    for step in identity {
        entry(text, &step.why(), &step.shell());
    }
    *text += &format!("\n{THROUGH}");
    for (number, Variable { name, from }) in plan.exec.hidden.iter().enumerate() {
        let why = format!("{name} of the command, while the file is in view; it is not shown here");
        entry(text, &why, &format!("HIDDEN_{number}=$(tail -n +2 {})", quote(from)));
    }
    if plan.init.iter().any(|step| matches!(step, InitStep::Mask { .. })) {
        *text += MASK;
    }
    for step in rest {
        match step {
            InitStep::Hostname(_) | InitStep::Domainname(_) => continue,
            InitStep::Pivot { .. } => pivot(text, rest),
            _ => {}
        }
        entry(text, &step.why(), &step.shell());
    }
    *text += &exec(&plan.exec);
    *text += "END_OF_INIT\n";
}

fn pivot(text: &mut String, steps: &[InitStep]) {
    for step in steps.iter().filter(|step| matches!(step, InitStep::Hostname(_) | InitStep::Domainname(_))) {
        let why = format!("{} (sampan sets it after the change of root, where a shell has no way to)", step.why());
        entry(text, &why, &step.shell());
    }
    *text += TAKE_ALONG;
}

fn exec(exec: &Exec) -> String {
    let words = |words: &[String]| words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ");
    let mut text = String::new();
    text += "\n# the command, through programs that each set one thing and execute the next\n";
    text += "chain=()\n[ ${#SESSION[@]} = 0 ] || chain+=(\"./$LOADER\" --library-path . ./setsid)\n";
    text += "chain+=(\"./$LOADER\" --library-path . ./setpriv \"${SETPRIV[@]}\")\n";
    text += "chain+=(\"./$LOADER\" --library-path . ./env -i -C \"$WORKDIR\")\n";
    // Not `./`: before an exec bash puts the name of the directory in front, and this one has none any more.
    text += "chain[0]=/proc/self/cwd/$LOADER\n";
    let hidden = |(number, it): (usize, &Variable)| format!(" {}=\"$HIDDEN_{number}\"", it.name);
    let hidden: String = exec.hidden.iter().enumerate().map(hidden).collect();
    text += &format!("exec \"${{chain[@]}}\" {}{hidden} {}\n", words(&exec.env), words(&exec.args));
    text
}

/// In the background, because it waits for the child to be born, which may fail to be.
fn attach(text: &mut String, plan: &Plan) {
    if plan.attach.is_empty() {
        return;
    }
    heading(text, "On the host, when the process is there");
    *text += "\nGO=$DIR/go ATTACHED=$DIR/attached\nmkfifo \"$DIR/born\" \"$GO\" \"$ATTACHED\"\n";
    for step in &plan.attach {
        undo(text, &step.undo());
    }
    *text += "(\nPID=\ntrap '[ $? = 0 ] || kill -KILL \"$PID\"' EXIT\nread -r PID <\"$DIR/born\"\n";
    for step in &plan.attach {
        entry(text, &step.why(), &step.shell());
    }
    *text += ") &\nATTACH=$!\nundo 'kill \"$ATTACH\" 2>/dev/null'\n";
}

fn start(text: &mut String, plan: &Plan, interactive: bool) {
    heading(text, "Start it, and wait");
    // bash lets a background process ignore ^C, and what is ignored stays so across exec.
    let command = format!("env --default-signal=INT,QUIT {} bash \"$DIR/init\"", spawn(&plan.spawn));
    let stdin = if interactive { "<&0" } else { "</dev/null" };
    let started = format!("{command} {stdin} &");
    entry(text, "a process in new namespaces", &started);
    *text += "SPAWN=$!\nundo 'kill -KILL \"$SPAWN\" 2>/dev/null; wait \"$SPAWN\" 2>/dev/null'\n";
    *text += "wait \"$SPAWN\"\n";
}
