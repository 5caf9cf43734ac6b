//! Strict reading of TOML tables: every fault is kept with its line and key, and reading goes on,
//! so that one run shows all of them.

use std::borrow::Cow;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::signature::fault::{Fault, Lines, Severity};

/// A file being read, and the faults found so far.
pub(super) struct Reader {
    file: Arc<str>,
    lines: Lines,
    pub(super) faults: Vec<Fault>,
}

impl Reader {
    pub(super) fn new(file: &str, text: &str) -> Self {
        Self { file: file.into(), lines: Lines::of(text), faults: Vec::new() }
    }

    pub(super) fn line(&self, offset: usize) -> usize {
        self.lines.number(offset)
    }

    pub(super) fn fault(
        &mut self,
        offset: usize,
        key: impl Into<String>,
        problem: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.faults.push(Fault {
            file: Arc::clone(&self.file),
            line: self.lines.number(offset),
            severity: Severity::Error,
            key: key.into(),
            problem: problem.into(),
            advice: advice.into(),
        });
    }
}

type Map<'i> = DeTable<'i>;
type Value<'i> = Spanned<DeValue<'i>>;

/// One table, and which of its keys have been asked for.
pub(super) struct Table<'t, 'i> {
    /// As `indicator.match`.
    path: String,
    /// Where the table begins.
    pub(super) offset: usize,
    map: &'t Map<'i>,
    known: Vec<&'static str>,
}

impl<'t, 'i> Table<'t, 'i> {
    pub(super) fn new(path: impl Into<String>, offset: usize, map: &'t Map<'i>) -> Self {
        Self { path: path.into(), offset, map, known: Vec::new() }
    }

    /// `key` with the path of this table before it.
    pub(super) fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Reports `problem` of the value of `key`.
    pub(super) fn fault(
        &self,
        reader: &mut Reader,
        key: &str,
        problem: impl Into<String>,
        advice: impl Into<String>,
    ) {
        reader.fault(self.offset_of(key), self.key(key), problem, advice);
    }

    /// The text of `key`, which must be there and not be empty.
    pub(super) fn text(&mut self, reader: &mut Reader, key: &'static str) -> Option<String> {
        let text = self.required(reader, key, Self::text_or_none)?;
        if text.trim().is_empty() {
            self.fault(reader, key, "is empty", "write it, or leave the record out");
            return None;
        }
        Some(text)
    }

    /// The text of `key`; empty when the key is absent.
    pub(super) fn text_or_empty(&mut self, reader: &mut Reader, key: &'static str) -> String {
        self.text_or_none(reader, key).unwrap_or_default()
    }

    /// A word of a closed set.
    pub(super) fn word<T>(
        &mut self,
        reader: &mut Reader,
        key: &'static str,
        parse: impl Fn(&str) -> Option<T>,
        words: &[&str],
    ) -> Option<T> {
        let text = self.text(reader, key)?;
        let found = parse(&text);
        if found.is_none() {
            self.fault(reader, key, format!("{text:?} is not known"), one_of(&text, words));
        }
        found
    }

    /// A list of words of a closed set; empty when the key is absent.
    pub(super) fn words<T>(
        &mut self,
        reader: &mut Reader,
        key: &'static str,
        parse: impl Fn(&str) -> Option<T>,
        words: &[&str],
    ) -> Vec<T> {
        let texts = self.texts(reader, key);
        let mut found = Vec::with_capacity(texts.len());
        for text in texts {
            match parse(&text) {
                Some(value) => found.push(value),
                None => {
                    self.fault(reader, key, format!("{text:?} is not known"), one_of(&text, words));
                }
            }
        }
        found
    }

    /// A list of texts; empty when the key is absent.
    pub(super) fn texts(&mut self, reader: &mut Reader, key: &'static str) -> Vec<String> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type(reader, key, value, "a list of strings, as [\"…\"]");
            return Vec::new();
        };
        let mut texts = Vec::with_capacity(items.len());
        for item in &**items {
            match item.get_ref() {
                DeValue::String(text) if !text.trim().is_empty() => {
                    texts.push(text.clone().into_owned());
                }
                DeValue::String(_) => {
                    reader.fault(
                        item.span().start,
                        self.key(key),
                        "holds an empty string",
                        "take it out",
                    );
                }
                _ => self.wrong_type(reader, key, item, "a string"),
            }
        }
        texts
    }

    pub(super) fn boolean(&mut self, reader: &mut Reader, key: &'static str) -> Option<bool> {
        self.required(reader, key, Self::boolean_or_none)
    }

    pub(super) fn boolean_or(
        &mut self,
        reader: &mut Reader,
        key: &'static str,
        default: bool,
    ) -> bool {
        self.boolean_or_none(reader, key).unwrap_or(default)
    }

    pub(super) fn number(&mut self, reader: &mut Reader, key: &'static str) -> Option<u32> {
        self.required(reader, key, |table, reader, key| {
            let value = table.take(key)?;
            let number = match value.get_ref() {
                DeValue::Integer(integer) => {
                    u32::from_str_radix(integer.as_str(), integer.radix()).ok()
                }
                _ => None,
            };
            if number.is_none() {
                table.wrong_type(reader, key, value, "a whole number, as 1000001");
            }
            number
        })
    }

    /// A table written inline or under its own header.
    pub(super) fn table(&mut self, reader: &mut Reader, key: &'static str) -> Option<Self> {
        self.required(reader, key, |table, reader, key| {
            let value = table.take(key)?;
            let DeValue::Table(map) = value.get_ref() else {
                table.wrong_type(reader, key, value, "a table");
                return None;
            };
            Some(Self::new(table.key(key), value.span().start, map))
        })
    }

    /// The tables of a list; none when the key is absent.
    pub(super) fn tables(&mut self, reader: &mut Reader, key: &'static str) -> Vec<Self> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type(reader, key, value, "a list of tables");
            return Vec::new();
        };
        let mut tables = Vec::with_capacity(items.len());
        for item in &**items {
            match item.get_ref() {
                DeValue::Table(map) => {
                    tables.push(Self::new(self.key(key), item.span().start, map));
                }
                _ => self.wrong_type(reader, key, item, "a table"),
            }
        }
        tables
    }

    /// Ends the reading of this table: keys that nobody asked for are faults.
    pub(super) fn finish(self, reader: &mut Reader) {
        for key in self.map.keys() {
            let name = key.get_ref().as_ref();
            if !self.known.contains(&name) {
                reader.fault(
                    key.span().start,
                    self.key(name),
                    "is not a key of this format",
                    one_of(name, &self.known),
                );
            }
        }
    }

    fn text_or_none(&mut self, reader: &mut Reader, key: &'static str) -> Option<String> {
        let value = self.take(key)?;
        if let DeValue::String(text) = value.get_ref() {
            return Some(text.clone().into_owned());
        }
        self.wrong_type(reader, key, value, "a string in double quotes");
        None
    }

    fn boolean_or_none(&mut self, reader: &mut Reader, key: &'static str) -> Option<bool> {
        let value = self.take(key)?;
        if let DeValue::Boolean(boolean) = value.get_ref() {
            return Some(*boolean);
        }
        self.wrong_type(reader, key, value, "true or false");
        None
    }

    /// Reads with `read`, and reports a key that is absent.
    fn required<T>(
        &mut self,
        reader: &mut Reader,
        key: &'static str,
        read: impl FnOnce(&mut Self, &mut Reader, &'static str) -> Option<T>,
    ) -> Option<T> {
        if self.find(key).is_none() {
            self.known.push(key);
            reader.fault(self.offset, self.key(key), "is missing", "add it");
            return None;
        }
        read(self, reader, key)
    }

    fn take(&mut self, key: &'static str) -> Option<&'t Value<'i>> {
        self.known.push(key);
        self.find(key).map(|(_, value)| value)
    }

    fn find(&self, key: &str) -> Option<(&'t Spanned<Cow<'i, str>>, &'t Value<'i>)> {
        self.map.get_key_value(key)
    }

    fn offset_of(&self, key: &str) -> usize {
        self.find(key).map_or(self.offset, |(_, value)| value.span().start)
    }

    fn wrong_type(&self, reader: &mut Reader, key: &str, value: &Value<'_>, wanted: &str) {
        reader.fault(
            value.span().start,
            self.key(key),
            format!("is {} {}", article(value), value.get_ref().type_str()),
            format!("write {wanted}"),
        );
    }
}

fn article(value: &Value<'_>) -> &'static str {
    match value.get_ref() {
        DeValue::Integer(_) | DeValue::Array(_) => "an",
        _ => "a",
    }
}

/// Advice that names the words of a closed set, the likely one first where there is one.
fn one_of(text: &str, words: &[&str]) -> String {
    match words.iter().find(|word| is_near(text, word)) {
        Some(word) => format!("did you mean {word}?"),
        None => format!("known here: {}", words.join(", ")),
    }
}

/// Are the two words one slip of the hand apart?
fn is_near(a: &str, b: &str) -> bool {
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len().abs_diff(b.len()) > 1 || a.len().min(b.len()) < 3 {
        return a == b;
    }
    let head = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let tail = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count();
    head + tail + 1 >= a.len().max(b.len())
        || (a.len() == b.len()
            && head + tail + 2 >= a.len()
            && a.get(head) == b.get(head + 1)
            && a.get(head + 1) == b.get(head))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_hand_is_recognised() {
        assert!(is_near("vendr", "vendor"));
        assert!(is_near("Vendor", "vendor"));
        assert!(is_near("strenght", "strength"));
        assert!(!is_near("channels", "signals"));
        assert!(!is_near("a", "b"));
    }
}
