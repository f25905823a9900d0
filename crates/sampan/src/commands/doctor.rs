//! `sampan doctor`.

use super::list::List;
use crate::cli::{Doctor, Format, Globals};
use crate::template::Field;
use crate::ui::{self, Failure};
use engine::doctor::{self, Finding, Verdict};
use serde_json::{Value, json};

const FIELDS: [Field; 4] = [("Verdict", "VERDICT"), ("Check", "CHECK"), ("What", "WHAT"), ("Fix", "FIX")];

/// # Errors
/// [`Failure`] when no container starts on this host, or it cannot be looked at.
pub fn run(arguments: &Doctor, globals: &Globals) -> Result<(), Failure> {
    let paths = super::paths(globals)?;
    let findings = doctor::examine(&paths, &|name| std::env::var_os(name).map(std::path::PathBuf::from))?;
    let rows: Vec<Value> = findings.iter().map(row).collect();
    let text = match &arguments.format {
        Format::Table => findings.iter().map(line).collect(),
        other => {
            let columns = FIELDS.map(|(name, _)| name);
            List { fields: &FIELDS, columns: &columns, rows: &rows, quiet: None, heading: false }.text(other)?
        }
    };
    ui::print(&ui::clean(&text))?;
    if doctor::fails(&findings) {
        return Err(Failure::new("no container can start on this host").cause("see the failures above"));
    }
    Ok(())
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Warning => "warning",
        Verdict::Failure => "failure",
    }
}

/// All in one, to be searched and counted.
fn line(finding: &Finding) -> String {
    let what = finding.what.replace('\n', "; ");
    let fix = finding.fix.as_ref().map_or(String::new(), |fix| format!("; {fix}"));
    format!("{:7}  {:26}  {what}{fix}\n", word(finding.verdict), finding.check)
}

fn row(finding: &Finding) -> Value {
    json!({
        "Verdict": word(finding.verdict),
        "Check": finding.check,
        "What": finding.what,
        "Fix": finding.fix.clone().unwrap_or_default(),
    })
}
