//! `sampan history` and `sampan image tree`.

use super::list::List;
use super::ps::{ago, cut};
use super::short;
use crate::cli::{Format, Globals, History, ImageTree};
use crate::template::Field;
use crate::ui::{self, Failure};
use engine::history::{Level, Made, Tree};
use engine::time::rfc3339;
use serde_json::{Value, json};
use spec::Reference;
use spec::unit::decimal;

/// # Errors
/// [`Failure`] when there is no such image.
pub fn history(arguments: &History, globals: &Globals) -> Result<(), Failure> {
    let steps = engine::history::history(&super::paths(globals)?, &arguments.image)?;
    let rows: Vec<Value> = steps.iter().map(|step| row(arguments, step)).collect();
    let quiet = arguments.quiet.then_some("ID");
    ui::print(&List { fields: &FIELDS, columns: &COLUMNS, rows: &rows, quiet, heading: true }.text(&arguments.format)?)
}

const FIELDS: [Field; 6] = [
    ("ID", "IMAGE"),
    ("CreatedSince", "CREATED"),
    ("CreatedBy", "CREATED BY"),
    ("Size", "SIZE"),
    ("Comment", "COMMENT"),
    ("CreatedAt", "CREATED AT"),
];

const COLUMNS: [&str; 5] = ["ID", "CreatedSince", "CreatedBy", "Size", "Comment"];

/// docker's keys, all values texts.
fn row(arguments: &History, step: &Made) -> Value {
    let whole = arguments.no_trunc;
    let id = step.id.as_deref().map(|id| if whole { id } else { short(id) });
    let created = match step.created {
        Some(created) if arguments.human => ago(super::seconds_since(created)),
        Some(created) => rfc3339(created),
        None => "N/A".to_owned(),
    };
    // A line of a table is one line; a shell's script in it is many.
    let line = || step.by.split_whitespace().collect::<Vec<_>>().join(" ");
    let by = match arguments.format {
        Format::Json => step.by.clone(),
        _ if whole => line(),
        _ => cut(&line(), 45),
    };
    json!({
        "ID": id.unwrap_or("<missing>"),
        "CreatedSince": created,
        "CreatedAt": step.created.map_or("N/A".to_owned(), rfc3339),
        "CreatedBy": by,
        "Size": if arguments.human { decimal(step.size, 3) } else { step.size.to_string() },
        "Comment": step.comment,
    })
}

/// # Errors
/// [`Failure`] when there is no such image.
pub fn tree(arguments: &ImageTree, globals: &Globals) -> Result<(), Failure> {
    let tree = engine::history::tree(&super::paths(globals)?, &arguments.image, arguments.whatrequires)?;
    ui::print(&drawn(&tree))
}

fn drawn(tree: &Tree) -> String {
    let mut text = format!(
        "Image ID: {}\nTags:     {}\nSize:     {}\nImage Layers\n",
        short(&tree.id),
        names(&tree.names),
        decimal(tree.size, 4)
    );
    draw(&tree.levels, "", &mut text);
    text
}

fn draw(levels: &[Level], indent: &str, text: &mut String) {
    for (number, level) in levels.iter().enumerate() {
        let last = number + 1 == levels.len();
        let top = if level.tops.is_empty() { String::new() } else { format!(" Top Layer of: {}", names(&level.tops)) };
        let branch = if last { "└──" } else { "├──" };
        *text += &format!("{indent}{branch} ID: {} Size: {}{top}\n", short(&level.id), decimal(level.size, 4));
        draw(&level.above, &format!("{indent}{}   ", if last { " " } else { "│" }), text);
    }
}

fn names(names: &[Reference]) -> String {
    format!("[{}]", names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_are_drawn() {
        let level = |id: &str, above| Level { id: id.to_owned(), size: 1000, tops: vec![], above };
        let mut tree = Tree { id: "sha256:0123456789abcdef".into(), names: vec![], size: 2000, levels: vec![] };
        tree.levels = vec![level("a", vec![level("b", vec![level("c", vec![])]), level("d", vec![])])];
        tree.levels[0].above[1].tops = vec!["x".parse().unwrap()];
        let text = "\
Image ID: 0123456789ab
Tags:     []
Size:     2kB
Image Layers
└── ID: a Size: 1kB
    ├── ID: b Size: 1kB
    │   └── ID: c Size: 1kB
    └── ID: d Size: 1kB Top Layer of: [docker.io/library/x:latest]
";
        assert_eq!(drawn(&tree), text);
    }
}
