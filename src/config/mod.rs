//! The configuration: file, environment and flags, checked whole before anything starts.
//!
//! In: TOML text, `VENDORWATCH_*` variables, flags. Out: one [`Config`], or every fault with its
//! line. Flags win over the environment, the environment over the file, the file over the
//! defaults. [`keys`] defines each key once.

mod file;
mod flags;
pub mod key;
pub mod keys;
mod packs;
pub mod places;
pub mod policy;
mod show;
pub mod signatures;

pub use file::{Fault, Faults};
pub use flags::{AllFlags, Flags, SignatureFlags, StateFlags};
pub use key::{Key, Kind, Origin, Value};
pub use places::{Exception, Network, Place, Places, Tenant};
pub use policy::{Policy, PolicyError};
pub use show::{default_file, show};

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it was read from, to read it again.
    path: Option<PathBuf>,
    values: BTreeMap<&'static str, (Value, Origin)>,
    pub places: Places,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration {}: {why}", path.display())]
    Unreadable { path: PathBuf, why: std::io::Error },
    #[error("{0}")]
    Wrong(Wrong),
    /// A reload asked for what only a restart can do.
    #[error("only a restart can change {}", .0.join(", "))]
    NeedsRestart(Vec<&'static str>),
}

/// The faults of a file, as lines for a person.
#[derive(Debug)]
pub struct Wrong {
    path: Option<PathBuf>,
    faults: Faults,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        for (number, fault) in self.faults.0.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            match fault.line {
                Some(line) => write!(f, "{file}:{line}: {}", fault.what)?,
                None => f.write_str(&fault.what)?,
            }
        }
        Ok(())
    }
}

impl Config {
    /// Reads `path`, the environment as `variable` shows it, and `flags`.
    pub fn load(
        path: Option<&Path>,
        variable: impl Fn(&str) -> Option<String>,
        flags: &Flags,
    ) -> Result<Self, ConfigError> {
        let text = match path {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|why| ConfigError::Unreadable { path: path.to_owned(), why })?,
            None => String::new(),
        };
        Self::read(path, &text, variable, flags)
    }

    /// As [`Self::load`], with the file's text at hand.
    pub fn read(
        path: Option<&Path>,
        text: &str,
        variable: impl Fn(&str) -> Option<String>,
        flags: &Flags,
    ) -> Result<Self, ConfigError> {
        let mut faults = Faults::default();
        let contents = file::read(text, &mut faults);
        let mut values = BTreeMap::new();
        for key in keys::ALL {
            match key.default_value() {
                Ok(value) => values.insert(key.path, (value, Origin::Default)),
                Err(what) => {
                    faults.add(None, format!("default of {}: {what}", key.path));
                    None
                }
            };
            if let Some(text) = variable(&key.variable()) {
                match key.kind.parse(&text) {
                    Ok(value) => values.insert(key.path, (value, Origin::Environment)),
                    Err(what) => {
                        faults.add(None, format!("{}: {what}", key.variable()));
                        None
                    }
                };
            } else if let Some((value, line)) = contents.values.get(key.path) {
                values.insert(key.path, (value.clone(), Origin::File { line: *line }));
            }
            if let Some(text) = flags.value(key) {
                match key.kind.parse(text) {
                    Ok(value) => values.insert(key.path, (value, Origin::Flag)),
                    Err(what) => {
                        faults.add(None, format!("--{}: {what}", key.flag));
                        None
                    }
                };
            }
        }
        contents.places.check(&mut faults);
        let path = path.map(Path::to_owned);
        if faults.0.is_empty() {
            Ok(Self { path, values, places: contents.places })
        } else {
            Err(ConfigError::Wrong(Wrong { path, faults }))
        }
    }

    /// Where the file is, if there is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The value of `key` and where it comes from.
    #[must_use]
    pub fn value(&self, key: &Key) -> Option<&(Value, Origin)> {
        self.values.get(key.path)
    }

    /// The value of a [`Kind::Switch`].
    #[must_use]
    pub fn switch(&self, key: &Key) -> bool {
        matches!(self.values.get(key.path), Some((Value::Switch(true), _)))
    }

    /// The value of a [`Kind::Number`] or [`Kind::Size`].
    #[must_use]
    pub fn number(&self, key: &Key) -> u64 {
        match self.values.get(key.path) {
            Some((Value::Number(number) | Value::Size(number), _)) => *number,
            _ => 0,
        }
    }

    /// The value of a [`Kind::Number`] or [`Kind::Size`] that counts things in memory.
    #[must_use]
    pub fn size(&self, key: &Key) -> usize {
        usize::try_from(self.number(key)).unwrap_or(usize::MAX)
    }

    /// The value of a [`Kind::Span`].
    #[must_use]
    pub fn span(&self, key: &Key) -> Duration {
        match self.values.get(key.path) {
            Some((Value::Span(span), _)) => *span,
            _ => Duration::ZERO,
        }
    }

    /// The value of a [`Kind::Text`] or [`Kind::Word`].
    #[must_use]
    pub fn text(&self, key: &Key) -> &str {
        match self.values.get(key.path) {
            Some((Value::Text(text), _)) => text,
            _ => "",
        }
    }

    /// The value of a [`Kind::List`].
    #[must_use]
    pub fn list(&self, key: &Key) -> &[String] {
        match self.values.get(key.path) {
            Some((Value::List(items), _)) => items,
            _ => &[],
        }
    }

    /// Refuses `new` where it differs from this one in what only a restart can change.
    pub fn admits(&self, new: &Self) -> Result<(), ConfigError> {
        let mut refused: Vec<&'static str> = keys::ALL
            .iter()
            .filter(|key| {
                key.restart
                    && self.value(key).map(|(value, _)| value)
                        != new.value(key).map(|(value, _)| value)
            })
            .map(|key| key.path)
            .collect();
        if self.places.tenants != new.places.tenants {
            refused.push("[[tenant]]");
        }
        if self.places.networks != new.places.networks {
            refused.push("[[network]]");
        }
        if refused.is_empty() { Ok(()) } else { Err(ConfigError::NeedsRestart(refused)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, ConfigError> {
        Config::read(Some(Path::new("v.toml")), text, |_| None, &Flags::default())
    }

    #[test]
    fn every_default_is_sound_and_of_its_kind() {
        for key in keys::ALL {
            let value = key.default_value().unwrap_or_else(|e| panic!("{}: {e}", key.path));
            let agrees = matches!(
                (key.kind, &value),
                (Kind::Switch, Value::Switch(_))
                    | (Kind::Number { .. }, Value::Number(_))
                    | (Kind::Size { .. }, Value::Size(_))
                    | (Kind::Span { .. }, Value::Span(_))
                    | (Kind::Text | Kind::NonEmpty | Kind::Word(_), Value::Text(_))
                    | (Kind::List, Value::List(_))
            );
            assert!(agrees, "{}: {value:?}", key.path);
            assert!(key.about.trim_end().ends_with('.'), "{}: a sentence", key.path);
        }
    }

    #[test]
    fn flags_win_over_environment_over_file_over_defaults() {
        let variable =
            |name: &str| (name == "VENDORWATCH_CAPTURE_KERNEL_FLOWS").then(|| "4096".into());
        let file = "[capture]\nkernel_flows = 2048\nbuffer = \"64MiB\"\n";
        let flags = Flags::from_pairs([(&keys::CAPTURE_BUFFER, "128MiB")]);
        let config = Config::read(None, file, variable, &flags).unwrap();
        assert_eq!(
            config.value(&keys::CAPTURE_KERNEL_FLOWS),
            Some(&(Value::Number(4096), Origin::Environment))
        );
        assert_eq!(
            config.value(&keys::CAPTURE_BUFFER),
            Some(&(Value::Size(128 << 20), Origin::Flag))
        );
        let config = Config::read(None, file, |_| None, &Flags::default()).unwrap();
        assert_eq!(
            config.value(&keys::CAPTURE_KERNEL_FLOWS),
            Some(&(Value::Number(2048), Origin::File { line: 2 }))
        );
        assert_eq!(config.text(&keys::CAPTURE_BACKEND), "auto");
    }

    #[test]
    fn every_fault_is_named_with_its_line() {
        for (text, want) in [
            (
                "[capture]\nkernel_flows_ = 1\n",
                "v.toml:2: unknown key `capture.kernel_flows_`; known: ",
            ),
            (
                "[capture]\nkernel_flows = 1\n",
                "v.toml:2: capture.kernel_flows: 1 is not between 1024",
            ),
            (
                "[capture]\nbusy_poll = \"101ms\"\n",
                "v.toml:2: capture.busy_poll: `101ms` is longer than 100ms",
            ),
            ("\n[captures]\n", "v.toml:2: unknown `captures`; known: [capture]"),
            ("[capture\n", "v.toml:1: "),
            (
                "[[network]]\nname = \"a\"\nprefixes = [\"10.0.0.1/8\"]\n",
                "v.toml:3: network.prefixes: ",
            ),
            ("[[network]]\nname = \"a b\"\nvlans = [1]\n", "v.toml:2: network.name: "),
            ("[[network]]\nname = \"a\"\nvlans = [5000]\n", "v.toml:3: network.vlans: `5000`"),
            ("[[network]]\nname = \"a\"\nvlan = [5]\n", "v.toml:3: unknown key `network.vlan`"),
            ("[[network]]\nname = \"a\"\n", "`a` holds nothing"),
            ("[[network]]\nvlans = [3]\n", "v.toml:1: [[network]] lacks `name`"),
            ("[[network]]\nname = \"a\"\ntenants = [\"t\"]\n", "no [[tenant]] `t`"),
            ("[network]\nname = \"a\"\n", "v.toml:1: `network` is a list of tables"),
            ("[[network]]\nrole = \"router\"\n", "v.toml:2: network.role: `router`"),
            (
                "[[exception]]\nvendor = \"x\"\nuntil = \"soon\"\nreason = \"r\"\n",
                "v.toml:3: exception.until",
            ),
            ("[web]\nlisten_address = 1\n", "v.toml:2: web.listen_address: a list of texts"),
        ] {
            let refusal = read(text).unwrap_err().to_string();
            assert!(refusal.contains(want), "{text:?}: {refusal}");
        }
    }

    #[test]
    fn numbers_are_read_in_the_base_they_are_written_in() {
        let config = read(
            "[capture]\nbuffer = 0x400_0000\nkernel_flows = 0b1000_0000_0000\nworkers = +2\n\
             cpus = [0o10, 1_1]\n[[network]]\nname = \"a\"\nvlans = [0x10]\n",
        )
        .unwrap();
        assert_eq!(config.number(&keys::CAPTURE_BUFFER), 64 << 20);
        assert_eq!(config.number(&keys::CAPTURE_KERNEL_FLOWS), 2_048);
        assert_eq!(config.number(&keys::CAPTURE_WORKERS), 2);
        assert_eq!(config.list(&keys::CAPTURE_CPUS), ["8", "11"]);
        assert_eq!(config.places.networks[0].vlans, [16]);
        for wrong in ["-0x1", "-1", "0xffff_ffff_ffff_ffff_ffff", "1e3"] {
            assert!(read(&format!("[capture]\nkernel_flows = {wrong}\n")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn places_are_read() {
        let config = read(
            "[[tenant]]\nname = \"blue\"\nvnis = [70]\n\
             [[network]]\nname = \"office\"\nprefixes = [\"10.1.0.0/16\", \"2001:db8::/32\"]\n\
             [[network]]\nname = \"cloud\"\ntenants = [\"blue\"]\n\
             [[network]]\nrole = \"resolver\"\nprefixes = [\"10.1.0.53\"]\n\
             [[exception]]\nvendor = \"kaspersky\"\nnetwork = \"office\"\nuntil = 2027-03-31\nreason = \"lab\"\n",
        )
        .unwrap();
        let places = config.places;
        assert_eq!(places.networks[0].prefixes.len(), 2);
        assert_eq!(places.networks[1].tenants, ["blue"]);
        assert_eq!(places.networks[2].prefixes[0].to_string(), "10.1.0.53/32");
        assert_eq!(places.exceptions[0].until.to_string(), "2027-03-31");
    }

    #[test]
    fn what_another_holds_already_is_refused() {
        let network = |name: &str, rest: &str| format!("[[network]]\nname = \"{name}\"\n{rest}\n");
        let lan = "prefixes = [\"192.0.2.0/24\"]";
        for (first, second, said) in [
            (lan, "prefixes = [\"10.0.0.0/8\", \"192.0.2.0/24\"]", "`b`: 192.0.2.0/24 is in `a`"),
            ("vlans = [1, 2]", "vlans = [2, 1]", "`b`: what it holds is in `a`"),
        ] {
            let refusal = read(&(network("a", first) + &network("b", second))).unwrap_err();
            assert!(refusal.to_string().contains(said), "{refusal}");
        }
        let twice = network("a", lan) + &network("a", lan);
        let vlan = network("a", lan) + &network("b", &format!("{lan}\nvlans = [1]"));
        let nested = network("a", lan) + &network("b", "prefixes = [\"192.0.2.0/25\"]");
        let role = network("a", lan) + &format!("[[network]]\nrole = \"proxy\"\n{lan}\n");
        for sound in [twice, vlan, nested, role] {
            assert!(read(&sound).is_ok(), "{sound}");
        }
        let tenants =
            "[[tenant]]\nname = \"t\"\nvnis = [5]\n[[tenant]]\nname = \"u\"\nvnis = [5]\n";
        let refusal = read(tenants).unwrap_err().to_string();
        assert!(refusal.contains("[[tenant]] `u`: vnis 5 is in `t`"), "{refusal}");
        assert!(read(&tenants.replacen("vnis", "teids", 1)).is_ok());
    }

    #[test]
    fn a_reload_cannot_change_what_needs_a_restart() {
        let old = read("").unwrap();
        let live = read("[signatures]\nmin_strength = \"strong\"\n").unwrap();
        assert!(old.admits(&live).is_ok());
        let new = read("[capture]\nkernel_flows = 2048\n[[network]]\nname = \"a\"\nvlans = [1]\n")
            .unwrap();
        let refusal = old.admits(&new).unwrap_err().to_string();
        assert_eq!(refusal, "only a restart can change capture.kernel_flows, [[network]]");
    }
}
