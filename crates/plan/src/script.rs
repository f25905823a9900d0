//! The whole plan as a shell script that a person could type: what `--explain` prints.

use crate::step::{Spawn, namespace_word};
use spec::runtime::NamespaceKind;

/// The clone as unshare(1) does it.
#[must_use]
pub fn spawn(spawn: &Spawn) -> String {
    let mut words = vec!["unshare".to_owned()];
    words.extend(spawn.namespaces.iter().map(|kind| format!("--{}", namespace_word(*kind))));
    if spawn.namespaces.contains(&NamespaceKind::Pid) {
        words.push("--fork".to_owned());
    }
    if spawn.die_with_parent {
        words.push("--kill-child".to_owned());
    }
    words.join(" ")
}

/// # Panics
/// Never.
#[must_use]
pub fn script(plan: &crate::Plan) -> String {
    let mut text = String::new();
    for step in &plan.prepare {
        text += &format!("# {}\n{}\n", step.why(), step.shell());
    }
    text += &format!("{}\n", spawn(&plan.spawn));
    for step in &plan.attach {
        text += &format!("# {}\n{}\n", step.why(), step.shell());
    }
    for step in &plan.init {
        text += &format!("# {}\n{}\n", step.why(), step.shell());
    }
    text
}
