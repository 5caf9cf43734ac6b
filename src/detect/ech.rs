//! Encrypted Client Hello, or only its look-alike?

/// What an `encrypted_client_hello` extension is taken for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Ech {
    /// Made with a configuration that was offered: the name shown is not the name meant.
    Real,
    /// Random octets to keep the extension usual (RFC 9849 §6.2): the name shown is the name
    /// meant.
    Grease,
    /// Present; not enough was seen to say which.
    Unknown,
}

impl Ech {
    /// Every verdict, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Real, Self::Grease, Self::Unknown];

    /// The label in metrics and events.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Real => "real",
            Self::Grease => "grease",
            Self::Unknown => "unknown",
        }
    }
}

/// By which rule a verdict was reached. Ordered: the first that applies decides.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum EchRule {
    /// An HTTPS record offered this configuration id under this outer name: real.
    Offered,
    /// The outer name is the public name of configurations that were offered, with another id (a
    /// key was rotated): real.
    PublicName,
    /// The client itself resolved the outer name to the server's address; with real ECH it
    /// resolves the inner one: GREASE.
    Resolved,
    /// The client resolved the server's address under other names only: real.
    ResolvedOther,
    /// The payload is too short for an inner hello: GREASE.
    Short,
    /// The payload is longer than GREASE is made by any known library: real.
    Long,
    /// No rule applies.
    None,
}

impl EchRule {
    /// Every rule, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Offered,
        Self::PublicName,
        Self::Resolved,
        Self::ResolvedOther,
        Self::Short,
        Self::Long,
        Self::None,
    ];

    /// The label in metrics and events.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Offered => "offered",
            Self::PublicName => "public_name",
            Self::Resolved => "resolved",
            Self::ResolvedOther => "resolved_other",
            Self::Short => "short",
            Self::Long => "long",
            Self::None => "none",
        }
    }
}
