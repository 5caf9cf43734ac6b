//! Lists of one name a line: hosts files, plain domains, and the part of ad-block filters that
//! speaks about names.

use super::{Skipped, Taken, admit};

/// How the lines of a list are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Syntax {
    /// `0.0.0.0 host [host…]`, as in hosts(5). Means these hosts only.
    Hosts,
    /// A name a line, with the names below it.
    Domains,
    /// `||name^`, with the names below it.
    Adblock,
}

/// Reads one line; calls `each` for what it says, which is nothing for comments.
pub fn line(syntax: Syntax, octets: &[u8], each: &mut dyn FnMut(Result<Taken, Skipped>)) {
    let Ok(text) = core::str::from_utf8(octets) else { return each(Err(Skipped::NotText)) };
    // A mark that some editors put before the first line.
    let text = text.trim_start_matches('\u{feff}').trim();
    match syntax {
        Syntax::Hosts => hosts(text, each),
        Syntax::Domains => {
            let name = before_comment(text, &['#', ';', '!']);
            if !name.is_empty() {
                let below = ["*.", "+.", "."];
                let name = below.iter().find_map(|mark| name.strip_prefix(mark)).unwrap_or(name);
                each(admit(name, false));
            }
        }
        Syntax::Adblock => {
            if let Some(taken) = adblock(text) {
                each(taken);
            }
        }
    }
}

fn hosts(text: &str, each: &mut dyn FnMut(Result<Taken, Skipped>)) {
    let mut words = before_comment(text, &['#']).split_whitespace();
    let Some(address) = words.next() else { return };
    if address.parse::<core::net::IpAddr>().is_err() {
        return each(Err(Skipped::NoAddress));
    }
    let mut names = 0;
    for name in words {
        names += 1;
        // What every hosts file says about the host itself.
        if !OWN_NAMES.contains(&name) && name.parse::<core::net::IpAddr>().is_err() {
            each(admit(name, true));
        }
    }
    if names == 0 {
        each(Err(Skipped::NoName));
    }
}

fn adblock(text: &str) -> Option<Result<Taken, Skipped>> {
    if text.is_empty() || text.starts_with('!') || text.starts_with('[') {
        return None;
    }
    // Options narrow a rule to kinds of requests; a name is asked for in all of them.
    let (rule, options) = text.split_once('$').unwrap_or((text, ""));
    // `badfilter` takes a rule of another list back.
    if text.starts_with("@@") || options.split(',').any(|option| option.trim() == "badfilter") {
        return Some(Err(Skipped::Exception));
    }
    let name = rule.strip_prefix("||").and_then(|rest| rest.strip_suffix('^'));
    Some(match name {
        Some(name) if !name.contains('/') => admit(name, false),
        _ => Err(Skipped::PageRule),
    })
}

/// `text` up to a comment: one of `marks` at its beginning or after a space.
fn before_comment<'a>(text: &'a str, marks: &[char]) -> &'a str {
    let mut after_space = true;
    for (at, character) in text.char_indices() {
        if after_space && marks.contains(&character) {
            return text[..at].trim_end();
        }
        after_space = character.is_whitespace();
    }
    text
}

const OWN_NAMES: [&str; 11] = [
    "localhost",
    "localhost.localdomain",
    "local",
    "broadcasthost",
    "ip6-localhost",
    "ip6-loopback",
    "ip6-localnet",
    "ip6-mcastprefix",
    "ip6-allnodes",
    "ip6-allrouters",
    "ip6-allhosts",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::pattern::BadPattern;

    fn read(syntax: Syntax, text: &str) -> Vec<Result<String, Skipped>> {
        let mut found = Vec::new();
        line(syntax, text.as_bytes(), &mut |taken| {
            found.push(taken.map(|taken| match taken {
                Taken::Name { name, exact } => format!("{name}{}", if exact { "!" } else { "" }),
                Taken::Prefix(pattern) => pattern.value(),
            }));
        });
        found
    }

    #[test]
    fn hosts_files_name_hosts() {
        let hosts = |text| read(Syntax::Hosts, text);
        assert_eq!(
            hosts("0.0.0.0 Ads.Example.com  b.example.com # both"),
            [Ok("ads.example.com!".into()), Ok("b.example.com!".into())]
        );
        assert_eq!(hosts("127.0.0.1 localhost"), []);
        assert_eq!(hosts("# comment"), []);
        assert_eq!(hosts(""), []);
        assert_eq!(hosts("0.0.0.0 0.0.0.0"), []);
        assert_eq!(hosts("ads.example.com"), [Err(Skipped::NoAddress)]);
        assert_eq!(hosts("0.0.0.0"), [Err(Skipped::NoName)]);
        assert_eq!(hosts("0.0.0.0 com"), [Err(Skipped::PublicSuffix)]);
    }

    #[test]
    fn domains_stand_for_all_below_them() {
        let domains = |text| read(Syntax::Domains, text);
        for text in ["a.example.com", "*.a.example.com", ".a.example.com", "+.a.example.com # x"] {
            assert_eq!(domains(text), [Ok("a.example.com".into())], "{text}");
        }
        assert_eq!(domains("! comment"), []);
        assert_eq!(domains("bücher.de"), [Ok("xn--bcher-kva.de".into())]);
        assert_eq!(domains("a..b.com"), [Err(Skipped::Name(BadPattern::EmptyLabel))]);
        assert_eq!(domains("co.uk"), [Err(Skipped::PublicSuffix)]);
        assert_eq!(domains("wscdns.com"), [Err(Skipped::Shared)]);
        assert_eq!(domains("a\\032b.com"), [Err(Skipped::Unwritable)]);
        let mut bad = Vec::new();
        line(Syntax::Domains, b"\xff.com", &mut |taken| bad.push(taken));
        assert_eq!(bad, [Err(Skipped::NotText)]);
    }

    #[test]
    fn of_filters_only_rules_about_names_are_taken() {
        let adblock = |text| read(Syntax::Adblock, text);
        assert_eq!(adblock("||a.example.com^"), [Ok("a.example.com".into())]);
        assert_eq!(adblock("||a.example.com^$third-party"), [Ok("a.example.com".into())]);
        assert_eq!(adblock("! Title: x"), []);
        assert_eq!(adblock("[Adblock Plus 2.0]"), []);
        assert_eq!(adblock("@@||a.example.com^"), [Err(Skipped::Exception)]);
        let taken_back = "||a.example.com^$third-party,badfilter";
        assert_eq!(adblock(taken_back), [Err(Skipped::Exception)]);
        assert_eq!(adblock("example.com##.banner"), [Err(Skipped::PageRule)]);
        assert_eq!(adblock("||a.example.com/path^"), [Err(Skipped::PageRule)]);
    }
}
