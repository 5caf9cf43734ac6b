//! Documents of threat-intelligence platforms: STIX 2.1 bundles and MISP events or warning lists.
//!
//! Of STIX patterns the part is read that speaks about names and addresses: comparisons of
//! `domain-name`, `ipv4-addr` and `ipv6-addr` values, joined by `OR`. Whatever else a pattern asks
//! for would be lost in a name, so such a pattern is skipped as a whole.

use serde_json::Value;

use super::{Skipped, Taken, admit, admit_prefix};

/// Which kind of document.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    Stix,
    Misp,
}

/// Why a document says nothing at all.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DocumentError {
    #[error("is no JSON: {0}")]
    Json(String),
    #[error("is no STIX bundle: it has no `objects`")]
    NoBundle,
    #[error("is neither a MISP event nor a warning list")]
    NoEvent,
    #[error(
        "is a warning list of type `{0}`, whose entries are no whole names; \
         `hostname`, `string` and `cidr` can be imported"
    )]
    ListType(String),
}

/// Reads a document; calls `each` with the element's place and what it says.
pub fn read(
    kind: Kind,
    text: &str,
    each: &mut dyn FnMut(&str, Result<Taken, Skipped>),
) -> Result<(), DocumentError> {
    let root: Value =
        serde_json::from_str(text).map_err(|error| DocumentError::Json(error.to_string()))?;
    match kind {
        Kind::Stix => stix(&root, each),
        Kind::Misp => misp(&root, each),
    }
}

fn stix(
    root: &Value,
    each: &mut dyn FnMut(&str, Result<Taken, Skipped>),
) -> Result<(), DocumentError> {
    let objects = root["objects"].as_array().ok_or(DocumentError::NoBundle)?;
    for object in objects {
        let place = object["id"].as_str().unwrap_or("object without id");
        match object["type"].as_str() {
            Some("indicator") => {
                let pattern = object["pattern"].as_str().unwrap_or_default();
                let is_stix = object["pattern_type"].as_str().is_none_or(|kind| kind == "stix");
                match comparisons(pattern).filter(|_| is_stix) {
                    Some(found) => found.into_iter().for_each(|taken| each(place, taken)),
                    None => each(place, Err(Skipped::Foreign)),
                }
            }
            Some("domain-name") => {
                each(place, admit(object["value"].as_str().unwrap_or_default(), true));
            }
            Some("ipv4-addr" | "ipv6-addr") => {
                each(place, admit_prefix(object["value"].as_str().unwrap_or_default()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The comparisons of a pattern, when it is nothing but names and addresses joined by `OR`.
fn comparisons(pattern: &str) -> Option<Vec<Result<Taken, Skipped>>> {
    let mut tokens = Tokens { rest: pattern };
    let mut found = Vec::new();
    loop {
        let bracketed = tokens.take("[");
        loop {
            comparison(&mut tokens, &mut found)?;
            if !(bracketed && tokens.take("OR")) {
                break;
            }
        }
        if bracketed && !tokens.take("]") {
            return None;
        }
        if !tokens.take("OR") {
            return tokens.is_empty().then_some(found);
        }
    }
}

/// `domain-name:value = 'x'`, `IN ('x', 'y')`, or `LIKE '%.x'`.
fn comparison(tokens: &mut Tokens<'_>, found: &mut Vec<Result<Taken, Skipped>>) -> Option<()> {
    let is_name = tokens.take("domain-name:value");
    if !is_name && !tokens.take("ipv4-addr:value") && !tokens.take("ipv6-addr:value") {
        return None;
    }
    let take = |text: &str| if is_name { admit(text, true) } else { admit_prefix(text) };
    if tokens.take("=") {
        found.push(take(&tokens.literal()?));
    } else if tokens.take("IN") {
        if !tokens.take("(") {
            return None;
        }
        loop {
            found.push(take(&tokens.literal()?));
            if !tokens.take(",") {
                break;
            }
        }
        if !tokens.take(")") {
            return None;
        }
    } else if is_name && tokens.take("LIKE") {
        let text = tokens.literal()?;
        let name = text.strip_prefix("%.").filter(|name| !name.contains(['%', '_']))?;
        found.push(admit(name, false));
    } else {
        return None;
    }
    Some(())
}

/// What is left of a pattern.
struct Tokens<'a> {
    rest: &'a str,
}

impl Tokens<'_> {
    fn take(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn is_empty(&self) -> bool {
        self.rest.trim().is_empty()
    }

    /// A string in single quotes, with its escapes undone (STIX 2.1 §9.1).
    fn literal(&mut self) -> Option<String> {
        if !self.take("'") {
            return None;
        }
        let mut text = String::new();
        let mut characters = self.rest.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '\'' => {
                    self.rest = &self.rest[at + 1..];
                    return Some(text);
                }
                '\\' => text.push(characters.next()?.1),
                other => text.push(other),
            }
        }
        None
    }
}

fn misp(
    root: &Value,
    each: &mut dyn FnMut(&str, Result<Taken, Skipped>),
) -> Result<(), DocumentError> {
    if let Some(list) = root["list"].as_array() {
        // misp-warninglists, "type of warning list": `string` where it says nothing. A part of a
        // name, or a pattern, would be taken for a name that it does not mean.
        let kind = root["type"].as_str().unwrap_or("string");
        if !["string", "hostname", "cidr"].contains(&kind) {
            return Err(DocumentError::ListType(kind.to_owned()));
        }
        for entry in list {
            let text = entry.as_str().unwrap_or_default();
            let below = text.strip_prefix('.');
            each(
                text,
                match kind {
                    "cidr" => admit_prefix(text),
                    _ => admit(below.unwrap_or(text), kind == "string" && below.is_none()),
                },
            );
        }
        return Ok(());
    }
    let events: Vec<&Value> = match &root["response"] {
        Value::Array(events) => events.iter().map(|entry| &entry["Event"]).collect(),
        _ if root["Event"].is_object() => vec![&root["Event"]],
        _ if root["Attribute"].is_array() => vec![root],
        _ => return Err(DocumentError::NoEvent),
    };
    for event in events {
        let objects = event["Object"].as_array().into_iter().flatten();
        let groups = core::iter::once(event).chain(objects);
        for attribute in groups.filter_map(|group| group["Attribute"].as_array()).flatten() {
            attribute_of(attribute, each);
        }
    }
    Ok(())
}

fn attribute_of(attribute: &Value, each: &mut dyn FnMut(&str, Result<Taken, Skipped>)) {
    let value = attribute["value"].as_str().unwrap_or_default();
    let place = attribute["uuid"].as_str().unwrap_or(value);
    match attribute["type"].as_str().unwrap_or_default() {
        // A MISP `domain` stands for the domain, a `hostname` for one host.
        "domain" => each(place, admit(value, false)),
        "hostname" => each(place, admit(value, true)),
        "ip-dst" => each(place, admit_prefix(value)),
        "domain|ip" => {
            let (domain, address) = value.split_once('|').unwrap_or((value, ""));
            each(place, admit(domain, false));
            each(place, admit_prefix(address));
        }
        _ => each(place, Err(Skipped::Foreign)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(kind: Kind, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        read(kind, text, &mut |_, taken| {
            found.push(match taken {
                Ok(Taken::Name { name, exact }) => {
                    format!("{name}{}", if exact { "!" } else { "" })
                }
                Ok(Taken::Prefix(pattern)) => pattern.value(),
                Err(skipped) => format!("({skipped})"),
            });
        })
        .unwrap();
        found
    }

    fn bundle(pattern: &str) -> String {
        serde_json::json!({"type": "bundle", "objects": [
            {"type": "indicator", "id": "indicator--1", "pattern_type": "stix", "pattern": pattern},
        ]})
        .to_string()
    }

    #[test]
    fn stix_patterns_about_names_and_addresses_are_read() {
        let stix = |pattern: &str| taken(Kind::Stix, &bundle(pattern));
        assert_eq!(stix("[domain-name:value = 'a.example.com']"), ["a.example.com!"]);
        assert_eq!(
            stix(
                "[domain-name:value = 'a.example.com' OR domain-name:value LIKE '%.a.example.com']"
            ),
            ["a.example.com!", "a.example.com"]
        );
        assert_eq!(
            stix("[ipv4-addr:value IN ('5.5.5.0/24', '6.6.6.6')] OR [ipv6-addr:value='2a00::/32']"),
            ["5.5.5.0/24", "6.6.6.6/32", "2a00::/32"]
        );
    }

    #[test]
    fn stix_patterns_that_ask_for_more_are_skipped_whole() {
        let foreign = format!("({})", Skipped::Foreign);
        for pattern in [
            "[domain-name:value = 'a.example.com' AND network-traffic:dst_port = 443]",
            "[file:hashes.MD5 = 'd41d8cd98f00b204e9800998ecf8427e']",
            "[domain-name:value LIKE '%ads%']",
            "[domain-name:value = 'a.example.com'",
            "[domain-name:value = 'a.example.com'] FOLLOWEDBY [domain-name:value = 'b.example.com']",
            "",
        ] {
            assert_eq!(taken(Kind::Stix, &bundle(pattern)).join(" "), foreign, "{pattern}");
        }
    }

    #[test]
    fn misp_attributes_and_warning_lists_are_read() {
        let event = r#"{"Event": {
            "Attribute": [
                {"type": "domain", "value": "example.com"},
                {"type": "md5", "value": "d41d8cd98f00b204e9800998ecf8427e"}
            ],
            "Object": [{"Attribute": [
                {"type": "hostname", "value": "h.example.com"},
                {"type": "domain|ip", "value": "e.example.com|5.5.5.5"}
            ]}]
        }}"#;
        assert_eq!(
            taken(Kind::Misp, event),
            [
                "example.com",
                &format!("({})", Skipped::Foreign),
                "h.example.com!",
                "e.example.com",
                "5.5.5.5/32"
            ]
        );
        let list =
            r#"{"name": "x", "type": "hostname", "list": ["example.com", ".b.example.com"]}"#;
        assert_eq!(taken(Kind::Misp, list), ["example.com", "b.example.com"]);
    }

    #[test]
    fn a_warning_list_of_parts_or_patterns_is_refused_as_a_whole() {
        let list = |kind: &str| {
            let text = format!(r#"{{"name": "x", {kind} "list": ["ads.example.com"]}}"#);
            let mut count = 0;
            read(Kind::Misp, &text, &mut |_, taken| count += usize::from(taken.is_ok()))
                .map(|()| count)
        };
        for kind in ["substring", "regex", "wildcard"] {
            let refused = Err(DocumentError::ListType(kind.to_owned()));
            assert_eq!(list(&format!("\"type\": \"{kind}\",")), refused);
        }
        assert_eq!(list(""), Ok(1), "whole strings");
        assert_eq!(list("\"type\": \"string\","), Ok(1));
    }

    #[test]
    fn what_is_no_document_is_said_so() {
        let mut ignore = |_: &str, _| ();
        assert!(matches!(read(Kind::Stix, "x", &mut ignore), Err(DocumentError::Json(_))));
        assert_eq!(read(Kind::Stix, "{}", &mut ignore), Err(DocumentError::NoBundle));
        assert_eq!(read(Kind::Misp, "{}", &mut ignore), Err(DocumentError::NoEvent));
    }
}
