//! What was checked, in a table.

use crate::sh::Result;

/// Checks with their outcomes.
#[derive(Default)]
pub struct Table {
    rows: Vec<(String, std::result::Result<String, String>)>,
    needs_mac: Vec<String>,
}

impl Table {
    /// Adds a check: what was found, or what is wrong.
    pub fn check(&mut self, what: impl Into<String>, outcome: std::result::Result<String, String>) {
        self.rows.push((what.into(), outcome));
    }

    /// Adds a check that something is as expected.
    pub fn expect(&mut self, what: impl Into<String>, expected: &str, found: &str) {
        let outcome = match expected == found {
            true => Ok(found.to_owned()),
            false => Err(format!("{found:?}, expected {expected:?}")),
        };
        self.check(what, outcome);
    }

    /// Names what could not be checked here.
    pub fn needs_mac(&mut self, what: &[&str]) {
        self.needs_mac.extend(what.iter().map(|text| (*text).to_owned()));
    }

    /// Prints the table; an error when a check failed.
    pub fn finish(self) -> Result<()> {
        let width = self.rows.iter().map(|(what, _)| what.len()).max().unwrap_or(0);
        println!("\n{:<width$} checked here", "");
        let mut failed = 0;
        for (what, outcome) in &self.rows {
            match outcome {
                Ok(found) => println!("{what:<width$} ok: {found}"),
                Err(wrong) => {
                    failed += 1;
                    println!("{what:<width$} FAILED: {wrong}");
                }
            }
        }
        println!("\nneeds a Mac");
        for what in &self.needs_mac {
            println!("  {what}");
        }
        let passed = self.rows.len() - failed;
        let verdict = if failed == 0 { "ok" } else { "FAILED" };
        // The words of Rust's test runner, which `cargo xtask test` counts.
        println!("\ntest result: {verdict}. {passed} passed; {failed} failed; 0 ignored");
        if failed == 0 { Ok(()) } else { Err(format!("{failed} checks failed").into()) }
    }
}
