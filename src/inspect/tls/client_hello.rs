//! The ClientHello (RFC 8446 §4.1.2), in place, whole or cut.

use super::{Version, is_grease};
use crate::inspect::Malformed;
use crate::inspect::reader::Reader;

/// A ClientHello as far as it could be read.
#[derive(Clone, Copy, Debug)]
pub struct ClientHello<'a> {
    /// `legacy_version`.
    pub version: Version,
    pub random: &'a [u8; 32],
    /// The `host_name` of the server name extension (RFC 6066 §3), as on the wire.
    pub server_name: Option<&'a [u8]>,
    /// The contents of the ALPN extension's `protocol_name_list` (RFC 7301 §3.1).
    alpn: &'a [u8],
    /// A version of TLS 1.3 is offered in `supported_versions`.
    pub offers_tls13: bool,
    /// The `encrypted_client_hello` extension (RFC 9849 §5), when there is one.
    pub ech: Option<EchExtension>,
    /// The `encrypted_server_name` extension of ECH's early drafts: no name is readable.
    pub esni: bool,
    /// The message ends before its own lengths say it does.
    pub cut: bool,
    /// Where the rest stopped making sense.
    pub fault: Option<Malformed>,
}

/// What an `encrypted_client_hello` extension shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EchExtension {
    /// The outer hello: the name beside it is the provider's public one.
    Outer { config_id: u8, kdf_id: u16, aead_id: u16, enc_len: u16, payload_len: u16 },
    /// Inside what a client encrypts; in the clear it hides nothing.
    Inner,
    /// Neither could be read.
    Unreadable,
}

/// Whose ClientHello: DTLS puts a cookie into it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dialect {
    Tls,
    /// RFC 6347 §4.2.1.
    Dtls,
}

impl<'a> ClientHello<'a> {
    /// Reads the body of a ClientHello message, without its four-octet header. `whole`: `body` is
    /// as long as that header says.
    ///
    /// # Errors
    /// When not even the random could be read; everything after it may be missing or broken.
    pub fn read(body: &'a [u8], whole: bool, dialect: Dialect) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let version = Version(reader.u16("legacy_version")?);
        let random = reader.array("random")?;
        let mut hello = Self {
            version,
            random,
            server_name: None,
            alpn: &[],
            offers_tls13: false,
            ech: None,
            esni: false,
            cut: !whole,
            fault: None,
        };
        if let Err(fault) = hello.read_rest(reader, dialect) {
            let short = matches!(fault, Malformed::Overrun { .. });
            if whole || !short {
                hello.fault = Some(fault);
            }
        }
        Ok(hello)
    }

    /// The protocols offered with ALPN, in the client's order.
    pub fn alpn(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut reader = Reader::new(self.alpn);
        core::iter::from_fn(move || reader.vector8("protocol_name").ok())
    }

    fn read_rest(&mut self, mut reader: Reader<'a>, dialect: Dialect) -> Result<(), Malformed> {
        reader.vector8("legacy_session_id")?;
        if dialect == Dialect::Dtls {
            reader.vector8("cookie")?;
        }
        reader.vector16("cipher_suites")?;
        reader.vector8("legacy_compression_methods")?;
        if reader.is_empty() && !self.cut {
            // Before RFC 3546 there were no extensions.
            return Ok(());
        }
        let (extensions, whole) = reader.vector16_or_rest("extensions")?;
        let (mut left, mut fault) = (extensions, Ok(()));
        while let Some((&[a, b, c, d], rest)) = left.split_first_chunk() {
            let kind = u16::from_be_bytes([a, b]);
            let len = usize::from(u16::from_be_bytes([c, d]));
            let Some((data, rest)) = rest.split_at_checked(len) else {
                self.extension(kind, rest)?;
                let (need, have) = (len, rest.len());
                return Err(Malformed::Overrun { field: "extension_data", need, have });
            };
            // Most say nothing here. What is wrong within one hides none behind it.
            if extension_type::is_read(kind) {
                fault = fault.and(self.extension(kind, data));
            }
            left = rest;
        }
        if !left.is_empty() {
            let (need, have) = (EXTENSION_HEADER, left.len());
            return Err(Malformed::Overrun { field: "extension", need, have });
        }
        if whole {
            fault
        } else {
            Err(Malformed::Overrun { field: "extensions", need: 1, have: 0 })
        }
    }

    fn extension(&mut self, kind: u16, data: &'a [u8]) -> Result<(), Malformed> {
        let mut reader = Reader::new(data);
        match kind {
            extension_type::SERVER_NAME => {
                let (list, _) = reader.vector16_or_rest("server_name_list")?;
                let mut list = Reader::new(list);
                while !list.is_empty() {
                    let name_type = list.u8("name_type")?;
                    let name = list.vector16("host_name")?;
                    if name_type == NAME_TYPE_HOST && self.server_name.is_none() && !name.is_empty()
                    {
                        self.server_name = Some(name);
                    }
                }
            }
            extension_type::ALPN => {
                (self.alpn, _) = reader.vector16_or_rest("protocol_name_list")?;
            }
            extension_type::SUPPORTED_VERSIONS => {
                let versions = reader.vector8("supported_versions")?.as_chunks().0;
                self.offers_tls13 |= versions.iter().any(|version| {
                    let version = u16::from_be_bytes(*version);
                    !is_grease(version) && Version(version).is_tls13()
                });
            }
            extension_type::ENCRYPTED_CLIENT_HELLO => {
                self.ech = Some(EchExtension::read(reader));
            }
            extension_type::ENCRYPTED_SERVER_NAME => self.esni = true,
            _ => {}
        }
        Ok(())
    }
}

impl EchExtension {
    /// `ECHClientHello` (RFC 9849 §5).
    fn read(mut reader: Reader<'_>) -> Self {
        let mut outer = || -> Result<Self, Malformed> {
            if reader.u8("type")? == 1 {
                return Ok(Self::Inner);
            }
            let kdf_id = reader.u16("kdf_id")?;
            let aead_id = reader.u16("aead_id")?;
            let config_id = reader.u8("config_id")?;
            let enc_len = reader.u16("enc")?;
            reader.take(usize::from(enc_len), "enc")?;
            let payload_len = reader.u16("payload")?;
            Ok(Self::Outer { config_id, kdf_id, aead_id, enc_len, payload_len })
        };
        outer().unwrap_or(Self::Unreadable)
    }
}

/// Extension types (IANA "TLS ExtensionType Values").
mod extension_type {
    pub(super) const SERVER_NAME: u16 = 0;
    pub(super) const ALPN: u16 = 16;
    pub(super) const SUPPORTED_VERSIONS: u16 = 43;
    pub(super) const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;
    pub(super) const ENCRYPTED_SERVER_NAME: u16 = 0xffce;

    /// Is it one of these?
    #[inline]
    pub(super) const fn is_read(kind: u16) -> bool {
        matches!(
            kind,
            SERVER_NAME
                | ALPN
                | SUPPORTED_VERSIONS
                | ENCRYPTED_CLIENT_HELLO
                | ENCRYPTED_SERVER_NAME
        )
    }
}

/// `extension_type` and the length of `extension_data`.
const EXTENSION_HEADER: usize = 4;

/// RFC 6066 §3.
const NAME_TYPE_HOST: u8 = 0;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;
    use proptest::sample::Index;
    use tls_parser::{SNIType, TlsExtension};

    use super::*;

    /// A body with these extensions.
    fn body(extensions: &[(u16, &[u8])]) -> Vec<u8> {
        let mut list = Vec::new();
        for (kind, data) in extensions {
            list.extend(kind.to_be_bytes());
            list.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            list.extend(*data);
        }
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
        body.extend(u16::try_from(list.len()).unwrap().to_be_bytes());
        body.extend(list);
        body
    }

    const SNI: &[u8] = b"\x00\x0e\x00\x00\x0bexample.com";

    #[test]
    fn extensions_are_read_in_any_order() {
        let ech = b"\x00\x00\x01\x00\x01\x2a\x00\x02ab\x00\x03xyz";
        let body = body(&[
            (0x1a1a, b""),
            (16, b"\x00\x0c\x02h2\x08http/1.1"),
            (0xfe0d, ech),
            (43, b"\x04\x0a\x0a\x03\x04"),
            (0, SNI),
        ]);
        let hello = ClientHello::read(&body, true, Dialect::Tls).unwrap();
        assert_eq!(hello.server_name, Some(&b"example.com"[..]));
        assert_eq!(hello.alpn().collect::<Vec<_>>(), [&b"h2"[..], b"http/1.1"]);
        assert!(hello.offers_tls13 && !hello.cut && hello.fault.is_none());
        let outer = EchExtension::Outer {
            config_id: 0x2a,
            kdf_id: 1,
            aead_id: 1,
            enc_len: 2,
            payload_len: 3,
        };
        assert_eq!(hello.ech, Some(outer));
    }

    #[test]
    fn a_name_before_the_cut_is_read_and_a_name_across_it_is_not() {
        let body = body(&[(0, SNI), (16, b"\x00\x03\x02h2")]);
        let name_ends = 2 + 32 + 7 + 2 + 4 + SNI.len();
        for len in 34..body.len() {
            let hello = ClientHello::read(&body[..len], false, Dialect::Tls).unwrap();
            assert_eq!(hello.server_name.is_some(), len >= name_ends, "at {len}");
            assert!(hello.fault.is_none() && hello.cut);
        }
    }

    #[test]
    fn lengths_that_contradict_each_other_are_a_fault_but_hide_no_name_before_it() {
        let mut broken = body(&[(0, SNI), (16, b"\x00\x03\x02h2")]);
        broken.pop();
        let hello = ClientHello::read(&broken, true, Dialect::Tls).unwrap();
        assert_eq!(hello.server_name, Some(&b"example.com"[..]));
        assert!(hello.fault.is_some());
    }

    #[test]
    fn what_is_wrong_within_an_extension_hides_no_name_behind_it() {
        let body = body(&[(43, b"\x09\x03\x04"), (16, b"\x00\x03\x02h2"), (0, SNI)]);
        let hello = ClientHello::read(&body, true, Dialect::Tls).unwrap();
        assert_eq!(hello.server_name, Some(&b"example.com"[..]));
        assert_eq!(hello.alpn().collect::<Vec<_>>(), [b"h2"]);
        assert!(hello.fault.is_some());
    }

    /// What a hello says: the name and the protocols.
    type Said = (Option<Vec<u8>>, Vec<Vec<u8>>);

    /// As `tls-parser` reads it, which keeps all of a hello on the heap and takes whole ones alone.
    /// (Of `supported_versions` it does not look at the list's length.)
    fn by_reference(body: &[u8]) -> Option<Said> {
        let (behind, hello) = tls_parser::parse_tls_handshake_client_hello(body).ok()?;
        let list = hello.ext.unwrap_or_default();
        let (unread, extensions) = tls_parser::parse_tls_client_hello_extensions(list).ok()?;
        if !behind.is_empty() || !unread.is_empty() {
            return None;
        }
        let mut said = Said::default();
        for extension in extensions {
            match extension {
                TlsExtension::SNI(names) if said.0.is_none() => {
                    let is_host = |(kind, name): &&(SNIType, &[u8])| {
                        *kind == SNIType::HostName && !name.is_empty()
                    };
                    said.0 = names.iter().find(is_host).map(|(_, name)| name.to_vec());
                }
                TlsExtension::ALPN(protocols) => {
                    said.1 = protocols.into_iter().map(<[u8]>::to_vec).collect();
                }
                _ => {}
            }
        }
        Some(said)
    }

    /// An extension that is sound, or of any octets.
    fn extension() -> impl Strategy<Value = (u16, Vec<u8>)> {
        let name = vec(any::<u8>(), 0..20).prop_map(|name| {
            let [high, low] = u16::try_from(name.len()).unwrap().to_be_bytes();
            let entry = [&[NAME_TYPE_HOST, high, low], &name[..]].concat();
            let list = u16::try_from(entry.len()).unwrap().to_be_bytes();
            (extension_type::SERVER_NAME, [&list[..], &entry].concat())
        });
        let protocols = vec(vec(any::<u8>(), 1..9), 1..4).prop_map(|protocols| {
            let entry = |name: &Vec<u8>| [&[u8::try_from(name.len()).unwrap()], &name[..]].concat();
            let list: Vec<u8> = protocols.iter().flat_map(entry).collect();
            let len = u16::try_from(list.len()).unwrap().to_be_bytes();
            (extension_type::ALPN, [&len[..], &list].concat())
        });
        let version = prop_oneof![Just(0x0304_u16), Just(0x7f1c), Just(0x0303), any::<u16>()];
        let versions = vec(version, 1..5).prop_map(|versions| {
            let list: Vec<u8> = versions.iter().flat_map(|version| version.to_be_bytes()).collect();
            let len = u8::try_from(list.len()).unwrap();
            (extension_type::SUPPORTED_VERSIONS, [&[len], &list[..]].concat())
        });
        let kind = prop_oneof![Just(0_u16), Just(16), Just(43), Just(0x1a1a), any::<u16>()];
        prop_oneof![4 => name, 2 => protocols, 2 => versions, 1 => (kind, vec(any::<u8>(), 0..9))]
    }

    proptest! {
        /// A hello that another parser takes for whole says here what it says there.
        #[test]
        fn a_whole_hello_is_read_as_by_another_parser(
            extensions in vec(extension(), 0..6),
            change in option::of((any::<Index>(), any::<u8>())),
        ) {
            let extensions: Vec<_> =
                extensions.iter().map(|(kind, data)| (*kind, &data[..])).collect();
            let mut body = body(&extensions);
            if let Some((at, to)) = change {
                let at = at.index(body.len());
                body[at] = to;
            }
            let Some(said) = by_reference(&body) else { return Ok(()) };
            let hello = ClientHello::read(&body, true, Dialect::Tls).unwrap();
            let protocols: Vec<_> = hello.alpn().map(<[u8]>::to_vec).collect();
            prop_assert_eq!((hello.server_name.map(<[u8]>::to_vec), protocols), said);
        }
    }
}
