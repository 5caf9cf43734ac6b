//! Reading the inventory back.

use core::net::IpAddr;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::store::{nanos, rank};
use super::{InventoryError, schema};
use crate::detect::{Finding, FindingKey, Role, Seen, Tally, TallyKey, VendorKey};
use crate::inspect::Signal;
use crate::name::Name;
use crate::net::Mac;
use crate::signature::{Class, Purpose, Strength};
use crate::time::Timestamp;

/// Which findings are wanted. What is empty or none asks for all.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Query {
    /// Vendors by id: any of them.
    pub vendors: Vec<String>,
    /// Networks by name: any of them.
    pub networks: Vec<String>,
    pub client: Option<IpAddr>,
    /// This strength and what is stronger.
    pub strength: Option<Strength>,
    /// Seen at this moment or later.
    pub since: Option<Timestamp>,
    /// Only so many, those seen last.
    pub newest: Option<usize>,
}

/// What an inventory answers.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Answer {
    pub findings: Vec<Finding>,
    /// What was asked for as well, and this program cannot name, as a later one wrote it: findings
    /// that are not among these, or lack a signal.
    pub unnamed: u64,
}

impl Answer {
    /// Says that this is not all, where it is not.
    pub fn remark(&self) -> Option<String> {
        let Self { unnamed, .. } = self;
        let plural = if *unnamed == 1 { "" } else { "s" };
        (*unnamed > 0).then(|| {
            format!(
                "Not shown, or not whole: {unnamed} finding{plural} with what this program has no \
                 name for, as a newer vendorwatch writes it; use that one."
            )
        })
    }
}

/// An inventory opened for reading, also while a daemon writes to it.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    path: Arc<Path>,
}

impl Reader {
    /// Opens the inventory at `path`.
    pub fn open(path: &Path) -> Result<Self, InventoryError> {
        Ok(Self { connection: schema::open_to_read(path)?, path: path.into() })
    }

    /// The findings that `query` asks for.
    pub fn findings(&self, query: &Query) -> Result<Answer, InventoryError> {
        findings(&self.connection, query).map_err(|error| schema::blame(&self.path, error))
    }

    /// When each vendor was seen first and last, by strength and network.
    pub fn vendors(&self) -> Result<Vec<(VendorKey, Seen)>, InventoryError> {
        vendors(&self.connection).map_err(|error| schema::blame(&self.path, error))
    }
}

pub(super) fn findings(connection: &Connection, query: &Query) -> rusqlite::Result<Answer> {
    let (condition, values) = condition(query);
    let sql = format!(
        "SELECT id, tenant, network, client, vendor, product, strength, finding.first_seen,
            finding.last_seen, finding.count, last_name, mac, role,
            indicator, signal, purpose, class, tally.count, tally.first_seen, tally.last_seen
         FROM (SELECT * FROM finding WHERE {condition} ORDER BY last_seen DESC, id LIMIT ?1)
            AS finding
         LEFT JOIN tally ON tally.finding = finding.id
         ORDER BY finding.last_seen DESC, id"
    );
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut findings: Vec<Finding> = Vec::new();
    let mut unnamed = BTreeSet::new();
    let mut last_id = None;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get("id")?;
        if last_id != Some(id) {
            let Some(finding) = finding(row)? else {
                unnamed.insert(id);
                continue;
            };
            last_id = Some(id);
            findings.push(finding);
        }
        let Some(signal) = row.get::<_, Option<String>>("signal")? else { continue };
        match (findings.last_mut(), tally(row, &signal)?) {
            (Some(finding), Some((key, tally))) => {
                finding.tallies.insert(key, tally);
            }
            _ => {
                unnamed.insert(id);
            }
        }
    }
    Ok(Answer { findings, unnamed: unnamed.len() as u64 })
}

pub(super) fn vendors(connection: &Connection) -> rusqlite::Result<Vec<(VendorKey, Seen)>> {
    let mut statement = connection.prepare(
        "SELECT vendor, strength, network, first_seen, last_seen FROM vendor ORDER BY 1, 2, 3",
    )?;
    let mut rows = statement.query([])?;
    let mut vendors = Vec::new();
    while let Some(row) = rows.next()? {
        let Some(strength) = strength(row.get(1)?) else { continue };
        let key = (text(row, 0)?, strength, text(row, 2)?);
        vendors.push((key, Seen { first: time(row, 3)?, last: time(row, 4)? }));
    }
    Ok(vendors)
}

/// The SQL that says what a query says, and its values; the first is the limit.
fn condition(query: &Query) -> (String, Vec<Value>) {
    let limit = query.newest.map_or(-1, |most| i64::try_from(most).unwrap_or(i64::MAX));
    let mut values = vec![Value::from(limit)];
    let mut all = vec!["TRUE".to_owned()];
    let mut place = |value: Value| {
        values.push(value);
        format!("?{}", values.len())
    };
    for (column, wanted) in [("vendor", &query.vendors), ("network", &query.networks)] {
        if !wanted.is_empty() {
            let places: Vec<String> =
                wanted.iter().map(|value| place(value.clone().into())).collect();
            all.push(format!("{column} IN ({})", places.join(", ")));
        }
    }
    if let Some(client) = query.client {
        // Written the way addresses are kept.
        let client = crate::net::Addr::from(client).to_string();
        all.push(format!("client = {}", place(client.into())));
    }
    if let Some(strength) = query.strength {
        all.push(format!("strength >= {}", place(rank(strength).into())));
    }
    if let Some(since) = query.since {
        all.push(format!("last_seen >= {}", place(nanos(since).into())));
    }
    (all.join(" AND "), values)
}

fn finding(row: &Row<'_>) -> rusqlite::Result<Option<Finding>> {
    let Some(strength) = strength(row.get(6)?) else { return Ok(None) };
    let client: String = row.get(3)?;
    let Ok(client) = client.parse::<IpAddr>() else { return Ok(None) };
    let key = FindingKey {
        tenant: text(row, 1)?,
        network: text(row, 2)?,
        client: client.into(),
        vendor: text(row, 4)?,
        product: text(row, 5)?,
        strength,
    };
    let mac: Option<String> = row.get(11)?;
    let role: Option<String> = row.get(12)?;
    Ok(Some(Finding {
        first_seen: time(row, 7)?,
        last_seen: time(row, 8)?,
        count: count(row, 9)?,
        last_name: Name::new(row.get_ref(10)?.as_str()?),
        mac: mac.as_deref().and_then(parse_mac),
        role: role.as_deref().and_then(Role::from_label),
        ..Finding::new(key, Timestamp::ZERO)
    }))
}

fn tally(row: &Row<'_>, signal: &str) -> rusqlite::Result<Option<(TallyKey, Tally)>> {
    let purpose: String = row.get(15)?;
    let class: Option<String> = row.get(16)?;
    let (Some(signal), Some(purpose)) = (Signal::from_label(signal), Purpose::from_label(&purpose))
    else {
        return Ok(None);
    };
    let tally = Tally {
        purpose,
        class: class.as_deref().and_then(Class::from_label),
        count: count(row, 17)?,
        first_seen: time(row, 18)?,
        last_seen: time(row, 19)?,
    };
    Ok(Some(((text(row, 13)?, signal), tally)))
}

fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<Arc<str>> {
    Ok(row.get_ref(column)?.as_str()?.into())
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    count(row, column).map(Timestamp::from_nanos)
}

fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or_default())
}

fn strength(rank_found: i64) -> Option<Strength> {
    Strength::ALL.into_iter().find(|strength| rank(*strength) == rank_found)
}

fn parse_mac(text: &str) -> Option<Mac> {
    let mut octets = [0; 6];
    let mut parts = text.split(':');
    for octet in &mut octets {
        *octet = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    parts.next().is_none().then_some(Mac(octets))
}
