//! Flags, made from the same keys as the file.

use clap::builder::PossibleValuesParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches};

use super::key::{Key, Kind};
use super::keys;

/// Configuration keys given on the command line.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    values: Vec<(&'static str, String)>,
}

impl Flags {
    /// What flags would have said.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a Key, &'a str)>) -> Self {
        let values = pairs.into_iter().map(|(key, text)| (key.path, text.to_owned())).collect();
        Self { values }
    }

    /// The text given for `key`.
    #[must_use]
    pub fn value(&self, key: &Key) -> Option<&str> {
        self.values.iter().find(|(path, _)| *path == key.path).map(|(_, text)| text.as_str())
    }

    /// Sets `key`, as other words of the command line do.
    pub fn set(&mut self, key: &Key, text: String) {
        self.values.retain(|(path, _)| *path != key.path);
        self.values.push((key.path, text));
    }

    fn argument(key: &'static Key) -> Arg {
        let about = key.about.split_whitespace().collect::<Vec<_>>().join(" ");
        let brief = about.split_once(". ").map_or(about.trim_end_matches('.'), |(first, _)| first);
        let (section, _) = key.parts();
        let mut argument = Arg::new(key.path)
            .long(key.flag)
            .help(brief.to_owned())
            .long_help(format!("{about} [env: {}] [file: {}]", key.variable(), key.path))
            .help_heading(section)
            .value_name(match key.kind {
                Kind::Switch => "BOOL",
                Kind::Number { .. } => "N",
                Kind::Size { .. } => "SIZE",
                Kind::Span { .. } => "TIME",
                Kind::Word(_) => "WORD",
                Kind::Text | Kind::NonEmpty => "TEXT",
                Kind::List => "LIST",
            });
        if let Some(short) = key.short {
            argument = argument.short(short);
        }
        match key.kind {
            Kind::List => argument.action(ArgAction::Append),
            Kind::Switch => {
                argument.num_args(0..=1).require_equals(true).default_missing_value("true")
            }
            Kind::Word(words) => argument.value_parser(PossibleValuesParser::new(words)),
            _ => argument,
        }
    }

    /// Adds the flags of `wanted`, sections or keys, to `command`; of all keys when it is empty.
    fn augment(command: clap::Command, wanted: &[&str]) -> clap::Command {
        keys::ALL
            .iter()
            .filter(|key| {
                wanted.is_empty() || wanted.contains(&key.parts().0) || wanted.contains(&key.path)
            })
            .fold(command, |command, key| command.arg(Self::argument(key)))
    }

    fn matched(matches: &ArgMatches) -> Self {
        let values = keys::ALL
            .iter()
            .filter(|key| {
                matches.try_contains_id(key.path).unwrap_or(false)
                    && matches.value_source(key.path) == Some(ValueSource::CommandLine)
            })
            .filter_map(|key| {
                let given: Vec<&str> =
                    matches.get_many::<String>(key.path)?.map(String::as_str).collect();
                Some((key.path, given.join(",")))
            })
            .collect();
        Self { values }
    }
}

/// All flags: for the daemon.
#[derive(Clone, Debug, Default)]
pub struct AllFlags(pub Flags);

/// The flags that say what is looked for: for commands without a capture.
#[derive(Clone, Debug, Default)]
pub struct SignatureFlags(pub Flags);

/// The flags that say what is looked for and where it is kept: for the inventory.
#[derive(Clone, Debug, Default)]
pub struct StateFlags(pub Flags);

macro_rules! arguments {
    ($name:ident, $wanted:expr) => {
        impl clap::FromArgMatches for $name {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
                Ok(Self(Flags::matched(matches)))
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
                self.0 = Flags::matched(matches);
                Ok(())
            }
        }

        impl clap::Args for $name {
            fn augment_args(command: clap::Command) -> clap::Command {
                Flags::augment(command, $wanted)
            }

            fn augment_args_for_update(command: clap::Command) -> clap::Command {
                Flags::augment(command, $wanted)
            }
        }
    };
}

arguments!(AllFlags, &[]);
arguments!(SignatureFlags, &["signatures"]);
arguments!(StateFlags, &["signatures", "daemon.state_dir"]);
