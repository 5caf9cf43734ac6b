//! The configuration file: TOML, strict, every fault with its line.

use std::collections::BTreeMap;
use std::fmt;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::key::{Key, Kind, Value};
use super::keys;
use super::places::Places;

/// Something wrong with the configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// Where in the file; none when it is not in the file, or in no single line.
    pub line: Option<usize>,
    pub what: String,
}

/// Everything that is wrong, so that one look is enough.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, line: Option<usize>, what: String) {
        self.0.push(Fault { line, what });
    }
}

/// What a file says.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    /// Values of scalar keys by path, with their lines.
    pub(super) values: BTreeMap<&'static str, (Value, usize)>,
    pub(super) places: Places,
}

/// Reads the text of a file.
pub(super) fn read(text: &str, faults: &mut Faults) -> Contents {
    let mut contents = Contents::default();
    let root = match DeTable::parse(text) {
        Ok(root) => root,
        Err(error) => {
            let line = error.span().map(|span| line_of(text, span.start));
            faults.add(line, error.message().to_owned());
            return contents;
        }
    };
    for (name, value) in root.get_ref() {
        let line = line_of(text, name.span().start);
        let name = name.get_ref().as_ref();
        match value.get_ref() {
            DeValue::Array(tables) if Places::LISTS.contains(&name) => {
                for table in tables {
                    let Some(entries) = table.get_ref().as_table() else {
                        faults.add(Some(line), format!("`{name}` is a list of tables, [[{name}]]"));
                        break;
                    };
                    let line = line_of(text, table.span().start);
                    let mut table = Table { text, line, list: name, entries, asked: Vec::new() };
                    contents.places.read(name, &mut table, faults);
                    table.finish(faults);
                }
            }
            DeValue::Table(entries) if is_section(name) => {
                section(text, name, entries, &mut contents, faults);
            }
            _ if is_section(name) => faults.add(Some(line), format!("[{name}] is a section")),
            _ if Places::LISTS.contains(&name) => {
                faults.add(Some(line), format!("`{name}` is a list of tables, [[{name}]]"));
            }
            _ => {
                let mut known: Vec<String> =
                    keys::ALL.iter().map(|key| format!("[{}]", key.parts().0)).collect();
                known.dedup();
                known.extend(Places::LISTS.iter().map(|list| format!("[[{list}]]")));
                faults.add(Some(line), format!("unknown `{name}`; known: {}", known.join(", ")));
            }
        }
    }
    contents
}

fn is_section(name: &str) -> bool {
    keys::ALL.iter().any(|key| key.parts().0 == name)
}

fn section(
    text: &str,
    section: &str,
    entries: &DeTable<'_>,
    contents: &mut Contents,
    faults: &mut Faults,
) {
    for (name, value) in entries {
        let line = line_of(text, name.span().start);
        let name = name.get_ref().as_ref();
        let Some(key) = keys::ALL.iter().find(|key| key.parts() == (section, name)) else {
            let known: Vec<&str> = keys::ALL
                .iter()
                .filter(|key| key.parts().0 == section)
                .map(|key| key.parts().1)
                .collect();
            let known = known.join(", ");
            faults.add(Some(line), format!("unknown key `{section}.{name}`; known: {known}"));
            continue;
        };
        match scalar(key, value.get_ref()) {
            Ok(value) => {
                contents.values.insert(key.path, (value, line));
            }
            Err(what) => faults.add(Some(line), format!("{}: {what}", key.path)),
        }
    }
}

/// A TOML value as a value of `key`. Numbers may be written as numbers or as texts with a unit.
fn scalar(key: &Key, value: &DeValue<'_>) -> Result<Value, String> {
    match (key.kind, value) {
        (Kind::Switch, DeValue::Boolean(on)) => Ok(Value::Switch(*on)),
        (Kind::Number { .. } | Kind::Size { .. }, DeValue::Integer(number)) => {
            key.kind.parse(&decimal(number))
        }
        (
            Kind::Size { .. } | Kind::Span { .. } | Kind::Text | Kind::NonEmpty | Kind::Word(_),
            DeValue::String(text),
        ) => key.kind.parse(text),
        (Kind::List, DeValue::Array(items)) => items
            .iter()
            .map(|item| text_of(item.get_ref()).ok_or_else(|| "a list of texts is wanted".into()))
            .collect::<Result<_, String>>()
            .map(Value::List),
        (Kind::List, DeValue::String(text)) => Ok(Value::List(vec![text.to_string()])),
        (kind, other) => {
            let wanted = match kind {
                Kind::Switch => "true or false",
                Kind::Number { .. } => "a whole number",
                Kind::Size { .. } => "a size such as \"32MiB\"",
                Kind::Span { .. } => "a span of time such as \"30s\"",
                Kind::Text | Kind::NonEmpty | Kind::Word(_) => "a text",
                Kind::List => "a list of texts",
            };
            Err(format!("{wanted} is wanted, not {}", other.type_str()))
        }
    }
}

fn text_of(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(decimal(number)),
        _ => None,
    }
}

/// A number as flags and variables have it: in decimal digits, however the file wrote it. What does
/// not fit stays as it is written, and is refused by whoever reads it.
fn decimal(number: &DeInteger<'_>) -> String {
    match i128::from_str_radix(number.as_str(), number.radix()) {
        Ok(value) => value.to_string(),
        Err(_) => number.as_str().to_owned(),
    }
}

/// One table of a list, read key by key; what nobody asked for is a fault.
pub(super) struct Table<'a> {
    text: &'a str,
    line: usize,
    list: &'a str,
    entries: &'a DeTable<'a>,
    asked: Vec<&'static str>,
}

impl Table<'_> {
    /// The table's `name`, which becomes a label.
    pub(super) fn name(&mut self, faults: &mut Faults) -> String {
        self.required("name", faults).map_or_else(String::new, |name| self.checked(name, faults))
    }

    /// As [`Self::name`], or empty where there is none.
    pub(super) fn optional_name(&mut self, faults: &mut Faults) -> String {
        self.text("name", faults).map_or_else(String::new, |name| self.checked(name, faults))
    }

    fn checked(&self, name: String, faults: &mut Faults) -> String {
        let sound = (1..=63).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if !sound {
            self.fault(
                "name",
                &format!("`{name}`: letters, digits, `-`, `_`, `.`, at most 63"),
                faults,
            );
        }
        if name == super::places::OTHER {
            self.fault("name", "`other` is the name of everything outside", faults);
        }
        name
    }

    pub(super) fn required(&mut self, key: &'static str, faults: &mut Faults) -> Option<String> {
        let present = self.value(key).is_some();
        if !present {
            faults.add(Some(self.line), format!("[[{}]] lacks `{key}`", self.list));
        }
        self.text(key, faults)
    }

    pub(super) fn text(&mut self, key: &'static str, faults: &mut Faults) -> Option<String> {
        let value = self.value(key)?;
        let text = match value.get_ref() {
            DeValue::Datetime(day) => Some(day.to_string()),
            other => text_of(other),
        };
        if text.is_none() {
            self.fault(key, "a text is wanted", faults);
        }
        text
    }

    /// The items of a list, each read by `parse`.
    pub(super) fn items<T>(
        &mut self,
        key: &'static str,
        faults: &mut Faults,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let Some(items) = value.get_ref().as_array() else {
            self.fault(key, "a list is wanted", faults);
            return Vec::new();
        };
        let mut read = Vec::new();
        for item in items {
            match text_of(item.get_ref()).ok_or_else(|| "texts or numbers are wanted".to_owned()) {
                Ok(text) => match parse(&text) {
                    Ok(item) => read.push(item),
                    Err(what) => self.fault(key, &what, faults),
                },
                Err(what) => self.fault(key, &what, faults),
            }
        }
        read
    }

    pub(super) fn fault(&self, key: &str, what: &str, faults: &mut Faults) {
        let line = self
            .entries
            .iter()
            .find(|(name, _)| name.get_ref().as_ref() == key)
            .map_or(self.line, |(name, _)| line_of(self.text, name.span().start));
        faults.add(Some(line), format!("{}.{key}: {what}", self.list));
    }

    fn finish(&self, faults: &mut Faults) {
        for (name, _) in self.entries {
            if !self.asked.contains(&name.get_ref().as_ref()) {
                let line = line_of(self.text, name.span().start);
                let known = self.asked.join(", ");
                let (list, name) = (self.list, name.get_ref());
                faults.add(Some(line), format!("unknown key `{list}.{name}`; known: {known}"));
            }
        }
    }
}

impl<'a> Table<'a> {
    fn value(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        self.entries.iter().find(|(name, _)| name.get_ref().as_ref() == key).map(|(_, value)| value)
    }
}

impl fmt::Debug for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[[{}]] at line {}", self.list, self.line)
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.get(..offset).unwrap_or(text).split('\n').count()
}
