//! The closed sets of outcomes. Each label is a metric label, and each variant a line of `read`'s
//! account.

/// Defines an enum whose variants are numbered, listed and labelled.
macro_rules! outcomes {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $label:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// Every variant, in the order of their numbers.
            pub const ALL: [Self; [$($label),+].len()] = [$(Self::$variant),+];

            /// The metric label.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)+ }
            }
        }
    };
}

outcomes! {
    /// What became of a frame. Exactly one each.
    PacketOutcome {
        /// A TCP or UDP packet was read.
        Decoded = "decoded",
        /// A fragment, kept until its datagram is whole (the last one counts as decoded).
        Fragment = "fragment",
        /// A fragment whose datagram never became whole.
        FragmentLost = "fragment_lost",
        UnknownLinkType = "unknown_link_type",
        UnknownEthertype = "unknown_ethertype",
        NotIp = "not_ip",
        OtherTransport = "other_transport",
        Encrypted = "encrypted",
        /// Cut within its headers, or right behind them.
        Truncated = "truncated",
        Malformed = "malformed",
        TooDeep = "too_deep",
        /// Counted by the in-kernel filter and left there.
        SkippedInKernel = "skipped_in_kernel",
    }
}

outcomes! {
    /// Protocols with a handshake that may carry a name.
    HandshakeProtocol {
        Tls = "tls",
        Dtls = "dtls",
        Quic = "quic",
        Gquic = "gquic",
    }
}

outcomes! {
    /// What became of a handshake. Exactly one each.
    HandshakeOutcome {
        /// The name in the clear was reported, whether or not ECH hides another behind it.
        Named = "named",
        NoSni = "no_sni",
        /// The name is encrypted, by ECH or its forerunner, and there is none in the clear.
        Ech = "ech",
        /// Cut by a snaplen or a truncating mirror before the name.
        Truncated = "truncated",
        /// Octets before the name were never seen.
        Gap = "gap",
        /// Only the server's side was seen.
        OneWay = "one_way",
        Timeout = "timeout",
        /// Its state was given up for room.
        Evicted = "evicted",
        /// The keys that the wire implies do not open it.
        Undecryptable = "undecryptable",
        UnsupportedVersion = "unsupported_version",
        Malformed = "malformed",
    }
}

outcomes! {
    /// How a DNS message travelled.
    DnsTransport {
        Udp = "udp",
        Tcp = "tcp",
        Mdns = "mdns",
        Llmnr = "llmnr",
    }
}

outcomes! {
    /// What became of a DNS message. Exactly one each.
    DnsOutcome {
        Query = "query",
        Response = "response",
        /// An opcode other than QUERY.
        OtherOpcode = "other_opcode",
        /// The same question again within the window, or a copy of what has none.
        Repeated = "repeated",
        /// Read as far as it is sound.
        Malformed = "malformed",
        Truncated = "truncated",
        /// On TCP: octets before the end were never seen.
        Gap = "gap",
        Timeout = "timeout",
        Evicted = "evicted",
    }
}

outcomes! {
    /// The tables of a worker.
    TableName {
        /// TCP connections whose beginning is unfinished.
        Connections = "connections",
        /// QUIC first flights.
        Quic = "quic",
        /// QUIC connections that are dealt with, to know what follows of them: places that were
        /// ever used, two a connection.
        QuicSettled = "quic_settled",
        /// DTLS hellos in pieces.
        Dtls = "dtls",
        /// IP datagrams in pieces.
        Fragments = "fragments",
        /// Flows whose volume is counted.
        Volumes = "volumes",
        /// What was just seen, to know copies by.
        Recent = "recent",
        /// The sample for the estimates.
        Sample = "sample",
    }
}
