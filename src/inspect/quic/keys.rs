//! Initial keys, and what they open.
//!
//! An Initial packet is encrypted with keys that follow from the client's first Destination
//! Connection ID and a salt that everybody knows (RFC 9001 §5.2). Only the client's side is
//! derived: the names are in it, and the key schedule is the dear part of a look inside.

use aes::Aes128;
use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};
use hmac::Hmac;
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hmac::Key as RingHmac;
use sha2::Sha256;

use super::hmac::{Keyed, has_instructions};
use super::packet::Initial;
use super::version::Salt;

/// The key schedule of each version, as far as it does not depend on a connection: HMAC states that
/// have taken in the salt. Saves two of sixteen hash blocks a connection.
#[derive(Clone, Debug)]
pub struct Schedules(Salts);

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "one of a worker")]
enum Salts {
    Sha2([Hmac<Sha256>; Salt::ALL.len()]),
    Ring([RingHmac; Salt::ALL.len()]),
}

/// The client's Initial keys of one connection.
#[derive(Clone, Eq, PartialEq)]
pub struct Keys {
    key: [u8; 16],
    iv: [u8; 12],
    /// Header protection key.
    hp: [u8; 16],
}

/// These keys do not open that packet, or too little of it was captured.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the keys do not open the packet")]
pub struct NotOpened;

impl Default for Schedules {
    fn default() -> Self {
        if has_instructions() { Self::by_sha2() } else { Self::by_ring() }
    }
}

impl Schedules {
    fn by_sha2() -> Self {
        Self(Salts::Sha2(Salt::ALL.map(|salt| Keyed::new(&salt.octets()))))
    }

    fn by_ring() -> Self {
        Self(Salts::Ring(Salt::ALL.map(|salt| Keyed::new(&salt.octets()))))
    }

    /// The client's keys for a connection whose first DCID is `dcid`: fourteen hash blocks.
    #[must_use]
    pub fn client(&self, salt: Salt, dcid: &[u8]) -> Keys {
        let labels = if salt.has_v2_labels() { &V2_LABELS } else { &V1_LABELS };
        match &self.0 {
            Salts::Sha2(salts) => Keys::derive(&salts[salt as usize], labels, dcid),
            Salts::Ring(salts) => Keys::derive(&salts[salt as usize], labels, dcid),
        }
    }
}

impl Keys {
    /// HKDF (RFC 5869) as in RFC 9001 §5.2. No expansion is longer than a block, so that each is
    /// the HMAC of its info, an `HkdfLabel`.
    fn derive<H: Keyed>(salt: &H, labels: &Labels, dcid: &[u8]) -> Self {
        let initial = H::new(&salt.sign(dcid));
        let client = H::new(&initial.sign(CLIENT_IN));
        Self {
            key: head(client.sign(labels.key)),
            iv: head(client.sign(labels.iv)),
            hp: head(client.sign(labels.hp)),
        }
    }

    /// Opens `initial` in `scratch`, which keeps its memory between calls, and gives the frames.
    ///
    /// A packet whose end was not captured has no tag to check. Its frames are deciphered all the
    /// same; whether they make sense is then the only proof that the keys were right.
    pub fn open<'s>(
        &self,
        initial: &Initial<'_>,
        scratch: &'s mut Vec<u8>,
    ) -> Result<&'s [u8], NotOpened> {
        let at = initial.number_at;
        // RFC 9001 §5.4.2: the sample begins where the longest packet number would end.
        let sample: [u8; 16] =
            *initial.octets.get(at + 4..).and_then(<[u8]>::first_chunk).ok_or(NotOpened)?;
        let mask = encrypt(&self.hp, sample);
        scratch.clear();
        scratch.extend_from_slice(initial.octets);
        scratch[0] ^= mask[0] & 0x0f;
        let number_len = usize::from(scratch[0] & 3) + 1;
        let mut nonce = self.iv;
        for i in 0..number_len {
            scratch[at + i] ^= mask[1 + i];
            // A client's first packet numbers are their own lowest octets (RFC 9000 §17.1).
            nonce[12 - number_len + i] ^= scratch[at + i];
        }
        let (header, payload) = scratch.split_at_mut(at + number_len);
        if initial.cut {
            self.decipher(nonce, payload);
            return Ok(payload);
        }
        let key = UnboundKey::new(&AES_128_GCM, &self.key).map_err(|_| NotOpened)?;
        LessSafeKey::new(key)
            .open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(header), payload)
            .map(|payload| &*payload)
            .map_err(|_| NotOpened)
    }

    /// The packet that a client would send: what [`Self::open`] undoes. For tests and benches;
    /// a sensor sends nothing. `number` is the packet number, of one to four octets, and the two
    /// lowest bits of `header` say how many; `payload` is at least four octets.
    #[must_use]
    pub fn seal(&self, header: &[u8], number: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut packet = [header, number].concat();
        let mut nonce = self.iv;
        for (to, from) in nonce.iter_mut().rev().zip(number.iter().rev()) {
            *to ^= from;
        }
        let mut sealed = payload.to_vec();
        if let Ok(key) = UnboundKey::new(&AES_128_GCM, &self.key) {
            let nonce = Nonce::assume_unique_for_key(nonce);
            let key = LessSafeKey::new(key);
            // Fails beyond 2^36 octets alone.
            let _ = key.seal_in_place_append_tag(nonce, Aad::from(&packet), &mut sealed);
        }
        packet.extend(sealed);
        let at = header.len();
        if let Some(sample) = packet.get(at + 4..).and_then(<[u8]>::first_chunk) {
            let mask = encrypt(&self.hp, *sample);
            packet[0] ^= mask[0] & 0x0f;
            for (to, mask) in packet[at..at + number.len()].iter_mut().zip(&mask[1..]) {
                *to ^= mask;
            }
        }
        packet
    }

    /// Counter mode as in GCM (NIST SP 800-38D §7.2), without the tag.
    fn decipher(&self, nonce: [u8; 12], payload: &mut [u8]) {
        let cipher = Aes128::new(&self.key.into());
        // The first counter value is the tag's.
        for (counter, chunk) in (2_u32..).zip(payload.chunks_mut(16)) {
            let mut block = [0; 16];
            block[..12].copy_from_slice(&nonce);
            block[12..].copy_from_slice(&counter.to_be_bytes());
            let mut block = Array::from(block);
            cipher.encrypt_block(&mut block);
            for (octet, key) in chunk.iter_mut().zip(block) {
                *octet ^= key;
            }
        }
    }
}

impl core::fmt::Debug for Keys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

/// One AES block under `key`.
fn encrypt(key: &[u8; 16], block: [u8; 16]) -> [u8; 16] {
    let mut block = Array::from(block);
    Aes128::new(&(*key).into()).encrypt_block(&mut block);
    block.into()
}

fn head<const N: usize>(octets: [u8; 32]) -> [u8; N] {
    core::array::from_fn(|i| octets[i])
}

/// `HkdfLabel`s (RFC 8446 §7.1), each with the counter octet of HKDF-Expand at its end.
struct Labels {
    key: &'static [u8],
    iv: &'static [u8],
    hp: &'static [u8],
}

const CLIENT_IN: &[u8] = b"\x00\x20\x0ftls13 client in\x00\x01";
/// RFC 9001 §5.1.
const V1_LABELS: Labels = Labels {
    key: b"\x00\x10\x0etls13 quic key\x00\x01",
    iv: b"\x00\x0c\x0dtls13 quic iv\x00\x01",
    hp: b"\x00\x10\x0dtls13 quic hp\x00\x01",
};
/// RFC 9369 §3.3.2.
const V2_LABELS: Labels = Labels {
    key: b"\x00\x10\x10tls13 quicv2 key\x00\x01",
    iv: b"\x00\x0c\x0ftls13 quicv2 iv\x00\x01",
    hp: b"\x00\x10\x0ftls13 quicv2 hp\x00\x01",
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::quic::frame::CryptoFrames;
    use crate::inspect::quic::packet::{LongPacket, Packets};
    use crate::inspect::quic::version::{Dialect, Version};

    fn unhex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    /// The DCID of the examples in RFC 9001 Appendix A and RFC 9369 Appendix A.
    const DCID: [u8; 8] = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];

    /// The CRYPTO frame of RFC 9001 Appendix A.2; PADDING makes it 1,162 octets.
    const CLIENT_HELLO: &str = "060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804
        fe3a47f06a2b69484c00000413011302010000c000000010000e00000b6578616d706c652e636f6dff01000100
        000a00080006001d0017001800100007000504616c706e000500050100000000003300260024001d00209370b2
        c9caa47fbabaf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b0003020304000d0010000e040305
        0306030203080408050806002d00020101001c00024001003900320408ffffffffffffffff05048000ffff0704
        8000ffff0801100104800075300901100f088394c8f03e51570806048000ffff";

    fn open(packet: &[u8], cut: bool, salt: Salt) -> Result<Vec<u8>, NotOpened> {
        let Some(Ok(LongPacket::Initial(initial))) = Packets::new(packet, cut).next() else {
            panic!("not an Initial");
        };
        let keys = Schedules::default().client(salt, initial.header.dcid);
        keys.open(&initial, &mut Vec::new()).map(<[u8]>::to_vec)
    }

    #[test]
    fn version_1_keys_are_those_of_rfc_9001_a_1() {
        for schedules in [Schedules::by_sha2(), Schedules::by_ring()] {
            let keys = schedules.client(Salt::V1, &DCID);
            assert_eq!(keys.key[..], unhex("1f369613dd76d5467730efcbe3b1a22d"));
            assert_eq!(keys.iv[..], unhex("fa044b2f42a3fd3b46fb255c"));
            assert_eq!(keys.hp[..], unhex("9f50449e04a0e810283a1e9933adedd2"));
        }
    }

    #[test]
    fn version_2_keys_are_those_of_rfc_9369_a_1() {
        for schedules in [Schedules::by_sha2(), Schedules::by_ring()] {
            let keys = schedules.client(Salt::V2, &DCID);
            assert_eq!(keys.key[..], unhex("8b1a0bc121284290a29e0971b5cd045d"));
            assert_eq!(keys.iv[..], unhex("91f73e2351d8fa91660e909f"));
            assert_eq!(keys.hp[..], unhex("45b95e15235d6f45a6b19cbcb0294ba9"));
        }
    }

    /// RFC 9001 A.2 and RFC 9369 A.2 print the protected packets; how they begin depends on all
    /// keys and the first block of the payload.
    #[test]
    fn the_client_initials_of_both_rfcs_are_sealed_and_opened() {
        let examples = [
            (
                Salt::V1,
                "c300000001088394c8f03e5157080000449e",
                "c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11",
            ),
            (
                Salt::V2,
                "d36b3343cf088394c8f03e5157080000449e",
                "d76b3343cf088394c8f03e5157080000449ea0c95e82ffe67b6abcdb4298b485",
            ),
        ];
        let mut payload = unhex(CLIENT_HELLO);
        payload.resize(1_162, 0);
        for (salt, header, begins) in examples {
            let keys = Schedules::default().client(salt, &DCID);
            let packet = keys.seal(&unhex(header), &[0, 0, 0, 2], &payload);
            assert_eq!(packet.len(), 1_200);
            assert_eq!(packet[..32], unhex(begins), "{salt:?}");
            assert_eq!(open(&packet, false, salt), Ok(payload.clone()));
        }
    }

    #[test]
    fn a_packet_that_was_altered_does_not_open() {
        let keys = Schedules::default().client(Salt::V1, &DCID);
        let header = unhex("c300000001088394c8f03e5157080000449e");
        let packet = keys.seal(&header, &[0, 0, 0, 2], &[0; 1_162]);
        for at in [0, 22, 600, 1_199] {
            let mut altered = packet.clone();
            altered[at] ^= 1;
            assert_eq!(open(&altered, false, Salt::V1), Err(NotOpened), "octet {at}");
        }
    }

    #[test]
    fn a_packet_that_was_cut_is_deciphered_as_far_as_it_goes() {
        let mut payload = unhex(CLIENT_HELLO);
        payload.resize(1_162, 0);
        let keys = Schedules::default().client(Salt::V1, &DCID);
        let header = unhex("c300000001088394c8f03e5157080000449e");
        let packet = keys.seal(&header, &[0, 0, 0, 2], &payload);
        let opened = open(&packet[..400], true, Salt::V1).unwrap();
        assert_eq!(opened, payload[..400 - 22]);
        let frame = CryptoFrames::new(&opened, Dialect::Ietf, true).next().unwrap().unwrap();
        assert_eq!(frame.data.len(), 241);
        assert_eq!(open(&packet[..30], true, Salt::V1), Err(NotOpened));
    }

    /// The server's Initials of RFC 9001 A.3 have keys of their own: the client's do not open
    /// them, and its DCID gives none.
    #[test]
    fn a_server_initial_does_not_open() {
        let packet = unhex(
            "cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a5816b6394100f37a1c69797554
            780bb38cc5a99f5ede4cf73c3ec2493a1839b3dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3bded74b
            562bfb19fb84022f8ef4cdd93795d77d06edbb7aaf2f58891850abbdca3d20398c276456cbc42158407dd074ee",
        );
        assert_eq!(open(&packet, false, Salt::V1), Err(NotOpened));
        let Some(Ok(LongPacket::Initial(initial))) = Packets::new(&packet, false).next() else {
            panic!("not an Initial");
        };
        let keys = Schedules::default().client(Salt::V1, &DCID);
        assert_eq!(keys.open(&initial, &mut Vec::new()), Err(NotOpened));
        assert!(!initial.may_be_first());
    }

    /// RFC 9001 A.4.
    #[test]
    fn a_retry_names_the_next_dcid() {
        let packet =
            unhex("ff000000010008f067a5502a4262b5746f6b656e04a265ba2eff4d829058fb3f0f2496ba");
        let Some(Ok(LongPacket::Retry(header))) = Packets::new(&packet, false).next() else {
            panic!("not a Retry");
        };
        assert_eq!((header.version, header.scid), (Version::V1, &unhex("f067a5502a4262b5")[..]));
    }
}
