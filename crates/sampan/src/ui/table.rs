//! Columns as docker prints them.

/// Rows under a header as docker's tables: columns are as wide as their widest cell and three spaces, ten at least;
/// the last is not padded.
#[must_use]
pub fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    let header = header.map(str::to_owned);
    let lines = || std::iter::once(&header).chain(rows);
    let width = |column: usize| lines().map(|line| line[column].chars().count() + 3).max().unwrap_or(0).max(10);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for line in lines() {
        for (index, (cell, width)) in line.iter().zip(widths).enumerate() {
            // Foreign text must not start a line of its own or drive the terminal.
            text.extend(cell.chars().map(|c| if c.is_control() { '?' } else { c }));
            if index + 1 < N {
                text.extend(std::iter::repeat_n(' ', width - cell.chars().count()));
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_are_dockers() {
        let rows = [["busybox".to_owned(), "a-long-name-indeed".to_owned(), "x\ny".to_owned()]];
        let text = "IMAGE     NAMES                SIZE\nbusybox   a-long-name-indeed   x?y\n";
        assert_eq!(table(["IMAGE", "NAMES", "SIZE"], &rows), text);
        assert_eq!(table(["A", "B"], &[]), "A         B\n");
    }
}
