//! What a pack says about itself.

use serde::{Deserialize, Serialize};

use super::PackError;

/// Name, version and contents of a pack.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// As in `vendorwatch_signatures_info`.
    pub name: String,
    pub version: String,
    /// `YYYY-MM-DD`.
    pub created: String,
    /// The lists that names belong to, by number.
    pub lists: Vec<List>,
    /// The signature files that describe the lists, and whatever else they say.
    pub files: Vec<FileText>,
}

/// A list: the names of one indicator.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// The indicator's id.
    pub indicator: String,
    /// Names below the listed ones are not meant.
    pub exact: bool,
    pub names: u64,
}

/// A signature file within a pack.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FileText {
    pub name: String,
    pub text: String,
}

impl Manifest {
    pub(super) fn from_json(octets: &[u8]) -> Result<Self, PackError> {
        serde_json::from_slice(octets).map_err(|error| PackError::Manifest(error.to_string()))
    }

    pub(super) fn to_json(&self) -> Result<Vec<u8>, PackError> {
        serde_json::to_vec(self).map_err(|error| PackError::Manifest(error.to_string()))
    }
}
