//! SVCB and HTTPS records (RFC 9460), and the ECH configurations in them (RFC 9848, RFC 9849).

use super::NameRef;
use super::message::Record;
use crate::inspect::Malformed;
use crate::inspect::reader::Reader;

/// The data of an SVCB or HTTPS record.
#[derive(Clone, Copy, Debug)]
pub struct Svcb<'a> {
    /// 0 is an alias.
    pub priority: u16,
    /// Where the service is; the root stands for the owner itself.
    pub target: NameRef<'a>,
    /// Addresses, four octets each.
    pub ipv4_hint: &'a [u8],
    /// Addresses, sixteen octets each.
    pub ipv6_hint: &'a [u8],
    /// An `ECHConfigList`.
    ech: &'a [u8],
}

impl<'a> Svcb<'a> {
    /// Reads a record's data, parameters up to the first fault.
    pub fn read(record: &Record<'a>) -> Result<Self, Malformed> {
        let priority = Reader::new(record.data).u16("SvcPriority")?;
        let target = record.data_name(2)?;
        let params = record.data_after_name(2)?;
        let mut svcb = Self { priority, target, ipv4_hint: &[], ipv6_hint: &[], ech: &[] };
        let mut reader = Reader::new(params);
        while let (Ok(key), Ok(value)) = (reader.u16("SvcParamKey"), reader.vector16("value")) {
            match key {
                IPV4HINT => svcb.ipv4_hint = value,
                IPV6HINT => svcb.ipv6_hint = value,
                ECH => svcb.ech = value,
                _ => {}
            }
        }
        Ok(svcb)
    }

    /// The ECH configurations of a version known here.
    pub fn ech_configs(&self) -> impl Iterator<Item = EchConfig<'a>> + use<'a> {
        let list = Reader::new(self.ech).vector16("ECHConfigList").unwrap_or_default();
        let mut reader = Reader::new(list);
        core::iter::from_fn(move || {
            loop {
                let version = reader.u16("version").ok()?;
                let contents = reader.vector16("contents").ok()?;
                if version == ECH_VERSION
                    && let Ok(config) = EchConfig::read(contents)
                {
                    return Some(config);
                }
            }
        })
    }
}

/// An `ECHConfig` (RFC 9849 §4), as far as an observer compares it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EchConfig<'a> {
    pub config_id: u8,
    /// The name that outer hellos carry.
    pub public_name: &'a [u8],
}

impl<'a> EchConfig<'a> {
    fn read(contents: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(contents);
        let config_id = reader.u8("config_id")?;
        reader.u16("kem_id")?;
        reader.vector16("public_key")?;
        reader.vector16("cipher_suites")?;
        reader.u8("maximum_name_length")?;
        let public_name = reader.vector8("public_name")?;
        Ok(Self { config_id, public_name })
    }
}

/// `SvcParamKey` values (RFC 9460 §14.3.2).
const IPV4HINT: u16 = 4;
const ECH: u16 = 5;
const IPV6HINT: u16 = 6;

/// The version of an `ECHConfig` (RFC 9849 §4).
const ECH_VERSION: u16 = 0xfe0d;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::dns::Message;

    #[test]
    fn target_hints_and_ech_configs_are_read() {
        let config = b"\x2a\x00\x20\x00\x02pk\x00\x04\x00\x01\x00\x01\x00\x0apublic.net\x00\x00";
        let mut list =
            vec![0xfe, 0x0c, 0, 1, 9, 0xfe, 0x0d, 0, u8::try_from(config.len()).unwrap()];
        list.extend(config);
        let mut data =
            b"\x00\x01\x03svc\x03net\x00\x00\x04\x00\x04\xc0\x00\x02\x07\x00\x05".to_vec();
        data.extend(u16::try_from(list.len() + 2).unwrap().to_be_bytes());
        data.extend(u16::try_from(list.len()).unwrap().to_be_bytes());
        data.extend(&list);
        let mut message = b"\0\0\x81\x80\0\0\0\x01\0\0\0\0\x01a\0\0\x41\0\x01\0\0\0\x09".to_vec();
        message.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        message.extend(&data);

        let message = Message::read(&message).unwrap();
        let record = message.answers().unwrap().next().unwrap().unwrap();
        let svcb = Svcb::read(&record).unwrap();
        let mut target = String::new();
        svcb.target.write(&mut target).unwrap();
        assert_eq!((target.as_str(), svcb.priority), ("svc.net", 1));
        assert_eq!(svcb.ipv4_hint, [192, 0, 2, 7]);
        let configs: Vec<_> = svcb.ech_configs().collect();
        assert_eq!(configs, [EchConfig { config_id: 0x2a, public_name: b"public.net" }]);
    }
}
