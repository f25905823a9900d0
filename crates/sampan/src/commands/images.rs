//! `sampan images`: the table.

use super::ps::ago;
use crate::cli::{Format, Globals, ImageList};
use crate::ui::{self, Failure, table};
use serde_json::json;
use spec::unit::decimal;

/// What a line says about an image.
#[derive(Debug, Clone, Default)]
pub struct Row {
    pub repository: Option<String>,
    pub tag: Option<String>,
    /// The digest of the configuration, `sha256:…`.
    pub id: String,
    /// The digest of the manifest.
    pub digest: Option<String>,
    /// Seconds since it was made.
    pub age: Option<u64>,
    /// Bytes, unpacked.
    pub size: u64,
}

impl Row {
    fn cells(&self, whole: bool) -> [String; 5] {
        let hex = self.id.strip_prefix("sha256:").unwrap_or(&self.id);
        [
            named(&self.repository),
            named(&self.tag),
            if whole { self.id.clone() } else { hex.chars().take(12).collect() },
            self.age.map_or("N/A".into(), ago),
            decimal(self.size, 3),
        ]
    }
}

fn named(name: &Option<String>) -> String {
    name.clone().unwrap_or_else(|| "<none>".into())
}

/// # Errors
/// [`Failure`] when the store cannot be read.
pub fn run(arguments: &ImageList, globals: &Globals) -> Result<(), Failure> {
    let images = engine::images::list(&super::paths(globals)?)?;
    let row = |image: engine::images::Listed| Row {
        repository: image.repository,
        tag: image.tag,
        id: image.id,
        digest: Some(image.digest),
        age: image.created.map(super::seconds_since),
        size: image.size,
    };
    print(arguments, &images.into_iter().map(row).collect::<Vec<_>>())
}

/// # Errors
/// [`Failure`] when the output cannot be written.
pub fn print(arguments: &ImageList, rows: &[Row]) -> Result<(), Failure> {
    ui::print(&text(arguments, rows))
}

fn text(arguments: &ImageList, rows: &[Row]) -> String {
    let cells: Vec<_> = rows.iter().map(|row| row.cells(arguments.no_trunc)).collect();
    if arguments.quiet {
        return cells.iter().map(|[_, _, id, ..]| format!("{id}\n")).collect();
    }
    match arguments.format {
        Format::Table => table(["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"], &cells),
        Format::Json => rows.iter().zip(&cells).map(|(row, cells)| object(row, cells)).collect(),
    }
}

/// docker's keys, all values texts.
fn object(row: &Row, [repository, tag, id, created, size]: &[String; 5]) -> String {
    let fields = json!({
        "CreatedSince": created, "Digest": named(&row.digest), "ID": id, "Repository": repository, "Size": size,
        "Tag": tag,
    });
    format!("{fields}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_docker() {
        let row = Row {
            repository: Some("busybox".into()),
            tag: None,
            id: "sha256:0123456789abcdef".into(),
            digest: None,
            age: Some(86_400 * 3),
            size: 4_263_000,
        };
        let arguments = ImageList::default();
        let table = "\
REPOSITORY   TAG       IMAGE ID       CREATED      SIZE
busybox      <none>    0123456789ab   3 days ago   4.26MB
";
        assert_eq!(text(&arguments, std::slice::from_ref(&row)), table);
        assert_eq!(
            text(&ImageList { quiet: true, no_trunc: true, ..arguments.clone() }, std::slice::from_ref(&row)),
            format!("{}\n", row.id)
        );
        let json = text(&ImageList { format: Format::Json, ..arguments }, &[row]);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&value["Digest"], &value["Size"]), (&"<none>".into(), &"4.26MB".into()));
    }
}
