//! Which crate may stand on which (design: "edges, and no others").

use super::Finding;
use crate::command;
use serde_json::Value;

/// A crate of the workspace and those of the workspace that it may name. `spec` holds the nouns: anyone may.
const EDGES: [(&str, &[&str]); 11] = [
    ("sampan", &["engine", "oci", "spec"]),
    ("oci", &["runtime", "plan", "spec"]),
    ("engine", &["runtime", "image", "registry", "plan", "spec"]),
    ("runtime", &["plan", "sys", "bus", "spec"]),
    ("image", &["sys", "spec"]),
    ("registry", &["spec"]),
    ("plan", &["spec"]),
    ("spec", &[]),
    ("sys", &[]),
    ("bus", &["spec"]),
    // The bench gives every runtime the default profile.
    ("xtask", &["plan", "spec"]),
];

/// # Errors
/// cargo cannot read the workspace.
pub fn check() -> Result<Vec<Finding>, String> {
    let text = command::output(&mut command::cargo(&["metadata", "--no-deps", "--format-version", "1", "--offline"]))?;
    let metadata: Value =
        serde_json::from_str(&text).map_err(|error| format!("cannot parse cargo metadata: {error}"))?;
    Ok(list(&metadata["packages"]).flat_map(edges).collect())
}

fn edges(package: &Value) -> Vec<Finding> {
    let name = package["name"].as_str().unwrap_or_default();
    let Some((_, allowed)) = EDGES.iter().find(|(from, _)| *from == name) else {
        return vec![format!("crate {name}: not in the table of edges (xtask/src/tidy/edges.rs)")];
    };
    // A crate of the workspace has a path. Tests may stand on anything.
    let own = list(&package["dependencies"]).filter(|to| to["path"].is_string() && to["kind"] != "dev");
    own.filter_map(|to| to["name"].as_str())
        .filter(|to| !allowed.contains(to))
        .map(|to| format!("crate {name}: must not depend on {to}"))
        .collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
