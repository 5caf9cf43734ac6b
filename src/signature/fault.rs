//! What is wrong with a signature file: where, which key, and what to do about it.

use core::fmt;
use std::sync::Arc;

/// Something wrong in a file. One run reports all of them.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Fault {
    pub file: Arc<str>,
    /// Counted from one.
    pub line: usize,
    pub severity: Severity,
    /// As `indicator.match.value`; empty when the text is not TOML at all.
    pub key: String,
    pub problem: String,
    /// What the author should do.
    pub advice: String,
}

/// Whether a set with this fault may be used.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    /// The set is refused.
    Error,
    /// The set works; somebody should look.
    Warning,
}

impl Fault {
    /// Is the set to be refused?
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.problem)?;
        if !self.advice.is_empty() {
            write!(f, "; {}", self.advice)?;
        }
        Ok(())
    }
}

/// The lines of a text, to turn offsets into line numbers.
#[derive(Debug)]
pub(super) struct Lines {
    /// Offsets of the first octet of every line but the first; ascending.
    starts: Vec<usize>,
}

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        Self { starts: memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1).collect() }
    }

    /// The line that holds `offset`, counted from one.
    pub(super) fn number(&self, offset: usize) -> usize {
        self.starts.partition_point(|&start| start <= offset) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_fall_on_the_lines_an_editor_shows() {
        let lines = Lines::of("ab\n\nc\n");
        let numbers: Vec<_> = (0..7).map(|offset| lines.number(offset)).collect();
        assert_eq!(numbers, [1, 1, 1, 2, 3, 3, 4]);
    }

    #[test]
    fn a_fault_reads_as_place_problem_advice() {
        let mut fault = Fault {
            file: "a.toml".into(),
            line: 3,
            severity: Severity::Error,
            key: "vendor.id".into(),
            problem: "is missing".into(),
            advice: "add it".into(),
        };
        assert_eq!(fault.to_string(), "a.toml:3: vendor.id: is missing; add it");
        fault.severity = Severity::Warning;
        fault.key.clear();
        fault.advice.clear();
        assert_eq!(fault.to_string(), "a.toml:3: warning: is missing");
    }
}
