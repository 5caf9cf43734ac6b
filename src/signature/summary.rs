//! How many records each vendor has, by strength and evidence, as the manual shows it.

use core::fmt::Write as _;

use super::{Class, Indicator, Set, Strength, Vendor};

/// A Markdown table: a row a vendor, and the sum.
#[must_use]
pub fn table(set: &Set) -> String {
    let mut text = String::from(
        "| vendor | default | records | strong | moderate | weak | excluded \
         | evidence A | B1 | C | B2 | listings |\n\
         |---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for vendor in set.vendors() {
        let of_vendor = |indicator: &&Indicator| indicator.vendor == vendor.id;
        let excluded = set.excluded().iter().filter(|record| record.vendor == vendor.id).count();
        row(
            &mut text,
            &vendor.name,
            switch(vendor),
            set,
            of_vendor,
            excluded,
            vendor.listings.len(),
        );
    }
    let listings = set.vendors().iter().map(|vendor| vendor.listings.len()).sum();
    row(&mut text, "**all**", "", set, |_| true, set.excluded().len(), listings);
    text
}

fn row(
    text: &mut String,
    name: &str,
    switch: &str,
    set: &Set,
    counts: impl Fn(&&Indicator) -> bool,
    excluded: usize,
    listings: usize,
) {
    let records: Vec<&Indicator> =
        set.indicators().iter().map(|indicator| &**indicator).filter(counts).collect();
    let _ = write!(text, "| {name} | {switch} | {} ", records.len());
    for strength in Strength::ALL.into_iter().rev() {
        let count = records.iter().filter(|record| record.strength == strength).count();
        let _ = write!(text, "| {count} ");
    }
    let _ = write!(text, "| {excluded} ");
    for class in Class::ALL {
        let count = records.iter().filter(|record| record.class() == Some(class)).count();
        let _ = write!(text, "| {count} ");
    }
    let _ = writeln!(text, "| {listings} |");
}

fn switch(vendor: &Vendor) -> &'static str {
    if vendor.default_enabled { "on" } else { "off" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::embedded;

    #[test]
    fn the_rows_add_up_to_the_sum() {
        let set = Set::build(embedded::files().unwrap()).unwrap();
        let table = table(&set);
        let rows: Vec<Vec<usize>> = table
            .lines()
            .skip(2)
            .map(|line| {
                line.split('|').skip(3).filter_map(|cell| cell.trim().parse().ok()).collect()
            })
            .collect();
        let (sum, vendors) = rows.split_last().unwrap();
        assert_eq!(vendors.len(), set.vendors().len());
        for (column, total) in sum.iter().enumerate() {
            assert_eq!(vendors.iter().map(|row| row[column]).sum::<usize>(), *total);
        }
        assert_eq!(sum[0], set.indicators().len());
    }
}
