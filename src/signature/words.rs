//! The closed sets of words that files, labels and configuration share.

use serde::{Serialize, Serializer};

/// An enum whose every value has one word, the same in files, labels and output.
macro_rules! words {
    (
        $(#[$of_enum:meta])*
        pub enum $name:ident {
            $($(#[$of_variant:meta])* $variant:ident = $label:literal,)+
        }
    ) => {
        $(#[$of_enum])*
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum $name {
            $($(#[$of_variant])* $variant,)+
        }

        impl $name {
            /// Every value, in the order of its definition.
            pub const ALL: [Self; [$($label),+].len()] = [$(Self::$variant),+];
            /// The words, in the same order.
            pub const LABELS: [&'static str; Self::ALL.len()] = [$($label),+];

            /// The word in files, labels and output.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self {
                    $(Self::$variant => $label,)+
                }
            }

            /// The value that [`Self::label`] names.
            #[must_use]
            pub fn from_label(label: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|value| value.label() == label)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.label())
            }
        }
    };
}

words! {
    /// What the documentation says an endpoint is for.
    pub enum Purpose {
        Telemetry = "telemetry",
        Reputation = "reputation",
        Update = "update",
        Licensing = "licensing",
        Cloud = "cloud",
        P2p = "p2p",
        Push = "push",
        Analytics = "analytics",
        Ads = "ads",
        Account = "account",
        Cdn = "cdn",
        Website = "website",
    }
}

words! {
    /// Who else asks for this name. Ordered from weak to strong.
    pub enum Strength {
        /// A person browsing goes there too.
        Weak = "weak",
        /// The product, but also tools, integrators and libraries in other firms' software.
        Moderate = "moderate",
        /// Only an installed product or device goes there.
        Strong = "strong",
    }
}

words! {
    /// What a listing speaks about.
    pub enum Regulates {
        Use = "use",
        Purchase = "purchase",
        Supply = "supply",
        Export = "export",
        Naming = "naming",
        Advice = "advice",
    }
}

words! {
    /// Whether a listing holds today.
    pub enum Status {
        InForce = "in-force",
        Superseded = "superseded",
        Repealed = "repealed",
        Proposal = "proposal",
        NonBinding = "non-binding",
    }
}

words! {
    /// How good a source is (best first).
    pub enum Class {
        /// The vendor's or a reseller's own documentation.
        A = "A",
        /// A maintained public list with repository, path and commit.
        B1 = "B1",
        /// Derived, as the parent of documented hosts.
        C = "C",
        /// A public source found without its repository's name: a lead, never enough alone.
        B2 = "B2",
    }
}

impl Strength {
    /// What it means that a client asked for such a name.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Weak => "a person browsing goes there too",
            Self::Moderate => "the product goes there, and so do tools, integrators and libraries",
            Self::Strong => "only an installed product or device goes there",
        }
    }
}
