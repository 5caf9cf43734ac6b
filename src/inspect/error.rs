//! Why octets could not be read.

/// Octets that contradict the protocol they claim to be, or end too early.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// A field wants more octets than its parent holds. For input that may yet grow, this means
    /// "more, please".
    #[error("{field} wants {need} octets, {have} left")]
    Overrun { field: &'static str, need: usize, have: usize },
    /// A field has a value that the protocol forbids.
    #[error("{field} has a value that the protocol forbids")]
    Value { field: &'static str },
    /// A length or count is beyond what is read here.
    #[error("{field} is beyond the limit of {limit}")]
    Limit { field: &'static str, limit: usize },
    /// A DNS compression pointer does not point strictly backwards (RFC 1035 §4.1.4).
    #[error("the compression pointer at {at} does not point backwards")]
    PointerNotBackwards { at: usize },
}
