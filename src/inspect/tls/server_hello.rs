//! The ServerHello (RFC 8446 §4.1.3): which version was chosen, or whether the client must try
//! again.

use super::{Version, content_type, handshake_type};
use crate::inspect::reader::Reader;

/// What a ServerHello decides for an observer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ServerHello {
    /// The version in `supported_versions`, else `legacy_version`.
    pub version: Version,
    /// This is a HelloRetryRequest: a second ClientHello of the same handshake follows.
    pub retry: bool,
}

impl ServerHello {
    /// Reads the ServerHello at the beginning of a server's stream of records, when it is there
    /// whole and in one record, as servers send it.
    #[must_use]
    pub fn first_of(stream: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(stream);
        let [content, 3, _] = *reader.array("record").ok()? else { return None };
        let fragment = reader.vector16("fragment").ok()?;
        let mut reader = Reader::new(fragment);
        let kind = reader.u8("msg_type").ok()?;
        if content != content_type::HANDSHAKE || kind != handshake_type::SERVER_HELLO {
            return None;
        }
        let length = reader.u24("length").ok()?;
        let body = reader.take(usize::try_from(length).ok()?, "body").ok()?;
        Self::read(body)
    }

    /// Reads the body of a ServerHello message.
    #[must_use]
    pub fn read(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let mut version = Version(reader.u16("legacy_version").ok()?);
        let random: &[u8; 32] = reader.array("random").ok()?;
        let retry = *random == RETRY_RANDOM;
        reader.vector8("legacy_session_id_echo").ok()?;
        reader.take(3, "cipher_suite, legacy_compression_method").ok()?;
        let mut extensions = Reader::new(reader.vector16("extensions").unwrap_or_default());
        while let Ok(kind) = extensions.u16("extension_type") {
            let Ok(data) = extensions.vector16("extension_data") else { break };
            if let (SUPPORTED_VERSIONS, &[high, low]) = (kind, data) {
                version = Version(u16::from_be_bytes([high, low]));
            }
        }
        Some(Self { version, retry })
    }
}

/// Extension type `supported_versions` (RFC 8446 §4.2.1).
const SUPPORTED_VERSIONS: u16 = 43;

/// SHA-256 of "HelloRetryRequest" (RFC 8446 §4.1.3).
const RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    fn stream(random: [u8; 32], extensions: &[u8]) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend(random);
        body.extend([0, 0x13, 0x01, 0]);
        body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
        body.extend(extensions);
        let mut stream = vec![22, 3, 3, 0, u8::try_from(body.len() + 4).unwrap(), 2, 0, 0];
        stream.push(u8::try_from(body.len()).unwrap());
        stream.extend(body);
        stream
    }

    #[test]
    fn the_chosen_version_is_in_the_extension() {
        let hello = ServerHello::first_of(&stream([1; 32], &[0, 43, 0, 2, 3, 4])).unwrap();
        assert_eq!(hello, ServerHello { version: Version::TLS1_3, retry: false });
        let hello = ServerHello::first_of(&stream([1; 32], &[])).unwrap();
        assert_eq!(hello, ServerHello { version: Version::TLS1_2, retry: false });
    }

    #[test]
    fn a_retry_is_known_by_its_random() {
        let random: [u8; 32] = Sha256::digest(b"HelloRetryRequest").into();
        assert!(ServerHello::first_of(&stream(random, &[0, 43, 0, 2, 3, 4])).unwrap().retry);
    }
}
