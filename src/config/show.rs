//! The configuration as text: the commented default file, and what is in effect.

use core::fmt::Write;

use super::key::Origin;
use super::{Config, Place, Tenant, keys};
use crate::detect::Role;

/// The default file: every key with what it does, its default, and other ways to set it.
#[must_use]
pub fn default_file() -> String {
    let mut out = String::from(HEAD);
    let mut section = "";
    for key in keys::ALL {
        let (of, name) = key.parts();
        if of != section {
            let _ = write!(out, "\n[{of}]\n");
            section = of;
        }
        out.push('\n');
        for line in key.about.lines() {
            let _ = writeln!(out, "# {}", line.trim());
        }
        let restart = if key.restart { "; a restart is needed" } else { "" };
        let _ = writeln!(out, "# {}, --{}{restart}", key.variable(), key.flag);
        if let Ok(value) = key.default_value() {
            let _ = writeln!(out, "#{name} = {value}");
        }
    }
    out.push_str(LISTS);
    out
}

/// What is in effect, each value with where it comes from.
#[must_use]
pub fn show(config: &Config) -> String {
    let mut out = String::new();
    let file = config.path().map_or_else(String::new, |path| path.display().to_string());
    let mut section = "";
    for key in keys::ALL {
        let Some((value, origin)) = config.value(key) else { continue };
        let (of, name) = key.parts();
        if of != section {
            let gap = if section.is_empty() { "" } else { "\n" };
            let _ = writeln!(out, "{gap}[{of}]");
            section = of;
        }
        let origin = match origin {
            Origin::Default => "default".to_owned(),
            Origin::File { line } => format!("{file}:{line}"),
            Origin::Environment => key.variable(),
            Origin::Flag => format!("--{}", key.flag),
        };
        let _ = writeln!(out, "{name} = {value} # {origin}");
    }
    for tenant in &config.places.tenants {
        let _ = writeln!(out, "\n[[tenant]]\nname = {:?}", tenant.name);
        for (key, space) in Tenant::KEYS {
            let ids: Vec<u32> =
                tenant.ids.iter().filter(|(of, _)| *of == space).map(|(_, id)| *id).collect();
            list(&mut out, key, &ids);
        }
    }
    for network in &config.places.networks {
        out.push_str("\n[[network]]\n");
        if !network.name.is_empty() {
            let _ = writeln!(out, "name = {:?}", network.name);
        }
        list(&mut out, "prefixes", &quoted(&network.prefixes));
        list(&mut out, "vlans", &network.vlans);
        list(&mut out, "tunnel_ids", &network.tunnel_ids);
        list(&mut out, "interfaces", &quoted(&network.interfaces));
        list(&mut out, "tenants", &quoted(&network.tenants));
        if let Some(role) = network.role {
            let role = match role {
                Role::Resolver => "resolver",
                Role::Proxy => "proxy",
            };
            let _ = writeln!(out, "role = {role:?}");
        }
    }
    for exception in &config.places.exceptions {
        let _ = writeln!(out, "\n[[exception]]\nvendor = {:?}", exception.vendor);
        let _ = match &exception.place {
            Place::Network(network) => writeln!(out, "network = {network:?}"),
            Place::Prefix(prefix) => writeln!(out, "prefix = \"{prefix}\""),
        };
        let _ = writeln!(out, "until = \"{}\"", exception.until);
        let _ = writeln!(out, "reason = {}", toml::Value::String(exception.reason.clone()));
    }
    out
}

fn list(out: &mut String, name: &str, items: &[impl ToString]) {
    if !items.is_empty() {
        let items: Vec<String> = items.iter().map(ToString::to_string).collect();
        let _ = writeln!(out, "{name} = [{}]", items.join(", "));
    }
}

fn quoted(items: &[impl ToString]) -> Vec<String> {
    items.iter().map(|item| format!("\"{}\"", item.to_string())).collect()
}

const HEAD: &str = "\
# Configuration of vendorwatch. Every key is shown with its default; remove the `#` before a key to
# change it. `vendorwatch config check` finds mistakes, `vendorwatch config show` tells what is in
# effect and why. Flags win over the environment, the environment over this file.
";

const LISTS: &str = r#"
# Address spaces that overlap, told apart by what encloses their packets. A restart is needed.
#[[tenant]]
#name = "blue"
#vlans = [110]
#vnis = [5001]
#teids = []
#gre_keys = []
#erspan_sessions = []
#mpls_labels = []
#l2tp_sessions = []

# Names for parts of the network; they become the label `network`. A network holds a client when
# each kind that is given holds it. Of several the one wins that names the tenant, then the longest
# prefix; what is outside all of them is `other`. A restart is needed.
#[[network]]
#name = "office"
#prefixes = ["10.1.0.0/16", "2001:db8:1::/48"]
#vlans = []
#tunnel_ids = []
#interfaces = []
#tenants = []

# Hosts that ask for others (role resolver or proxy): their findings say so. No name is needed.
#[[network]]
#prefixes = ["10.1.0.53"]
#role = "resolver"

# Findings that are known and accepted until a day; an alert reminds when the day has passed.
#[[exception]]
#vendor = "acme"
#network = "office"
#until = "2027-03-31"
#reason = "migration is under way"
"#;

#[cfg(test)]
mod tests {
    use super::super::{Flags, Origin};
    use super::*;

    fn read(text: &str) -> Config {
        Config::read(None, text, |_| None, &Flags::default()).unwrap()
    }

    #[test]
    fn the_default_file_says_the_defaults_with_and_without_its_comment_signs() {
        let text = default_file();
        let bare: String = text
            .lines()
            .map(|line| {
                line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line)
            })
            .fold(String::new(), |text, line| text + line + "\n");
        let (as_shipped, uncommented) = (read(&text), read(&bare));
        for key in keys::ALL {
            assert_eq!(as_shipped.value(key).unwrap().1, Origin::Default, "{}", key.path);
            let (value, origin) = uncommented.value(key).unwrap();
            assert!(matches!(origin, Origin::File { .. }), "{}", key.path);
            assert_eq!(*value, key.default_value().unwrap(), "{}", key.path);
        }
        assert_eq!(uncommented.places.networks.len(), 2);
        assert_eq!(uncommented.places.exceptions.len(), 1);
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        let text = "[web]\nlisten_address = [\"127.0.0.1:0\"]\n[[tenant]]\nname = \"t\"\nvnis = [7]\n\
                    [[network]]\nname = \"n\"\nprefixes = [\"::/0\"]\n\
                    [[network]]\nrole = \"proxy\"\nprefixes = [\"10.0.0.0/8\"]\n\
                    [[exception]]\nvendor = \"v\"\nprefix = \"::/0\"\nuntil = 2027-01-01\nreason = \"it's \\\"known\\\"\"\n";
        let config = read(text);
        let again = read(&show(&config));
        assert_eq!(again.places, config.places);
        for key in keys::ALL {
            assert_eq!(again.value(key).unwrap().0, config.value(key).unwrap().0);
        }
    }
}
