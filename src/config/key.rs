//! What a configuration key is: its place, its kind of value, its default and the reason for it.

use core::fmt;
use core::time::Duration;

/// One key, defined once: the file, the environment, the flags, `config show` and the default
/// file all come from this.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Section and name: `capture.buffer`.
    pub path: &'static str,
    /// The long flag, without dashes.
    pub flag: &'static str,
    pub short: Option<char>,
    pub kind: Kind,
    /// As it would be written in the environment.
    pub default: &'static str,
    /// Only a restart can change it.
    pub restart: bool,
    /// What it does and why the default is what it is.
    pub about: &'static str,
}

/// What values a key takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// `true` or `false`.
    Switch,
    /// A whole number of this range.
    Number {
        min: u64,
        max: u64,
    },
    /// Octets: `65536`, `64KiB`, `32MiB`, `1GiB`; of this range.
    Size {
        min: u64,
        max: u64,
    },
    /// A span of time: `500ms`, `30s`, `15m`, `24h`, `30d`; of this range.
    Span {
        min: Duration,
        max: Duration,
    },
    Text,
    /// Text that is not empty: there is a word for none.
    NonEmpty,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Several texts: an array in the file, commas in the environment, repeated as a flag.
    List,
}

/// A value of one of the kinds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Value {
    Switch(bool),
    Number(u64),
    Size(u64),
    Span(Duration),
    Text(String),
    List(Vec<String>),
}

/// Where the value of a key comes from. Later ones win.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Origin {
    Default,
    File { line: usize },
    Environment,
    Flag,
}

impl Key {
    /// The environment variable: `VENDORWATCH_CAPTURE_BUFFER`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("VENDORWATCH_{}", self.path.replace('.', "_").to_uppercase())
    }

    /// Section and name apart.
    #[must_use]
    pub fn parts(&self) -> (&'static str, &'static str) {
        self.path.split_once('.').unwrap_or(("", self.path))
    }

    /// The default, as a value.
    ///
    /// # Errors
    /// When the definition is wrong, which a test rules out.
    pub fn default_value(&self) -> Result<Value, String> {
        self.kind.parse(self.default)
    }
}

impl Kind {
    /// Reads a value as it stands in the environment or a flag.
    ///
    /// # Errors
    /// A sentence that says what would have been right.
    pub fn parse(self, text: &str) -> Result<Value, String> {
        match self {
            Self::Switch => match text {
                "true" => Ok(Value::Switch(true)),
                "false" => Ok(Value::Switch(false)),
                _ => Err(format!("`{text}` is neither true nor false")),
            },
            Self::Number { min, max } => {
                let number = text.parse().map_err(|_| format!("`{text}` is not a whole number"))?;
                in_range(number, min, max)?;
                Ok(Value::Number(number))
            }
            Self::Size { min, max } => {
                let size = parse_size(text)?;
                in_range(size, min, max)?;
                Ok(Value::Size(size))
            }
            Self::Span { min, max } => match parse_span(text)? {
                short if short < min => Err(format!("`{text}` is shorter than {}", show_span(min))),
                long if long > max => Err(format!("`{text}` is longer than {}", show_span(max))),
                span => Ok(Value::Span(span)),
            },
            Self::NonEmpty if text.is_empty() => {
                Err("is empty; `off` is the word for none".to_owned())
            }
            Self::Text | Self::NonEmpty => Ok(Value::Text(text.to_owned())),
            Self::Word(words) if words.contains(&text) => Ok(Value::Text(text.to_owned())),
            Self::Word(words) => Err(format!("`{text}` is not one of {}", words.join(", "))),
            Self::List => Ok(Value::List(
                text.split(',').map(str::trim).filter(|s| !s.is_empty()).map(Into::into).collect(),
            )),
        }
    }
}

impl fmt::Display for Value {
    /// As it stands in the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switch(on) => write!(f, "{on}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Size(octets) => write!(f, "\"{}\"", show_size(*octets)),
            Self::Span(span) => write!(f, "\"{}\"", show_span(*span)),
            Self::Text(text) => f.write_str(&quote(text)),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(|item| quote(item)).collect();
                write!(f, "[{}]", items.join(", "))
            }
        }
    }
}

/// A TOML basic string.
fn quote(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn in_range(number: u64, min: u64, max: u64) -> Result<(), String> {
    if (min..=max).contains(&number) {
        Ok(())
    } else if max == u64::MAX {
        Err(format!("{number} is less than {min}"))
    } else {
        Err(format!("{number} is not between {min} and {max}"))
    }
}

const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size such as 65536, 64KiB, 32MiB or 1GiB");
    let (digits, unit) = SIZES
        .iter()
        .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit)))
        .unwrap_or((text, 1));
    let number: u64 = digits.trim_end().parse().map_err(|_| wrong())?;
    number.checked_mul(unit).ok_or_else(wrong)
}

fn show_size(octets: u64) -> String {
    SIZES
        .iter()
        .find(|(_, unit)| octets >= *unit && octets.is_multiple_of(*unit))
        .map_or_else(|| octets.to_string(), |(suffix, unit)| format!("{}{suffix}", octets / unit))
}

const SPANS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads `500ms`, `30s`, `15m`, `24h` or `30d`.
pub(crate) fn parse_span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a span of time such as 500ms, 30s, 15m, 24h or 30d");
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (digits, suffix) = text.split_at(unit_at);
    let unit = SPANS.iter().find(|(name, _)| *name == suffix).ok_or_else(wrong)?.1;
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(unit).map(Duration::from_millis).ok_or_else(wrong)
}

fn show_span(span: Duration) -> String {
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    SPANS
        .iter()
        .find(|(_, unit)| millis >= *unit && millis.is_multiple_of(*unit))
        .map_or_else(|| "0s".to_owned(), |(suffix, unit)| format!("{}{suffix}", millis / unit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(number in 0..1_u64 << 40, power in 0..3_u32) {
            let size = number.checked_mul(1 << (10 * power)).unwrap_or(number);
            prop_assert_eq!(parse_size(&show_size(size)), Ok(size));
            let span = Duration::from_millis(number);
            prop_assert_eq!(parse_span(&show_span(span)), Ok(span));
        }
    }

    const SPAN: Kind = Kind::Span { min: Duration::from_secs(60), max: Duration::from_secs(3_600) };

    #[test]
    fn wrong_values_say_what_would_be_right() {
        for (kind, text, part) in [
            (Kind::Switch, "yes", "neither true nor false"),
            (Kind::Number { min: 1, max: 9 }, "10", "between 1 and 9"),
            (Kind::Size { min: 64, max: u64::MAX }, "1B", "less than 64"),
            (Kind::Size { min: 0, max: u64::MAX }, "99999999999GiB", "not a size"),
            (SPAN, "5", "30s"),
            (SPAN, "5w", "30d"),
            (SPAN, "59s", "shorter than 1m"),
            (SPAN, "61m", "longer than 1h"),
            (Kind::NonEmpty, "", "`off` is the word"),
            (Kind::Word(&["a", "b"]), "c", "one of a, b"),
        ] {
            let refusal = kind.parse(text).unwrap_err();
            assert!(refusal.contains(part), "{refusal}");
        }
    }
}
