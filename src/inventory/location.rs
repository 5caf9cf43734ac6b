//! Where the inventory is kept, as the configuration says it.

use std::path::{Path, PathBuf};

/// The value of `inventory.path`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Location {
    /// In the directory that the service manager gives.
    Auto,
    Off,
    At(PathBuf),
}

impl Location {
    /// Reads `auto`, `off`, or a path.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "auto" => Self::Auto,
            "off" => Self::Off,
            path => Self::At(path.into()),
        }
    }

    /// Where the daemon writes; none when it keeps no inventory. `state_directory` is the
    /// environment variable of systemd.exec(5), which may list several.
    #[must_use]
    pub fn to_write(&self, state_directory: Option<&str>) -> Option<PathBuf> {
        match self {
            Self::Auto => {
                let first = state_directory?.split(':').next().filter(|first| !first.is_empty())?;
                Some(Path::new(first).join(FILE))
            }
            Self::Off => None,
            Self::At(path) => Some(path.clone()),
        }
    }

    /// Where a person's command reads; none when no inventory is kept. `state_directory` is the
    /// configured one, that of the shipped unit where none or an empty one is.
    #[must_use]
    pub fn to_read(&self, state_directory: Option<&str>) -> Option<PathBuf> {
        match self {
            Self::Auto => {
                let named = state_directory.filter(|directory| !directory.is_empty());
                Some(Path::new(named.unwrap_or(STATE_DIRECTORY)).join(FILE))
            }
            Self::Off => None,
            Self::At(path) => Some(path.clone()),
        }
    }
}

/// What the shipped unit calls its `StateDirectory`.
const STATE_DIRECTORY: &str = "/var/lib/vendorwatch";

const FILE: &str = "inventory.sqlite";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_path_and_two_words_are_not() {
        let auto = Location::parse("auto");
        assert_eq!(auto.to_write(None), None);
        assert_eq!(auto.to_write(Some("/s/a:/s/b")), Some("/s/a/inventory.sqlite".into()));
        assert_eq!(auto.to_read(None), Some("/var/lib/vendorwatch/inventory.sqlite".into()));
        let off = Location::parse("off");
        assert_eq!((off.to_write(Some("/s")), off.to_read(None)), (None, None));
        let at = Location::parse("x/off");
        assert_eq!(
            (at.to_write(None), at.to_read(Some("/s"))),
            (Some("x/off".into()), Some("x/off".into()))
        );
    }
}
