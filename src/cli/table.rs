//! Tables for people: columns as wide as their widest cell, numbers to the right.

/// One line for the head and for each row, each ended.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = head.iter().map(ToString::to_string).collect();
    let lines = || std::iter::once(&head).chain(rows);
    let width = |column: usize| {
        lines().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let is_number = |column: usize| {
        let mut cells = rows.iter().filter_map(|row| row.get(column)).peekable();
        cells.peek().is_some() && cells.all(|cell| cell.parse::<i64>().is_ok())
    };
    let numbers: Vec<bool> = (0..head.len()).map(is_number).collect();
    let shown = |line: &Vec<String>| {
        let cells = line.iter().enumerate().map(|(column, cell)| {
            let width = widths.get(column).copied().unwrap_or(0);
            if numbers.get(column) == Some(&true) {
                format!("{cell:>width$}")
            } else {
                format!("{cell:width$}")
            }
        });
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    lines().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_numbers_stand_to_the_right() {
        let rows = [vec!["acme".to_owned(), "7".into()], vec!["b".into(), "-12".into()]];
        assert_eq!(
            table(&["customer", "units"], &rows),
            "customer  units\nacme          7\nb           -12\n"
        );
        assert_eq!(table(&["customer", "units"], &[]), "customer  units\n");
    }
}
