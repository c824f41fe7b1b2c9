use console::Term;

use crate::report::print_styled;

/// The alternate screen of the terminal, without a cursor. The screen from before comes back when this value is dropped.
pub struct Screen {
    terminal: Term,
}

impl Screen {
    pub fn enter() -> Self {
        let screen = Self { terminal: Term::stdout() };
        screen.show();
        screen
    }

    pub fn show(&self) {
        print_styled("\x1b[?1049h\x1b[?25l\x1b[2J");
    }

    /// Brings the screen from before back.
    pub fn hide(&self) {
        print_styled("\x1b[?25h\x1b[?1049l");
    }

    /// Returns columns and rows.
    pub fn size(&self) -> (usize, usize) {
        let (rows, columns) = self.terminal.size();
        (usize::from(columns).max(20), usize::from(rows).max(5))
    }

    /// Replaces what is shown. Lines that are too long are cut.
    pub fn draw(&self, lines: &[String]) {
        let (columns, rows) = self.size();
        let lines = lines.iter().take(rows).map(|line| fit(line, columns));
        // Overwriting instead of clearing avoids flicker.
        print_styled(&format!("\x1b[H{}\x1b[K\x1b[J", lines.collect::<Vec<_>>().join("\x1b[K\r\n")));
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.hide();
    }
}

/// Cuts a line with ANSI codes to a width in columns.
pub fn fit(line: &str, columns: usize) -> String {
    let line: String = line.chars().filter(|char| *char == '\x1b' || !char.is_control()).collect();
    console::truncate_str(&line, columns, "…").into_owned()
}
