//! `sampan images`: the table.

use super::list::List;
use super::ps::ago;
use crate::cli::{Globals, ImageList};
use crate::template::Field;
use crate::ui::{self, Failure, Ui};
use engine::filter::Image;
use serde_json::{Value, json};
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
    /// Seconds since the epoch.
    pub created: Option<u64>,
    /// Bytes, unpacked.
    pub size: u64,
}

/// podman's exit code where an image cannot be read.
const DAMAGED: u8 = 125;

/// What a row has.
const FIELDS: [Field; 11] = [
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("ID", "IMAGE ID"),
    ("CreatedSince", "CREATED"),
    ("Size", "SIZE"),
    ("CreatedAt", "CREATED AT"),
    ("Containers", "CONTAINERS"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
    ("VirtualSize", "SIZE"),
];

impl Row {
    /// docker's keys, all values texts.
    pub fn object(&self, whole: bool) -> Value {
        let size = decimal(self.size, 3);
        json!({
            "Repository": named(&self.repository),
            "Tag": named(&self.tag),
            "Digest": named(&self.digest),
            "ID": if whole { &self.id } else { super::short(&self.id) },
            "CreatedSince": self.created.map_or("N/A".into(), |then| ago(super::seconds_since(then))),
            "CreatedAt": self.created.map_or("N/A".into(), engine::time::date),
            "Size": size, "VirtualSize": size,
            // docker's own list does not reckon these either.
            "Containers": "N/A", "SharedSize": "N/A", "UniqueSize": "N/A",
        })
    }
}

fn named(name: &Option<String>) -> String {
    name.clone().unwrap_or_else(|| "<none>".into())
}

/// # Errors
/// [`Failure`] when the store cannot be read.
pub fn run(arguments: &ImageList, globals: &Globals, ui: &Ui) -> Result<u8, Failure> {
    // docker's rule: the name is one more filter, and of several references one must fit.
    let named = arguments.name.iter().cloned().map(Image::Reference);
    let filters: Vec<Image> = arguments.filter.iter().cloned().chain(named).collect();
    let (images, damaged) = engine::images::look(&super::paths(globals)?, &filters)?;
    ui::print(&text(arguments, &images.into_iter().map(row).collect::<Vec<_>>())?)?;
    for why in &damaged {
        ui.warn(why);
    }
    // podman's, where it can read one of them not.
    Ok(if damaged.is_empty() { ui::SUCCESS } else { DAMAGED })
}

pub fn row(image: engine::images::Listed) -> Row {
    Row {
        repository: image.repository,
        tag: image.tag,
        id: image.id,
        digest: Some(image.digest),
        created: image.created,
        size: image.size,
    }
}

fn text(arguments: &ImageList, rows: &[Row]) -> Result<String, Failure> {
    let columns = ["Repository", "Tag", "Digest", "ID", "CreatedSince", "Size"];
    let columns: Vec<&str> = columns.into_iter().filter(|column| arguments.digests || *column != "Digest").collect();
    let rows: Vec<Value> = rows.iter().map(|row| row.object(arguments.no_trunc)).collect();
    let quiet = arguments.quiet.then_some("ID");
    let list = List { fields: &FIELDS, columns: &columns, rows: &rows, quiet, heading: !arguments.noheading };
    list.text(&arguments.format)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Format;

    #[test]
    fn prints_as_docker() {
        let row = Row {
            repository: Some("busybox".into()),
            tag: None,
            id: "sha256:0123456789abcdef".into(),
            digest: None,
            created: Some(super::super::now() - 86_400 * 3),
            size: 4_263_000,
        };
        let arguments = ImageList::default();
        let table = "\
REPOSITORY   TAG       IMAGE ID       CREATED      SIZE
busybox      <none>    0123456789ab   3 days ago   4.26MB
";
        let print = |arguments: &ImageList| text(arguments, std::slice::from_ref(&row)).unwrap();
        assert_eq!(print(&arguments), table);
        let bare = "busybox   <none>    0123456789ab   3 days ago   4.26MB\n";
        assert_eq!(print(&ImageList { noheading: true, ..arguments.clone() }), bare);
        let wide = print(&ImageList { digests: true, ..arguments.clone() });
        assert!(wide.starts_with("REPOSITORY   TAG       DIGEST    IMAGE ID       CREATED      SIZE\n"), "{wide}");
        let whole = ImageList { quiet: true, no_trunc: true, ..arguments.clone() };
        assert_eq!(print(&whole), format!("{}\n", row.id));
        let json = print(&ImageList { format: Format::Json, ..arguments.clone() });
        let value: Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&value["Digest"], &value["Size"]), (&"<none>".into(), &"4.26MB".into()));
        let template = |text: &str| print(&ImageList { format: text.parse().unwrap(), ..arguments.clone() });
        assert_eq!(template("{{.Repository}}:{{.Tag}}"), "busybox:<none>\n");
        assert_eq!(template("table {{.ID}}\\t{{.Size}}"), "IMAGE ID       SIZE\n0123456789ab   4.26MB\n");
        let absent = ImageList { format: "{{.Id}}".parse().unwrap(), ..arguments.clone() };
        let failure = text(&absent, &[]).unwrap_err();
        assert!(failure.hint.unwrap().starts_with("one of Repository, Tag, "));
        for (name, _) in FIELDS {
            assert!(row.object(false)[name].is_string(), "{name}");
        }
    }
}
