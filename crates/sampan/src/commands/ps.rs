//! `sampan ps`: the table.

use crate::cli::{Format, Globals, Ps};
use crate::ui::{self, Failure, Ui, table};
use engine::containers::Listed;
use serde_json::json;

/// What a line says about a container.
#[derive(Debug, Clone, Default)]
pub struct Row {
    pub id: String,
    pub image: String,
    pub command: Vec<String>,
    /// Seconds since it was made.
    pub age: u64,
    /// `created`, `running`, `exited` …
    pub state: String,
    /// `Up 3 minutes`, `Exited (0) 2 hours ago`
    pub status: String,
    pub ports: String,
    pub name: String,
}

impl Row {
    fn cells(&self, whole: bool) -> [String; 7] {
        [
            if whole { self.id.clone() } else { self.id.chars().take(12).collect() },
            self.image.clone(),
            format!("\"{}\"", cut(&self.command.join(" "), if whole { usize::MAX } else { 18 })),
            ago(self.age),
            self.status.clone(),
            self.ports.clone(),
            self.name.clone(),
        ]
    }
}

/// # Errors
/// [`Failure`] when the output cannot be written.
pub fn run(arguments: &Ps, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::clean_paths(globals, ui)?;
    let listed = engine::containers::list(&paths).into_iter().filter(|listed| arguments.all || listed.running);
    print(arguments, &listed.map(row).collect::<Vec<_>>())
}

fn row(listed: Listed) -> Row {
    let record = listed.record;
    let (state, status) = match (listed.running, record.exit_code) {
        (true, _) => ("running", format!("Up {}", spec::unit::rough(super::seconds_since(record.created)))),
        (false, Some(code)) => ("exited", format!("Exited ({code}) {}", ago(super::seconds_since(record.finished)))),
        (false, None) => ("created", "Created".to_owned()),
    };
    Row {
        id: record.id,
        image: record.image,
        command: record.command,
        age: super::seconds_since(record.created),
        state: state.to_owned(),
        status,
        ports: record.ports.join(", "),
        name: record.name,
    }
}

/// docker's `2 hours ago`.
pub fn ago(seconds: u64) -> String {
    format!("{} ago", spec::unit::rough(seconds))
}

/// At most `width` characters, the last an ellipsis if something is missing.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width { text.into() } else { text.chars().take(width - 1).chain(['…']).collect() }
}

/// # Errors
/// [`Failure`] when the output cannot be written.
pub fn print(arguments: &Ps, rows: &[Row]) -> Result<(), Failure> {
    ui::print(&text(arguments, rows))
}

fn text(arguments: &Ps, rows: &[Row]) -> String {
    let whole = arguments.no_trunc;
    let cells: Vec<_> = rows.iter().map(|row| row.cells(whole)).collect();
    if arguments.quiet {
        return cells.iter().map(|[id, ..]| format!("{id}\n")).collect();
    }
    match arguments.format {
        Format::Table => table(["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"], &cells),
        Format::Json => rows.iter().zip(&cells).map(|(row, cells)| object(row, cells)).collect(),
    }
}

/// docker's keys, all values texts.
fn object(row: &Row, [id, image, command, created, status, ports, names]: &[String; 7]) -> String {
    let fields = json!({
        "Command": command, "ID": id, "Image": image, "Names": names, "Ports": ports, "RunningFor": created,
        "State": row.state, "Status": status,
    });
    format!("{fields}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row {
            id: "0123456789abcdef".into(),
            image: "busybox".into(),
            command: vec!["sh".into(), "-c".into(), "sleep 100000000".into()],
            age: 180,
            state: "running".into(),
            status: "Up 3 minutes".into(),
            ports: "0.0.0.0:8080->80/tcp".into(),
            name: "web".into(),
        }
    }

    #[test]
    fn prints_as_docker() {
        let arguments = Ps::default();
        let table = "\
CONTAINER ID   IMAGE     COMMAND                CREATED         STATUS         PORTS                  NAMES
0123456789ab   busybox   \"sh -c sleep 10000…\"   3 minutes ago   Up 3 minutes   0.0.0.0:8080->80/tcp   web
";
        assert_eq!(text(&arguments, &[row()]), table);
        assert_eq!(text(&Ps { quiet: true, ..arguments.clone() }, &[row()]), "0123456789ab\n");
        let json = text(&Ps { format: Format::Json, no_trunc: true, ..arguments }, &[row()]);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&value["ID"], &value["State"]), (&"0123456789abcdef".into(), &"running".into()));
        assert_eq!(value["Command"], "\"sh -c sleep 100000000\"");
    }
}
