//! Cells of files we write, guarded against spreadsheets that run them as formulas (C-230), and the way back.

use std::borrow::Cow;

/// What makes a spreadsheet run a cell, with the full-width twins some of them fold.
const DANGEROUS: [char; 12] = ['=', '+', '-', '@', '\t', '\r', '\n', '\0', '＝', '＋', '－', '＠'];

/// The cell with a quote before it if a spreadsheet would run it.
///
/// A cell that only looks guarded gets a quote too, so that [`unguard_cell`] always finds back.
pub fn guard_cell(cell: &str) -> Cow<'_, str> {
    if is_dangerous(cell) { Cow::Owned(format!("'{cell}")) } else { Cow::Borrowed(cell) }
}

/// The cell without the quote that [`guard_cell`] put before it.
pub fn unguard_cell(cell: &str) -> &str {
    match cell.strip_prefix('\'') {
        Some(rest) if is_dangerous(rest) => rest,
        _ => cell,
    }
}

fn is_dangerous(cell: &str) -> bool {
    cell.trim_start_matches('\'').starts_with(DANGEROUS)
}

/// One line of a file (RFC 4180), cells guarded, with its line end.
pub fn csv_line<'a>(cells: impl IntoIterator<Item = &'a str>) -> String {
    let mut line = String::new();
    for (i, cell) in cells.into_iter().enumerate() {
        if i > 0 {
            line.push(',');
        }
        let cell = guard_cell(cell);
        if cell.contains(['"', ',', ';', '\r', '\n', '\t']) {
            line.push('"');
            line.push_str(&cell.replace('"', "\"\""));
            line.push('"');
        } else {
            line.push_str(&cell);
        }
    }
    line.push_str("\r\n");
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn c230_formulas_are_quoted_and_come_back() {
        for cell in ["=cmd|' /C calc'!A0", "+4912345", "-1", "@x", "\tx", "＝1", "'=x", "''+x"] {
            assert_eq!(guard_cell(cell), format!("'{cell}"));
            assert_eq!(unguard_cell(&guard_cell(cell)), cell);
        }
        for cell in ["", "x", "'", "'x", "O'Neill", "''"] {
            assert_eq!(guard_cell(cell), cell);
            assert_eq!(unguard_cell(cell), cell);
        }
    }

    #[test]
    fn lines_are_quoted() {
        assert_eq!(csv_line(["a", "b,c", "d\"e", "=1"]), "a,\"b,c\",\"d\"\"e\",'=1\r\n");
    }

    proptest! {
        #[test]
        fn c230_guarding_is_undone_exactly(cell in "['=+@x＝-]{0,5}\\PC{0,5}") {
            let guarded = guard_cell(&cell);
            prop_assert!(!guarded.starts_with(DANGEROUS));
            prop_assert_eq!(unguard_cell(&guarded), &cell);
        }
    }
}
