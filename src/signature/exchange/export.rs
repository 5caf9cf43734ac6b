//! What is looked for, in the forms that resolvers and other sensors read.

use core::fmt::{self, Write};
use std::collections::{BTreeSet, HashMap};

use serde::Serialize;
use serde_json::json;

use crate::net::Addr;
use crate::signature::labels::{Seed, Suffixes};
use crate::signature::{Excluded, Indicator, Listing, Pattern, Set, Strength, Vendor, index};

/// The forms.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// STIX 2.1 bundle.
    Stix,
    /// MISP event.
    Misp,
    /// hosts(5): names only, and only those that are documented as hosts themselves.
    Hosts,
    /// Response policy zone.
    Rpz,
    /// Rules for DNS and TLS.
    Suricata,
    /// Intelligence framework.
    Zeek,
}

/// What is exported: all of a set, or the part that the caller chooses.
pub struct Export<'a> {
    pub set: &'a Set,
    pub takes: &'a dyn Fn(&Vendor, &Indicator) -> bool,
    /// The day that documents carry.
    pub created: jiff::civil::Date,
    /// The caller writes each list to a file beside the rules, see [`dataset`]; otherwise rules
    /// leave lists out, since a rule a name would be millions.
    pub datasets: bool,
}

/// The file that a rule loads the names of a list from: base64, a name a line.
#[must_use]
pub fn dataset(indicator: &Indicator) -> String {
    format!("{}.lst", indicator.id)
}

/// One thing to look for. Lists give one a name.
struct Item<'a> {
    indicator: &'a Indicator,
    vendor: &'a Vendor,
    pattern: &'a Pattern,
}

/// What is excluded within what is exported: there it is the longer pattern, which wins.
struct Exclusions<'a> {
    patterns: Vec<&'a Pattern>,
    /// Names, by what they are below and by themselves.
    below: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Exclusions<'a> {
    fn of(set: &'a Set) -> Self {
        let patterns: Vec<&Pattern> = set.excluded().iter().map(|record| &record.pattern).collect();
        let mut below: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, pattern) in patterns.iter().enumerate() {
            for parent in pattern.name().into_iter().flat_map(parents) {
                below.entry(parent).or_default().push(at);
            }
        }
        Self { patterns, below }
    }

    /// In the order of the set.
    fn within(&self, pattern: &Pattern) -> Vec<&'a Pattern> {
        match pattern {
            Pattern::Suffix(name) => {
                let below = self.below.get(&**name).into_iter().flatten();
                below.map(|at| self.patterns[*at]).collect()
            }
            Pattern::Prefix { .. } => {
                let patterns = self.patterns.iter().copied();
                patterns.filter(|excluded| holds(pattern, excluded)).collect()
            }
            Pattern::Exact(_) | Pattern::Listed { .. } => Vec::new(),
        }
    }

    /// Is the head of this zone excluded, though names below it are meant?
    fn head_of(&self, zone: &Pattern) -> bool {
        let is_head = |excluded: &&Pattern| {
            matches!(excluded, Pattern::Exact(_)) && excluded.name() == zone.name()
        };
        self.within(zone).iter().any(is_head)
    }
}

impl Export<'_> {
    /// Writes the whole document.
    pub fn write(&self, form: Form, out: &mut dyn Write) -> fmt::Result {
        match form {
            Form::Stix => self.stix(out),
            Form::Misp => self.misp(out),
            Form::Hosts => self.hosts(out),
            Form::Rpz => self.rpz(out),
            Form::Suricata => self.suricata(out),
            Form::Zeek => self.zeek(out),
        }
    }

    /// One vendor as a signature file.
    pub fn toml(&self, vendor: &Vendor) -> Result<String, toml::ser::Error> {
        #[derive(Serialize)]
        struct Document<'a> {
            vendor: &'a Vendor,
            listing: &'a [Listing],
            indicator: Vec<&'a Indicator>,
            excluded: Vec<&'a Excluded>,
        }
        let set = self.set;
        toml::to_string(&Document {
            vendor,
            listing: &vendor.listings,
            indicator: set
                .indicators()
                .iter()
                .map(|indicator| &**indicator)
                .filter(|indicator| {
                    indicator.vendor == vendor.id && (self.takes)(vendor, indicator)
                })
                .collect(),
            excluded: set
                .excluded()
                .iter()
                .map(|record| &**record)
                .filter(|record| record.vendor == vendor.id)
                .collect(),
        })
    }

    /// The lists that are taken, as one item each.
    pub fn lists(&self) -> impl Iterator<Item = &Indicator> {
        self.records().map(|item| item.indicator).filter(|indicator| is_list(&indicator.pattern))
    }

    fn records(&self) -> impl Iterator<Item = Item<'_>> {
        self.set.indicators().iter().filter_map(|indicator| {
            let vendor = self.set.vendor(&indicator.vendor)?;
            let pattern = &indicator.pattern;
            (self.takes)(vendor, indicator).then_some(Item { indicator, vendor, pattern })
        })
    }

    /// Every record, and in the place of lists their names.
    fn each(&self, act: &mut dyn FnMut(&Item<'_>) -> fmt::Result) -> fmt::Result {
        for item in self.records().filter(|item| !is_list(item.pattern)) {
            act(&item)?;
        }
        for (name, indicator) in self.set.listed_names() {
            let Some(vendor) = self.set.vendor(&indicator.vendor) else { continue };
            if (self.takes)(vendor, indicator) {
                let exact = matches!(indicator.pattern, Pattern::Listed { exact: true, .. });
                let pattern = if exact { Pattern::Exact(name) } else { Pattern::Suffix(name) };
                act(&Item { indicator, vendor, pattern: &pattern })?;
            }
        }
        Ok(())
    }

    fn hosts(&self, out: &mut dyn Write) -> fmt::Result {
        writeln!(out, "# Endpoints of listed vendors, vendorwatch {}", self.created)?;
        writeln!(
            out,
            "# A hosts file cannot say \"and all names below\": of zones only the head is here."
        )?;
        let exclusions = Exclusions::of(self.set);
        self.each(&mut |item| match item.pattern.name() {
            Some(_) if exclusions.head_of(item.pattern) => Ok(()),
            Some(name) => writeln!(out, "0.0.0.0 {name}"),
            None => Ok(()),
        })
    }

    fn rpz(&self, out: &mut dyn Write) -> fmt::Result {
        let serial = self.created.strftime("%Y%m%d00");
        writeln!(out, "; Endpoints of listed vendors, vendorwatch {}", self.created)?;
        writeln!(out, "$TTL 300")?;
        writeln!(out, "@ SOA localhost. root.localhost. ({serial} 3600 600 604800 300)")?;
        writeln!(out, "@ NS localhost.")?;
        let exclusions = Exclusions::of(self.set);
        let mut needed = BTreeSet::new();
        self.each(&mut |item| {
            needed.extend(exclusions.within(item.pattern));
            rpz_record(item.pattern, ".", &item.indicator.id, out)
        })?;
        needed
            .into_iter()
            .try_for_each(|pattern| rpz_record(pattern, "rpz-passthru.", "excluded", out))
    }

    fn suricata(&self, out: &mut dyn Write) -> fmt::Result {
        writeln!(out, "# Endpoints of listed vendors, vendorwatch {}", self.created)?;
        let exclusions = Exclusions::of(self.set);
        for item in self.records().filter(|item| self.datasets || !is_list(item.pattern)) {
            suricata_rules(&item, &exclusions.within(item.pattern), out)?;
        }
        Ok(())
    }

    fn zeek(&self, out: &mut dyn Write) -> fmt::Result {
        writeln!(
            out,
            "# Intel compares names whole: of zones only the head is found, and nothing below it."
        )?;
        writeln!(out, "# Blocks of addresses that are excluded from a larger one are found.")?;
        writeln!(out, "#fields\tindicator\tindicator_type\tmeta.source\tmeta.desc\tmeta.url")?;
        let exclusions = Exclusions::of(self.set);
        self.each(&mut |item| {
            if exclusions.head_of(item.pattern) {
                return Ok(());
            }
            let kind = match item.pattern {
                Pattern::Prefix { .. } => "Intel::SUBNET",
                _ => "Intel::DOMAIN",
            };
            let mut references =
                item.indicator.evidence.iter().map(|evidence| &*evidence.reference);
            let url = references.find(|reference| reference.starts_with("http")).unwrap_or("-");
            writeln!(
                out,
                "{}\t{kind}\tvendorwatch\t{} ({})\t{url}",
                item.pattern.value(),
                describe(item).replace('\t', " "),
                item.indicator.id
            )
        })
    }

    fn stix(&self, out: &mut dyn Write) -> fmt::Result {
        let moment = format!("{}T00:00:00.000Z", self.created);
        let identity = format!("identity--{}", uuid("vendorwatch"));
        let author = json!({
            "type": "identity", "spec_version": "2.1", "id": identity, "name": "vendorwatch",
            "identity_class": "system", "created": moment, "modified": moment,
        });
        let exclusions = Exclusions::of(self.set);
        let bundle = uuid(&format!("bundle {}", self.set.hash()));
        write!(out, "{{\"type\":\"bundle\",\"id\":\"bundle--{bundle}\",\"objects\":[\n{author}")?;
        self.each(&mut |item| {
            let references: Vec<_> = item
                .indicator
                .evidence
                .iter()
                .map(|evidence| {
                    let mut reference =
                        json!({"source_name": evidence.title, "description": evidence.says});
                    let key =
                        if evidence.reference.starts_with("http") { "url" } else { "external_id" };
                    reference[key] = evidence.reference.as_str().into();
                    reference
                })
                .collect();
            let key = format!("{} {}", item.indicator.id, item.pattern);
            let object = json!({
                "type": "indicator", "spec_version": "2.1",
                "id": format!("indicator--{}", uuid(&key)),
                "created_by_ref": identity, "created": moment, "modified": moment,
                "valid_from": format!("{}T00:00:00Z", item.indicator.first_seen),
                "name": &*item.indicator.id,
                "description": format!("{}{}", describe(item), unsaid(&exclusions, item)),
                // Neither good nor bad: what a listing makes of it is the reader's matter.
                "indicator_types": ["unknown"],
                "pattern_type": "stix", "pattern": stix_pattern(item.pattern),
                "labels": [
                    format!("vendor:{}", item.vendor.id),
                    format!("purpose:{}", item.indicator.purpose.label()),
                    format!("strength:{}", item.indicator.strength.label()),
                ],
                "external_references": references,
            });
            write!(out, ",\n{object}")
        })?;
        writeln!(out, "\n]}}")
    }

    fn misp(&self, out: &mut dyn Write) -> fmt::Result {
        let event = uuid(&format!("event {}", self.set.hash()));
        let exclusions = Exclusions::of(self.set);
        let (info, date) = ("Endpoints of listed vendors (vendorwatch)", self.created);
        write!(
            out,
            "{{\"Event\":{{\"uuid\":\"{event}\",\"info\":\"{info}\",\"date\":\"{date}\",\
             \"threat_level_id\":\"4\",\"analysis\":\"2\",\"distribution\":\"0\",\"Attribute\":["
        )?;
        let mut first = true;
        self.each(&mut |item| {
            let kind = match item.pattern {
                Pattern::Prefix { .. } => "ip-dst",
                Pattern::Suffix(_) => "domain",
                _ => "hostname",
            };
            let key = format!("{} {}", item.indicator.id, item.pattern);
            let attribute = json!({
                "uuid": uuid(&key), "type": kind, "category": "Network activity",
                "value": item.pattern.value(), "to_ids": item.indicator.strength == Strength::Strong,
                "comment": format!(
                    "{} ({}){}", describe(item), item.indicator.id, unsaid(&exclusions, item)
                ),
            });
            let comma = if core::mem::take(&mut first) { "" } else { "," };
            write!(out, "{comma}\n{attribute}")
        })?;
        writeln!(out, "\n]}}}}")
    }
}

/// The name and what stands above it, by whole labels.
fn parents(name: &str) -> impl Iterator<Item = &str> {
    Suffixes::new(name, Seed(0)).map(|suffix| &name[suffix.start..])
}

/// Are all addresses of `part` in `whole`? False of names.
fn holds(whole: &Pattern, part: &Pattern) -> bool {
    let range = |pattern: &Pattern| match pattern {
        Pattern::Prefix { address, length } => Some(index::range(Addr::from(*address), *length)),
        _ => None,
    };
    match (range(whole), range(part)) {
        (Some((first, last)), Some((part_first, part_last))) => {
            first <= part_first && part_last <= last
        }
        _ => false,
    }
}

/// What the pattern of a platform does not say: these names and addresses are not meant.
fn unsaid(exclusions: &Exclusions<'_>, item: &Item<'_>) -> String {
    let values: Vec<_> = exclusions.within(item.pattern).into_iter().map(Pattern::value).collect();
    if values.is_empty() {
        return String::new();
    }
    format!("; not said by the pattern: without {}", values.join(", "))
}

const fn is_list(pattern: &Pattern) -> bool {
    matches!(pattern, Pattern::Listed { .. })
}

/// `Kaspersky Endpoint Security: update, strong`.
fn describe(item: &Item<'_>) -> String {
    let Indicator { product, purpose, strength, .. } = item.indicator;
    format!("{} {product}: {}, {}", item.vendor.name, purpose.label(), strength.label())
}

/// Names in a zone are relative to it, so their last dot is left out.
fn rpz_record(pattern: &Pattern, target: &str, about: &str, out: &mut dyn Write) -> fmt::Result {
    match pattern {
        Pattern::Exact(name) => writeln!(out, "{name} CNAME {target} ; {about}"),
        Pattern::Suffix(name) => {
            writeln!(out, "{name} CNAME {target} ; {about}")?;
            writeln!(out, "*.{name} CNAME {target}")
        }
        Pattern::Prefix { address, length } => {
            let reversed = match address {
                core::net::IpAddr::V4(v4) => {
                    let [a, b, c, d] = v4.octets();
                    format!("{d}.{c}.{b}.{a}")
                }
                core::net::IpAddr::V6(v6) => {
                    let groups: Vec<_> =
                        v6.segments().iter().rev().map(|group| format!("{group:x}")).collect();
                    groups.join(".")
                }
            };
            writeln!(out, "{length}.{reversed}.rpz-ip CNAME {target} ; {about}")
        }
        Pattern::Listed { .. } => Ok(()),
    }
}

/// One rule for what is asked in DNS and one for what is said in a hello; or one for addresses.
/// Each without what is excluded: a rule that lets it pass would silence other rules, too.
fn suricata_rules(item: &Item<'_>, without: &[&Pattern], out: &mut dyn Write) -> fmt::Result {
    let number = item.indicator.number;
    let about: String = describe(item)
        .replace(": ", ", ")
        .chars()
        .map(|character| if "\";:\\|".contains(character) { ' ' } else { character })
        .collect();
    let tail = |number: u32| {
        format!(
            "sid:{number}; rev:1; metadata:vendor {}, indicator {}, purpose {}, strength {};)",
            item.vendor.id,
            item.indicator.id,
            item.indicator.purpose.label(),
            item.indicator.strength.label()
        )
    };
    let look = match item.pattern {
        Pattern::Prefix { .. } => {
            let mut blocks = vec![item.pattern.value()];
            blocks.extend(without.iter().map(|pattern| format!("!{}", pattern.value())));
            let addresses = blocks.join(",");
            let addresses = if without.is_empty() { addresses } else { format!("[{addresses}]") };
            return writeln!(
                out,
                "alert ip any any -> {addresses} any (msg:\"vendorwatch {about}\"; {}",
                tail(number)
            );
        }
        Pattern::Suffix(name) => {
            let content = suricata_content(name);
            let negated: String = without.iter().copied().filter_map(suricata_negation).collect();
            format!("dotprefix; content:\".{content}\"; nocase; endswith;{negated}")
        }
        Pattern::Exact(name) => {
            let content = suricata_content(name);
            format!("content:\"{content}\"; nocase; startswith; endswith;")
        }
        Pattern::Listed { exact, .. } => {
            if !exact {
                writeln!(out, "# Of these zones the names themselves, not those below them:")?;
            }
            let file = dataset(item.indicator);
            format!("to_lowercase; dataset:isset,vendorwatch-{number},type string,load {file};")
        }
    };
    for (protocol, field, number) in
        [("dns", "dns.query", number), ("tls", "tls.sni", number + TLS_RULES)]
    {
        writeln!(
            out,
            "alert {protocol} any any -> any any (msg:\"vendorwatch {about}\"; \
             {field}; {look} {}",
            tail(number)
        )?;
    }
    Ok(())
}

/// Behind `dotprefix`, so that a whole name is one that begins with the dot.
fn suricata_negation(pattern: &Pattern) -> Option<String> {
    let content = suricata_content(pattern.name()?);
    let whole = if matches!(pattern, Pattern::Exact(_)) { " startswith;" } else { "" };
    Some(format!(" content:!\".{content}\"; nocase;{whole} endswith;"))
}

/// The name's octets, those with a meaning of their own in hexadecimal.
fn suricata_content(name: &str) -> String {
    let mut text = String::new();
    for character in name.chars() {
        if character.is_ascii_alphanumeric() || "-._".contains(character) {
            text.push(character);
        } else {
            let mut octets = [0; 4];
            for octet in character.encode_utf8(&mut octets).bytes() {
                let _ = write!(text, "|{octet:02x}|");
            }
        }
    }
    text
}

fn stix_pattern(pattern: &Pattern) -> String {
    let quote = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'");
    match pattern {
        Pattern::Suffix(name) => {
            let name = quote(name);
            format!("[domain-name:value = '{name}' OR domain-name:value LIKE '%.{name}']")
        }
        Pattern::Prefix { address, .. } => {
            let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
            format!("[{family}-addr:value = '{}']", pattern.value())
        }
        Pattern::Exact(name) => format!("[domain-name:value = '{}']", quote(name)),
        Pattern::Listed { list, .. } => format!("[domain-name:value = '{}']", quote(list)),
    }
}

/// A name-based UUID (RFC 9562 §5.5): the same record keeps its id from export to export.
fn uuid(name: &str) -> String {
    let mut context = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(&NAMESPACE);
    context.update(name.as_bytes());
    let digest = context.finish();
    let mut octets = [0; 16];
    octets.copy_from_slice(&digest.as_ref()[..16]);
    octets[6] = octets[6] & 0x0f | 0x50;
    octets[8] = octets[8] & 0x3f | 0x80;
    let mut text = String::with_capacity(36);
    for (at, octet) in octets.iter().enumerate() {
        if [4, 6, 8, 10].contains(&at) {
            text.push('-');
        }
        let _ = write!(text, "{octet:02x}");
    }
    text
}

/// Drawn once, for this program.
const NAMESPACE: [u8; 16] = [
    0x6e, 0x1f, 0x6c, 0x0c, 0x0f, 0x5d, 0x4b, 0x41, 0x9a, 0x3e, 0x51, 0x0b, 0xd2, 0x7c, 0x88, 0x35,
];
/// Added to an indicator's number for its second rule: 8000000 to 8999999.
const TLS_RULES: u32 = 7_000_000;

#[cfg(test)]
mod tests {
    use super::super::Taken;
    use super::super::document::{self, Kind};
    use super::super::list::{self, Syntax};
    use super::*;
    use crate::signature::{embedded, format};

    const TODAY: jiff::civil::Date = jiff::civil::date(2026, 11, 21);

    fn set() -> Set {
        Set::build(embedded::files().unwrap()).unwrap()
    }

    fn exported(set: &Set, form: Form) -> String {
        let mut text = String::new();
        Export { set, takes: &|_, _| true, created: TODAY, datasets: true }
            .write(form, &mut text)
            .unwrap();
        text
    }

    /// What matches before must match after.
    fn patterns(set: &Set, zones: bool) -> std::collections::BTreeSet<String> {
        set.indicators()
            .iter()
            .map(|indicator| match &indicator.pattern {
                Pattern::Suffix(name) if !zones => format!("host {name}"),
                pattern => pattern.to_string(),
            })
            .collect()
    }

    fn taken(taken: Taken) -> String {
        match taken {
            Taken::Name { name, exact: true } => format!("host {name}"),
            Taken::Name { name, exact: false } => format!("suffix {name}"),
            Taken::Prefix(pattern) => pattern.to_string(),
        }
    }

    #[test]
    fn a_file_is_the_same_after_export_and_import() {
        for file in embedded::files().unwrap() {
            let set = Set::build(vec![file.clone()]).unwrap();
            let export = Export { set: &set, takes: &|_, _| true, created: TODAY, datasets: false };
            let text = export.toml(&file.vendor.record).unwrap();
            let again = format::parse(&file.name, &text).unwrap();
            assert_eq!(again.vendor.record, file.vendor.record);
            let records = |file: &format::File| {
                let mut records: Vec<_> =
                    file.indicators.iter().map(|located| (*located.record).clone()).collect();
                records.sort_by(|a, b| a.id.cmp(&b.id));
                (
                    records,
                    file.excluded
                        .iter()
                        .map(|located| (*located.record).clone())
                        .collect::<Vec<_>>(),
                )
            };
            assert_eq!(records(&again), records(&file));
        }
    }

    #[test]
    fn stix_and_misp_come_back_as_they_went() {
        let set = set();
        for (form, kind) in [(Form::Stix, Kind::Stix), (Form::Misp, Kind::Misp)] {
            let mut found = std::collections::BTreeSet::new();
            document::read(kind, &exported(&set, form), &mut |place, said| {
                found.insert(taken(said.unwrap_or_else(|skipped| panic!("{place}: {skipped}"))));
            })
            .unwrap();
            let wanted = patterns(&set, true);
            // STIX says a zone as its head and what is below.
            found.retain(|pattern| {
                let zone = pattern.strip_prefix("host ").map(|name| format!("suffix {name}"));
                wanted.contains(pattern) || !zone.is_some_and(|zone| wanted.contains(&zone))
            });
            let differing: Vec<_> = found.symmetric_difference(&wanted).collect();
            assert!(differing.is_empty(), "{form:?}: {differing:?}");
        }
    }

    #[test]
    fn hosts_come_back_as_hosts() {
        let set = set();
        let mut found = std::collections::BTreeSet::new();
        for line in exported(&set, Form::Hosts).lines() {
            list::line(Syntax::Hosts, line.as_bytes(), &mut |said| {
                found.insert(taken(said.unwrap()));
            });
        }
        let mut wanted = patterns(&set, false);
        wanted.retain(|pattern| !pattern.starts_with("prefix"));
        let differing: Vec<_> = found.symmetric_difference(&wanted).collect();
        assert!(differing.is_empty(), "{differing:?}");
    }

    #[test]
    fn a_policy_zone_holds_names_wildcards_and_reversed_prefixes() {
        let text = exported(&set(), Form::Rpz);
        assert!(text.contains("@ SOA localhost. root.localhost. (2026112100 "));
        assert!(text.lines().any(|line| line.starts_with("*.upd.kaspersky.com CNAME .")));
        assert!(text.lines().any(|line| line.contains(".rpz-ip CNAME . ; kaspersky.")));
    }

    #[test]
    fn rules_have_numbers_of_their_own() {
        let text = exported(&set(), Form::Suricata);
        let mut numbers = std::collections::BTreeSet::new();
        for line in text.lines().filter(|line| line.starts_with("alert")) {
            let (_, rest) = line.split_once("sid:").unwrap();
            assert!(numbers.insert(rest.split_once(';').unwrap().0.to_owned()), "{line}");
            assert_eq!(line.matches('"').count() % 2, 0, "{line}");
        }
        assert!(numbers.len() > set().indicators().len());
        assert_eq!(suricata_content("a\\.b"), "a|5c|.b");
    }

    #[test]
    fn ids_are_name_based() {
        assert_eq!(uuid("a"), uuid("a"));
        assert_ne!(uuid("a"), uuid("b"));
        let id = uuid("a");
        assert_eq!((id.len(), &id[14..15]), (36, "5"));
    }
}
