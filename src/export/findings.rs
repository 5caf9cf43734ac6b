//! Findings as tables, JSON lines and CSV: what `read` and `inventory` print.

use std::io::{self, Write};

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use crate::config::Policy;
use crate::detect::{Exception, Exceptions, Finding, Networks, Observed, Role, Row};
use crate::signature::pack::Manifest;
use crate::signature::{Class, Set};
use crate::time::Timestamp;

/// How findings are printed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum Format {
    #[default]
    Table,
    /// One JSON object a line
    Json,
    Csv,
}

/// What findings are held against when they are printed.
#[derive(Debug)]
pub struct Context<'a> {
    pub set: &'a Set,
    pub exceptions: &'a Exceptions,
    /// How many of the set's vendors are reported on.
    reported: usize,
    /// Of the set, so that a line says by which signatures it was made.
    hash: String,
}

impl<'a> Context<'a> {
    /// All of the set's vendors are reported on.
    #[must_use]
    pub fn new(set: &'a Set, exceptions: &'a Exceptions) -> Self {
        Self { set, exceptions, reported: set.vendors().len(), hash: set.hash() }
    }

    /// By this policy.
    #[must_use]
    pub fn of(policy: &'a Policy) -> Self {
        let reported = policy.vendors().count();
        Self { reported, ..Self::new(&policy.set, &policy.exceptions) }
    }

    /// The exception that held when the finding was last seen.
    fn exception(&self, finding: &Finding) -> Option<&'a Exception> {
        self.exceptions.covering(&finding.key, finding.last_seen)
    }

    /// Says by which signatures the report was made: all together, and each pack.
    pub fn write_signatures(&self, out: &mut impl Write) -> io::Result<()> {
        let vendors = self.set.vendors().len();
        let reported = match self.reported {
            reported if reported == vendors => String::new(),
            reported => format!(" ({reported} of them reported)"),
        };
        writeln!(
            out,
            "Signatures: {} indicators of {vendors} vendors{reported}, SHA-256 {}",
            self.set.indicators().len(),
            self.hash
        )?;
        for pack in self.set.packs() {
            let Manifest { name, version, .. } = pack.manifest();
            let digest = crate::signature::set::hex(pack.digest());
            writeln!(
                out,
                "  pack {name} version {version}: {} names, SHA-256 {digest}",
                pack.len()
            )?;
        }
        Ok(())
    }
}

/// Prints findings folded by endpoint.
pub fn write_endpoints(
    rows: &[Row],
    context: &Context<'_>,
    format: Format,
    out: &mut impl Write,
) -> io::Result<()> {
    match format {
        Format::Json => rows.iter().try_for_each(|row| writeln!(out, "{}", endpoint(row, context))),
        Format::Csv => {
            write_csv_line(out, &ENDPOINT_COLUMNS)?;
            rows.iter()
                .try_for_each(|row| write_csv_line(out, &endpoint_cells(row, full, usize::MAX)))
        }
        Format::Table => {
            let mut table = plain(&ENDPOINT_COLUMNS);
            for row in rows {
                table.add_row(endpoint_cells(row, brief, CITED));
            }
            numbers(&mut table, &ENDPOINT_COLUMNS, &["clients", "count"]);
            if rows.iter().all(|row| &*row.network == Networks::OTHER) {
                hide(&mut table, &ENDPOINT_COLUMNS, "network");
            }
            writeln!(out, "{}", table.trim_fmt())
        }
    }
}

/// Prints findings by client.
pub fn write_clients(
    rows: &[(Observed, &Finding)],
    context: &Context<'_>,
    format: Format,
    out: &mut impl Write,
) -> io::Result<()> {
    match format {
        Format::Json => rows
            .iter()
            .try_for_each(|(observed, row)| writeln!(out, "{}", finding(*observed, row, context))),
        Format::Csv => {
            write_csv_line(out, &CLIENT_COLUMNS)?;
            rows.iter().try_for_each(|(observed, row)| {
                write_csv_line(out, &client_cells(*observed, row, context, full, usize::MAX))
            })
        }
        Format::Table => {
            let mut table = plain(&CLIENT_COLUMNS);
            for (observed, row) in rows {
                table.add_row(client_cells(*observed, row, context, brief, CITED));
            }
            numbers(&mut table, &CLIENT_COLUMNS, &["count"]);
            if rows.iter().all(|(_, row)| row.key.tenant.is_empty()) {
                hide(&mut table, &CLIENT_COLUMNS, "tenant");
            }
            if rows.iter().all(|(_, row)| &*row.key.network == Networks::OTHER) {
                hide(&mut table, &CLIENT_COLUMNS, "network");
            }
            if rows.iter().all(|(_, row)| context.exception(row).is_none()) {
                hide(&mut table, &CLIENT_COLUMNS, "exception");
            }
            writeln!(out, "{}", table.trim_fmt())
        }
    }
}

/// One line of [`write_endpoints`] as JSON, with the evidence that the set holds.
#[must_use]
pub fn endpoint(row: &Row, context: &Context<'_>) -> Value {
    json!({
        "vendor": *row.vendor,
        "product": *row.product,
        "purpose": row.purpose.label(),
        "strength": row.strength.label(),
        "signal": row.signal.label(),
        "network": *row.network,
        "clients": row.clients,
        "first_seen": full(row.first_seen),
        "last_seen": full(row.last_seen),
        "count": row.count,
        "evidence_class": row.class.map(Class::label),
        "indicators": row.indicators
            .iter()
            .map(|id| evidence(id, context.set))
            .collect::<Vec<_>>(),
        "signatures": context.hash,
    })
}

/// A finding as JSON, with the evidence that the set holds.
#[must_use]
pub fn finding(observed: Observed, finding: &Finding, context: &Context<'_>) -> Value {
    let key = &finding.key;
    let tallies: Vec<Value> = finding
        .tallies
        .iter()
        .map(|((id, signal), tally)| {
            let mut told = evidence(id, context.set);
            told["signal"] = signal.label().into();
            told["purpose"] = tally.purpose.label().into();
            told["count"] = tally.count.into();
            told["first_seen"] = full(tally.first_seen).into();
            told["last_seen"] = full(tally.last_seen).into();
            told
        })
        .collect();
    json!({
        "tenant": *key.tenant,
        "network": *key.network,
        "client": key.client.to_string(),
        "role": finding.role.map(Role::label),
        "mac": finding.mac.map(|mac| mac.to_string()),
        "vendor": *key.vendor,
        "product": *key.product,
        "strength": key.strength.label(),
        "observed": observed.label(),
        "first_seen": full(finding.first_seen),
        "last_seen": full(finding.last_seen),
        "count": finding.count,
        "last_name": *finding.last_name,
        "indicators": tallies,
        "exception": context.exception(finding).map(|exception| {
            json!({ "until": full(exception.until), "reason": *exception.reason })
        }),
        "signatures": context.hash,
    })
}

/// An indicator by id, and why it is believed.
fn evidence(id: &str, set: &Set) -> Value {
    let indicator = set.indicator(id);
    let evidence: Vec<Value> = indicator
        .iter()
        .flat_map(|indicator| &indicator.evidence)
        .map(|evidence| {
            json!({
                "class": evidence.class.label(),
                "title": evidence.title,
                "reference": evidence.reference,
            })
        })
        .collect();
    json!({
        "id": id,
        "confounders": indicator.map(|indicator| &indicator.confounders),
        "evidence": evidence,
    })
}

const ENDPOINT_COLUMNS: [&str; 11] = [
    "vendor",
    "product",
    "purpose",
    "strength",
    "signal",
    "network",
    "clients",
    "first seen",
    "last seen",
    "count",
    "evidence",
];

fn endpoint_cells(row: &Row, time: fn(Timestamp) -> String, most: usize) -> [String; 11] {
    [
        row.vendor.to_string(),
        row.product.to_string(),
        row.purpose.label().to_owned(),
        row.strength.label().to_owned(),
        row.signal.label().to_owned(),
        row.network.to_string(),
        row.clients.to_string(),
        time(row.first_seen),
        time(row.last_seen),
        row.count.to_string(),
        cited(row.class, row.indicators.iter().map(|id| &**id), most),
    ]
}

const CLIENT_COLUMNS: [&str; 15] = [
    "tenant",
    "network",
    "client",
    "role",
    "vendor",
    "product",
    "strength",
    "observed",
    "first seen",
    "last seen",
    "count",
    "signals",
    "last name",
    "evidence",
    "exception",
];

fn client_cells(
    observed: Observed,
    finding: &Finding,
    context: &Context<'_>,
    time: fn(Timestamp) -> String,
    most: usize,
) -> [String; 15] {
    let key = &finding.key;
    let signals: Vec<&str> = finding.signals().keys().map(|signal| signal.label()).collect();
    let class = finding.tallies.values().filter_map(|tally| tally.class).min();
    let ids = finding.tallies.keys().map(|(id, _)| &**id).filter(|id| *id != Finding::OTHERS);
    let mut ids: Vec<&str> = ids.collect();
    ids.dedup();
    [
        key.tenant.to_string(),
        key.network.to_string(),
        key.client.to_string(),
        finding.role.map_or("", |role| role.label()).to_owned(),
        key.vendor.to_string(),
        key.product.to_string(),
        key.strength.label().to_owned(),
        observed.label().to_owned(),
        time(finding.first_seen),
        time(finding.last_seen),
        finding.count.to_string(),
        signals.join(" "),
        finding.last_name.to_string(),
        cited(class, ids, most),
        context.exception(finding).map_or_else(String::new, |exception| {
            format!("{} (until {})", exception.reason, time(exception.until))
        }),
    ]
}

/// `A: kaspersky.update.upd +2`: the best class of evidence and the indicators that rest on it, by
/// name as many as `most`.
fn cited<'a>(class: Option<Class>, ids: impl IntoIterator<Item = &'a str>, most: usize) -> String {
    let ids: Vec<&str> = ids.into_iter().collect();
    let (named, more) = ids.split_at(most.min(ids.len()));
    let mut text = class.map(|class| format!("{}: ", class.label())).unwrap_or_default();
    text.push_str(&named.join(" "));
    if !more.is_empty() {
        text.push_str(" +");
        text.push_str(&more.len().to_string());
    }
    text
}

/// Indicators named in a line of a table.
const CITED: usize = 2;

fn plain(columns: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(columns.to_vec());
    table
}

fn numbers(table: &mut Table, columns: &[&str], numeric: &[&str]) {
    for (at, _) in columns.iter().enumerate().filter(|(_, name)| numeric.contains(name)) {
        if let Some(column) = table.column_mut(at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

fn hide(table: &mut Table, columns: &[&str], name: &str) {
    let at = columns.iter().position(|column| *column == name);
    if let Some(column) = at.and_then(|at| table.column_mut(at)) {
        column.set_constraint(comfy_table::ColumnConstraint::Hidden);
    }
}

/// To the second, for people.
#[must_use]
pub fn moment(at: Timestamp) -> String {
    brief(at)
}

fn brief(at: Timestamp) -> String {
    show(at, "%Y-%m-%d %H:%M:%SZ")
}

/// RFC 3339 with all that the capture knew.
fn full(at: Timestamp) -> String {
    show(at, "%Y-%m-%dT%H:%M:%S%.fZ")
}

fn show(at: Timestamp, format: &str) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(at.as_nanos())).map_or_else(
        |_| format!("{}ns", at.as_nanos()),
        |moment| moment.strftime(format).to_string(),
    )
}

/// One record of RFC 4180. A field that a spreadsheet would take for a formula gets an apostrophe
/// before it: names come from whoever sends packets.
fn write_csv_line<S: AsRef<str>>(out: &mut impl Write, fields: &[S]) -> io::Result<()> {
    for (at, field) in fields.iter().enumerate() {
        if at > 0 {
            out.write_all(b",")?;
        }
        let field = field.as_ref();
        let formula = if field.starts_with(['=', '+', '-', '@']) { "'" } else { "" };
        if field.contains(['"', ',', '\n', '\r']) {
            write!(out, "\"{formula}{}\"", field.replace('"', "\"\""))?;
        } else {
            write!(out, "{formula}{field}")?;
        }
    }
    out.write_all(b"\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::{FindingKey, Tally, summary};
    use crate::inspect::Signal;
    use crate::signature::{Purpose, Strength};

    fn finding_in(network: &str, name: &str) -> Finding {
        let key = FindingKey {
            tenant: "".into(),
            network: network.into(),
            client: crate::net::Addr::from_v4([192, 0, 2, 9]),
            vendor: "acme".into(),
            product: "Agent, small".into(),
            strength: Strength::Strong,
        };
        let at = Timestamp::from_nanos(1_700_000_000_250_000_000);
        let tally = Tally {
            purpose: Purpose::Update,
            class: Some(Class::A),
            count: 3,
            first_seen: at,
            last_seen: at,
        };
        Finding {
            count: 3,
            tallies: [(("acme.update".into(), Signal::DnsQuery), tally)].into(),
            last_name: name.into(),
            role: Some(Role::Resolver),
            ..Finding::new(key, at)
        }
    }

    fn printed(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_table_shows_networks_only_where_there_are_any() {
        let (set, exceptions) = (Set::default(), Exceptions::default());
        let set = Context::new(&set, &exceptions);
        for (network, shown) in [("other", false), ("office", true)] {
            let findings = [finding_in(network, "upd.acme.example")];
            let rows = summary::by_endpoint(&findings);
            let table = printed(|out| write_endpoints(&rows, &set, Format::Table, out));
            assert_eq!(table.contains("network"), shown, "{table}");
            assert!(table.contains("2023-11-14 22:13:20Z"), "{table}");
            assert!(table.contains("A: acme.update"), "{table}");
            let rows = summary::by_client(&findings);
            let table = printed(|out| write_clients(&rows, &set, Format::Table, out));
            assert!(table.contains("product traffic observed"), "{table}");
            assert!(table.contains("resolver"), "{table}");
            assert!(!table.contains("tenant"), "{table}");
        }
    }

    #[test]
    fn json_has_one_whole_object_a_line() {
        let findings = [finding_in("other", "upd.acme.example"), finding_in("lab", "a\\010b")];
        let rows = summary::by_client(&findings);
        let (set, exceptions) = (Set::default(), Exceptions::default());
        let context = Context::new(&set, &exceptions);
        let text = printed(|out| write_clients(&rows, &context, Format::Json, out));
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["network"], "lab");
        assert_eq!(lines[0]["last_name"], "a\\010b");
        assert_eq!(lines[0]["first_seen"], "2023-11-14T22:13:20.25Z");
        assert_eq!(lines[0]["indicators"][0]["count"], 3);
    }

    #[test]
    fn csv_quotes_what_must_be_and_starts_no_formula() {
        let findings = [finding_in("other", "=cmd|'x'!a1.acme.example")];
        let rows = summary::by_client(&findings);
        let (set, exceptions) = (Set::default(), Exceptions::default());
        let context = Context::new(&set, &exceptions);
        let text = printed(|out| write_clients(&rows, &context, Format::Csv, out));
        let lines: Vec<&str> = text.split_terminator("\r\n").collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[1].contains("\"Agent, small\""), "{text}");
        assert!(lines[1].contains(",'=cmd|"), "{text}");
        assert_eq!(lines[0].split(',').count(), CLIENT_COLUMNS.len());
    }
}
