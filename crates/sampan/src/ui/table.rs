//! Columns as docker prints them.

use std::iter::repeat_n;

/// Rows under a header, if there is to be one.
#[must_use]
pub fn table(header: Option<&[&str]>, rows: &[Vec<String>]) -> String {
    let header = header.map(|header| header.iter().map(|cell| (*cell).to_owned()).collect());
    let lines: Vec<Vec<String>> = header.into_iter().chain(rows.iter().cloned()).collect();
    aligned(&lines)
}

/// Texts whose cells end at tabs, under a header.
#[must_use]
pub fn columns<'a>(header: impl Iterator<Item = &'a str>, rows: &'a [String]) -> String {
    let lines = header.chain(rows.iter().flat_map(|row| row.lines()));
    let lines: Vec<Vec<String>> = lines.map(|line| line.split('\t').map(str::to_owned).collect()).collect();
    aligned(&lines)
}

/// A column is as wide as its widest cell and three spaces, ten at least; a line's last cell is not padded.
fn aligned(lines: &[Vec<String>]) -> String {
    let count = lines.iter().map(Vec::len).max().unwrap_or_default();
    let widths: Vec<usize> = (0..count).map(|column| width(lines, column)).collect();
    let mut text = String::new();
    for line in lines {
        for (index, cell) in line.iter().enumerate() {
            // Foreign text must not start a line of its own or drive the terminal.
            text.extend(cell.chars().map(|c| if c.is_control() { '?' } else { c }));
            if index + 1 < line.len() {
                text.extend(repeat_n(' ', widths[index] - cell.chars().count()));
            }
        }
        text.push('\n');
    }
    text
}

fn width(lines: &[Vec<String>], column: usize) -> usize {
    let padded = lines.iter().filter(|line| column + 1 < line.len());
    padded.map(|line| line[column].chars().count() + 3).max().unwrap_or_default().max(10)
}

#[cfg(test)]
mod tests {
    use super::{columns, table};

    #[test]
    fn columns_are_dockers() {
        let rows = [vec!["busybox".to_owned(), "a-long-name-indeed".to_owned(), "x\ny".to_owned()]];
        let text = "IMAGE     NAMES                SIZE\nbusybox   a-long-name-indeed   x?y\n";
        assert_eq!(table(Some(&["IMAGE", "NAMES", "SIZE"]), &rows), text);
        assert_eq!(table(None, &rows), "busybox   a-long-name-indeed   x?y\n");
        assert_eq!(table(Some(&["A", "B"]), &[]), "A         B\n");
    }

    #[test]
    fn a_line_may_have_more_cells_than_another() {
        let rows = ["a\tb\tc\n".to_owned(), "a-long-one\n\u{1b}\n".to_owned()];
        assert_eq!(columns(["X\tY"].into_iter(), &rows), "X         Y\na         b         c\na-long-one\n?\n");
    }
}
